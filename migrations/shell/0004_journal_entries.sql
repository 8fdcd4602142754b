-- The events of one stream that a batch writes one after the other are one row: an entry.

-- migrate:up

-- `seq`, `version`, `type`, `data` and `meta` are those of the first of its events. `rest` has the
-- others, as JSON: [type, data, meta] each, without the meta where it is that of the first.
ALTER TABLE journal RENAME TO journal_entry;
ALTER TABLE journal_entry
    ADD COLUMN events integer NOT NULL DEFAULT 1,
    ADD COLUMN rest text;
-- An entry stays in its page as long as it fits there: compressing it takes longer than writing it.
ALTER TABLE journal_entry SET (toast_tuple_target = 8160);

-- The events of an entry, `n` counted from 0. Without `->`, which reads every text on its way: one
-- may have a NUL, which JSON can write and PostgreSQL cannot.
CREATE FUNCTION entry_events(first_type text, first_data text, first_meta text, rest text)
RETURNS TABLE (n integer, type text, data text, meta text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT 0, first_type, first_data, first_meta
    UNION ALL
    SELECT r.n::integer, btrim(r.parts[1], '"'), r.parts[2], coalesce(r.parts[3], first_meta)
      FROM (SELECT n, ARRAY(SELECT part::text FROM json_array_elements(event) AS p (part)) AS parts
              FROM json_array_elements(rest::json) WITH ORDINALITY AS e (event, n)) AS r
$$;

-- The truth: every event, numbered without gaps within its shard and within its stream. It is
-- asked for by `stream`; a condition on `seq` reads all of it.
CREATE VIEW journal AS
SELECT e.shard, e.seq + x.n AS seq, e.stream, e.version + x.n AS version, e.tenant_id,
       x.type, x.data, x.meta, e.recorded_at
  FROM journal_entry e
 CROSS JOIN LATERAL entry_events(e.type, e.data, e.meta, e.rest) x;

-- The events of a stream after a version, in order, without reading those before.
CREATE FUNCTION events_after(of_stream text, after integer) RETURNS SETOF journal
LANGUAGE sql STABLE BEGIN ATOMIC
    SELECT e.shard, e.seq + x.n, e.stream, e.version + x.n, e.tenant_id, x.type, x.data, x.meta,
           e.recorded_at
      FROM journal_entry e
     CROSS JOIN LATERAL entry_events(e.type, e.data, e.meta, e.rest) x
     WHERE e.stream = of_stream AND e.version + x.n > after AND e.version >= coalesce((
           SELECT max(f.version) FROM journal_entry f
            WHERE f.stream = of_stream AND f.version <= after + 1), 0)
     ORDER BY e.version, x.n;
END;

-- Processes of the version before go on writing while they are replaced, an event an entry.
CREATE FUNCTION journal_insert() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO journal_entry (
        shard, seq, stream, version, tenant_id, type, data, meta, recorded_at
    ) VALUES (
        NEW.shard, NEW.seq, NEW.stream, NEW.version, NEW.tenant_id, NEW.type, NEW.data, NEW.meta,
        NEW.recorded_at
    );
    RETURN NEW;
END
$$;
CREATE TRIGGER journal_insert INSTEAD OF INSERT ON journal
    FOR EACH ROW EXECUTE FUNCTION journal_insert();

-- Writes the part of a batch that every service has, its events as entries, after checking that all
-- of its shards are still the caller's. The journal's columns are packed, an entry each.
CREATE FUNCTION commit_batch(
    f_shard text[], f_epoch bigint[], f_next_seq bigint[], f_rows integer[], f_format integer[],
    f_published bigint[], f_projected bigint[],
    j_shard text[], j_seq bigint[], j_stream text[], j_version integer[], j_tenant text[],
    j_type text[], j_data text[], j_meta text[], j_at timestamptz[], j_events integer[],
    j_rest text[],
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
    n integer := cardinality(j_seq);
BEGIN
    PERFORM commit_batch(
        f_shard, f_epoch, f_next_seq, f_rows, f_format, f_published, f_projected, NULL, NULL,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, c_shard, c_topic, c_partition, c_next,
        h_shard, h_topic, h_partition, h_source, h_seq, h_gap, s_shard, s_topic, s_partition,
        s_seq, w_shard, w_stream, w_at, x_stream, x_version, x_state_version, x_state, d_tenant,
        d_source, d_id, d_answer, p_shard, p_stream, p_n, p_raw, u_stream, u_n
    );
    IF j_shard IS NOT NULL THEN
        INSERT INTO journal_entry (
            shard, seq, stream, version, tenant_id, type, data, meta, recorded_at, events, rest
        ) SELECT * FROM unnest(
            texts(j_shard, n), j_seq, texts(j_stream, n), repeated(j_version, n),
            texts(j_tenant, n), texts(j_type, n), j_data, texts(j_meta, n), repeated(j_at, n),
            repeated(j_events, n), j_rest
        );
    END IF;
END
$$;

-- migrate:down

DROP FUNCTION commit_batch(
    text[], bigint[], bigint[], integer[], integer[], bigint[], bigint[], text[], bigint[], text[],
    integer[], text[], text[], text[], text[], timestamptz[], integer[], text[], text[], text[],
    integer[], bigint[], text[], text[], integer[], text[], bigint[], bigint[], text[], text[],
    integer[], bigint[], text[], text[], timestamptz[], text[], integer[], integer[], text[],
    text[], text[], text[], text[], text[], text[], integer[], bytea[], text[], integer[]
);
DROP FUNCTION events_after;
CREATE TEMPORARY TABLE journal_rest ON COMMIT DROP AS
SELECT * FROM journal j
 WHERE NOT EXISTS (
     SELECT FROM journal_entry e WHERE e.stream = j.stream AND e.version = j.version);
DROP VIEW journal;
DROP FUNCTION journal_insert;
DROP FUNCTION entry_events;
ALTER TABLE journal_entry DROP COLUMN events, DROP COLUMN rest;
ALTER TABLE journal_entry RESET (toast_tuple_target);
ALTER TABLE journal_entry RENAME TO journal;
INSERT INTO journal SELECT * FROM journal_rest;
