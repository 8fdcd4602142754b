-- The tables of the shell: the same in the schema of every service.

-- migrate:up

-- One row for each shard. Whoever raised `epoch` last owns it and hands out `next_seq`.
CREATE TABLE shard (
    id text PRIMARY KEY,
    epoch bigint NOT NULL,
    owner text NOT NULL,
    next_seq bigint NOT NULL DEFAULT 1,
    published_seq bigint NOT NULL DEFAULT 0,
    projected_seq bigint NOT NULL DEFAULT 0,
    format integer NOT NULL DEFAULT 1
) WITH (fillfactor = 25, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- The truth: every event, numbered without gaps within its shard and within its stream.
CREATE TABLE journal (
    shard text NOT NULL,
    seq bigint NOT NULL,
    stream text NOT NULL,
    version integer NOT NULL,
    tenant_id text NOT NULL,
    type text NOT NULL,
    data text NOT NULL,
    meta text NOT NULL,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (shard, seq),
    CONSTRAINT journal_stream_version_key UNIQUE (stream, version)
);

-- The next offset to read, of each topic's partition.
CREATE TABLE consumed (
    shard text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (shard, topic, partition)
) WITH (fillfactor = 25, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- How far each source was heard on a topic's partition, and up to where it is known to go on.
CREATE TABLE heard (
    shard text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    source text NOT NULL,
    seq bigint NOT NULL,
    gap bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (shard, topic, partition, source)
) WITH (fillfactor = 25, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- The last number that a shard gave to a message for each topic's partition.
CREATE TABLE sent (
    shard text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (shard, topic, partition)
) WITH (fillfactor = 25, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- The earliest instant that an open stream waits for. `at` has no index, so that moving it is
-- cheap: the owner reads a shard's wakes once, when it claims it.
CREATE TABLE wake (
    shard text NOT NULL,
    stream text NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (shard, stream)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

-- States of long streams, so that folding need not begin at the beginning; the newest two.
CREATE TABLE snapshot (
    stream text NOT NULL,
    version integer NOT NULL,
    state_version integer NOT NULL,
    state text NOT NULL,
    PRIMARY KEY (stream, version)
);

-- What became of an outsider's message; it is answered the same way when it comes again.
CREATE TABLE delivery (
    tenant_id text NOT NULL,
    source text NOT NULL,
    id text NOT NULL,
    answer text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, source, id)
);

-- Streams that a message has poisoned; `last_n` numbers the messages behind them.
CREATE TABLE parked_stream (
    stream text PRIMARY KEY,
    shard text NOT NULL,
    last_n integer NOT NULL
);
CREATE INDEX parked_stream_shard_idx ON parked_stream (shard);

-- The messages that wait behind a parked stream, as they were read.
CREATE TABLE parked_message (
    stream text NOT NULL,
    n integer NOT NULL,
    raw bytea NOT NULL,
    PRIMARY KEY (stream, n)
);

-- Raises the epochs of the shards, in one order everywhere so that claimers do not deadlock.
CREATE FUNCTION claim_shards(p_shards text[], p_owner text) RETURNS SETOF shard
LANGUAGE plpgsql AS $$
DECLARE
    s text;
BEGIN
    FOR s IN SELECT DISTINCT u FROM unnest(p_shards) AS u ORDER BY u LOOP
        RETURN QUERY
            INSERT INTO shard AS h (id, epoch, owner) VALUES (s, 1, p_owner)
            ON CONFLICT (id) DO UPDATE SET epoch = h.epoch + 1, owner = EXCLUDED.owner
            RETURNING h.*;
    END LOOP;
END
$$;

-- Writes the part of a batch that every service has, after checking that all of its shards are
-- still the caller's. Parts that are NULL are left out; the others are columns, row by row.
CREATE FUNCTION commit_batch(
    f_shard text[], f_epoch bigint[], f_next_seq bigint[], f_rows integer[], f_format integer[],
    f_published bigint[], f_projected bigint[],
    j_shard text[], j_seq bigint[], j_stream text[], j_version integer[], j_tenant text[],
    j_type text[], j_data text[], j_meta text[], j_at timestamptz[],
    c_shard text[], c_topic text[], c_partition integer[], c_next bigint[],
    h_shard text[], h_topic text[], h_partition integer[], h_source text[], h_seq bigint[],
    h_gap bigint[],
    s_shard text[], s_topic text[], s_partition integer[], s_seq bigint[],
    w_shard text[], w_stream text[], w_at timestamptz[],
    x_stream text[], x_version integer[], x_state_version integer[], x_state text[],
    d_tenant text[], d_source text[], d_id text[], d_answer text[],
    p_shard text[], p_stream text[], p_n integer[], p_raw bytea[],
    u_stream text[], u_n integer[]
) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    fenced text[] := '{}';
BEGIN
    -- One by one: the locks are taken in the caller's (sorted) order, whatever the planner likes.
    FOR i IN 1 .. cardinality(f_shard) LOOP
        UPDATE shard SET
            next_seq = next_seq + f_rows[i],
            published_seq = greatest(published_seq, f_published[i]),
            projected_seq = greatest(projected_seq, f_projected[i]),
            format = greatest(format, f_format[i])
        WHERE id = f_shard[i] AND epoch = f_epoch[i] AND next_seq = f_next_seq[i];
        IF NOT FOUND THEN
            fenced := fenced || f_shard[i];
        END IF;
    END LOOP;
    IF cardinality(fenced) > 0 THEN
        RAISE EXCEPTION 'fenced' USING ERRCODE = 'PD001', DETAIL = array_to_json(fenced)::text;
    END IF;
    IF j_shard IS NOT NULL THEN
        INSERT INTO journal (
            shard, seq, stream, version, tenant_id, type, data, meta, recorded_at
        ) SELECT * FROM unnest(
            j_shard, j_seq, j_stream, j_version, j_tenant, j_type, j_data, j_meta, j_at
        );
    END IF;
    IF c_shard IS NOT NULL THEN
        INSERT INTO consumed AS t (shard, topic, partition, next_offset)
        SELECT * FROM unnest(c_shard, c_topic, c_partition, c_next)
        ON CONFLICT (shard, topic, partition) DO UPDATE SET next_offset = EXCLUDED.next_offset
        WHERE t.next_offset <> EXCLUDED.next_offset;
    END IF;
    IF h_shard IS NOT NULL THEN
        INSERT INTO heard AS t (shard, topic, partition, source, seq, gap)
        SELECT * FROM unnest(h_shard, h_topic, h_partition, h_source, h_seq, h_gap)
        ON CONFLICT (shard, topic, partition, source)
        DO UPDATE SET seq = EXCLUDED.seq, gap = EXCLUDED.gap
        WHERE t.seq <= EXCLUDED.seq;
    END IF;
    IF s_shard IS NOT NULL THEN
        INSERT INTO sent AS t (shard, topic, partition, seq)
        SELECT * FROM unnest(s_shard, s_topic, s_partition, s_seq)
        ON CONFLICT (shard, topic, partition) DO UPDATE SET seq = EXCLUDED.seq
        WHERE t.seq < EXCLUDED.seq;
    END IF;
    IF w_shard IS NOT NULL THEN
        DELETE FROM wake t USING unnest(w_shard, w_stream, w_at) AS w (shard, stream, at)
        WHERE t.shard = w.shard AND t.stream = w.stream AND w.at IS NULL;
        INSERT INTO wake AS t (shard, stream, at)
        SELECT * FROM unnest(w_shard, w_stream, w_at) AS w (shard, stream, at)
        WHERE w.at IS NOT NULL
        ON CONFLICT (shard, stream) DO UPDATE SET at = EXCLUDED.at;
    END IF;
    IF x_stream IS NOT NULL THEN
        DELETE FROM snapshot t USING unnest(x_stream, x_version) AS x (stream, version)
        WHERE t.stream = x.stream AND t.version < (
            SELECT max(o.version) FROM snapshot o
            WHERE o.stream = x.stream AND o.version < x.version
        );
        INSERT INTO snapshot (stream, version, state_version, state)
        SELECT * FROM unnest(x_stream, x_version, x_state_version, x_state)
        ON CONFLICT (stream, version)
        DO UPDATE SET state_version = EXCLUDED.state_version, state = EXCLUDED.state;
    END IF;
    IF d_tenant IS NOT NULL THEN
        INSERT INTO delivery (tenant_id, source, id, answer)
        SELECT * FROM unnest(d_tenant, d_source, d_id, d_answer);
    END IF;
    IF p_shard IS NOT NULL THEN
        INSERT INTO parked_message (stream, n, raw)
        SELECT * FROM unnest(p_stream, p_n, p_raw);
        INSERT INTO parked_stream AS t (stream, shard, last_n)
        SELECT p.stream, max(p.shard), max(p.n)
        FROM unnest(p_shard, p_stream, p_n) AS p (shard, stream, n) GROUP BY p.stream
        ON CONFLICT (stream) DO UPDATE SET last_n = greatest(t.last_n, EXCLUDED.last_n);
    END IF;
    IF u_stream IS NOT NULL THEN
        DELETE FROM parked_message t USING unnest(u_stream, u_n) AS u (stream, n)
        WHERE t.stream = u.stream AND t.n = u.n;
        DELETE FROM parked_stream t WHERE t.stream = ANY (u_stream)
        AND NOT EXISTS (SELECT FROM parked_message m WHERE m.stream = t.stream);
    END IF;
END
$$;

-- migrate:down

DROP FUNCTION commit_batch;
DROP FUNCTION claim_shards;
DROP TABLE parked_message;
DROP TABLE parked_stream;
DROP TABLE delivery;
DROP TABLE snapshot;
DROP TABLE wake;
DROP TABLE sent;
DROP TABLE heard;
DROP TABLE consumed;
DROP TABLE journal;
DROP TABLE shard;
