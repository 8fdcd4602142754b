-- migrate:up

-- Files: bytes that items carry by reference. A row is an upload, under an id of its own, until its
-- hash is known; then it is a file of its tenant. `unused_since` is for the sweep.
CREATE TABLE files (
    upload        text PRIMARY KEY,
    tenant_id     text NOT NULL,
    sha256        text,
    bytes         bigint NOT NULL DEFAULT 0,
    touched_at    timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    unused_since  timestamptz
) WITH (fillfactor = 60);
CREATE UNIQUE INDEX files_sha256_idx ON files (tenant_id, sha256);

CREATE TABLE file_chunks (
    upload     text NOT NULL REFERENCES files ON DELETE CASCADE,
    n          integer NOT NULL,
    tenant_id  text NOT NULL,
    data       bytea NOT NULL,
    PRIMARY KEY (upload, n)
);
ALTER TABLE file_chunks ALTER COLUMN data SET STORAGE EXTERNAL;

-- Which files the items of an execution have carried: none of them is swept while it is here.
CREATE TABLE execution_files (
    execution_id  character varying(255) NOT NULL,
    file_id       text NOT NULL,
    tenant_id     text NOT NULL,
    node_id       text NOT NULL,
    file_name     text NOT NULL,
    mime_type     text NOT NULL,
    size          bigint NOT NULL,
    created_at    timestamptz NOT NULL,
    PRIMARY KEY (execution_id, file_id)
);
CREATE INDEX execution_files_file_idx ON execution_files (tenant_id, file_id);

-- As before, and what an execution says of files goes with it.
CREATE OR REPLACE FUNCTION sweep_purged_executions(ended_before timestamptz, most integer)
    RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = engine, pg_temp SET lock_timeout = '2s'
AS $$
DECLARE
    gone text[];
    kept journal[];
BEGIN
    LOCK TABLE shard IN ROW EXCLUSIVE MODE;
    SELECT array_agg(execution_id) INTO gone FROM (
        SELECT p.execution_id
          FROM execution_purges p
          JOIN journal t ON t.stream = p.execution_id AND t.version = p.version
          JOIN shard s ON s.id = t.shard
         WHERE p.swept_at IS NULL
           AND t.seq <= s.published_seq AND t.seq <= s.projected_seq
           AND NOT EXISTS (
               SELECT FROM journal j WHERE j.stream = p.execution_id
                  AND j.version = p.version - 1 AND j.recorded_at >= ended_before)
           AND NOT EXISTS (SELECT FROM parked_stream k WHERE k.stream = p.execution_id)
         ORDER BY p.purged_at
         LIMIT most
           FOR UPDATE OF p SKIP LOCKED) AS each;
    IF gone IS NULL THEN
        RETURN 0;
    END IF;
    SELECT array_agg(j ORDER BY j.seq) INTO kept
      FROM execution_purges p JOIN journal j ON j.stream = p.execution_id
     WHERE p.execution_id = ANY (gone) AND j.version >= p.version;
    WITH deleted AS (
        DELETE FROM journal_entry WHERE stream = ANY (gone) RETURNING shard, events, recorded_at
    ), counted AS (
        SELECT shard, events, recorded_at FROM deleted
        UNION ALL SELECT shard, -1, NULL FROM unnest(kept)
    )
    INSERT INTO journal_purged AS g (shard, rows, before)
    SELECT shard, sum(events), max(recorded_at) FROM counted GROUP BY shard ORDER BY shard
    ON CONFLICT (shard) DO UPDATE
       SET rows = g.rows + EXCLUDED.rows, before = greatest(g.before, EXCLUDED.before);
    INSERT INTO journal_entry (
        shard, seq, stream, version, tenant_id, type, data, meta, recorded_at
    ) SELECT k.shard, k.seq, k.stream, CASE k.version WHEN p.version THEN 1 ELSE k.version END,
             k.tenant_id, k.type, k.data, k.meta, k.recorded_at
        FROM unnest(kept) AS k JOIN execution_purges p ON p.execution_id = k.stream;
    DELETE FROM snapshot WHERE stream = ANY (gone);
    DELETE FROM payload_uses WHERE stream = ANY (gone);
    DELETE FROM substeps WHERE execution_id = ANY (gone);
    DELETE FROM execution_files WHERE execution_id = ANY (gone);
    DELETE FROM workflow_execution_logs WHERE execution_id = ANY (gone);
    DELETE FROM workflow_execution_pauses WHERE execution_id = ANY (gone);
    DELETE FROM node_executions WHERE execution_id = ANY (gone);
    DELETE FROM workflow_executions WHERE execution_id = ANY (gone);
    UPDATE execution_purges SET swept_at = now() WHERE execution_id = ANY (gone);
    RETURN cardinality(gone);
END
$$;

-- migrate:down

CREATE OR REPLACE FUNCTION sweep_purged_executions(ended_before timestamptz, most integer)
    RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = engine, pg_temp SET lock_timeout = '2s'
AS $$
DECLARE
    gone text[];
    kept journal[];
BEGIN
    LOCK TABLE shard IN ROW EXCLUSIVE MODE;
    SELECT array_agg(execution_id) INTO gone FROM (
        SELECT p.execution_id
          FROM execution_purges p
          JOIN journal t ON t.stream = p.execution_id AND t.version = p.version
          JOIN shard s ON s.id = t.shard
         WHERE p.swept_at IS NULL
           AND t.seq <= s.published_seq AND t.seq <= s.projected_seq
           AND NOT EXISTS (
               SELECT FROM journal j WHERE j.stream = p.execution_id
                  AND j.version = p.version - 1 AND j.recorded_at >= ended_before)
           AND NOT EXISTS (SELECT FROM parked_stream k WHERE k.stream = p.execution_id)
         ORDER BY p.purged_at
         LIMIT most
           FOR UPDATE OF p SKIP LOCKED) AS each;
    IF gone IS NULL THEN
        RETURN 0;
    END IF;
    SELECT array_agg(j ORDER BY j.seq) INTO kept
      FROM execution_purges p JOIN journal j ON j.stream = p.execution_id
     WHERE p.execution_id = ANY (gone) AND j.version >= p.version;
    WITH deleted AS (
        DELETE FROM journal_entry WHERE stream = ANY (gone) RETURNING shard, events, recorded_at
    ), counted AS (
        SELECT shard, events, recorded_at FROM deleted
        UNION ALL SELECT shard, -1, NULL FROM unnest(kept)
    )
    INSERT INTO journal_purged AS g (shard, rows, before)
    SELECT shard, sum(events), max(recorded_at) FROM counted GROUP BY shard ORDER BY shard
    ON CONFLICT (shard) DO UPDATE
       SET rows = g.rows + EXCLUDED.rows, before = greatest(g.before, EXCLUDED.before);
    INSERT INTO journal_entry (
        shard, seq, stream, version, tenant_id, type, data, meta, recorded_at
    ) SELECT k.shard, k.seq, k.stream, CASE k.version WHEN p.version THEN 1 ELSE k.version END,
             k.tenant_id, k.type, k.data, k.meta, k.recorded_at
        FROM unnest(kept) AS k JOIN execution_purges p ON p.execution_id = k.stream;
    DELETE FROM snapshot WHERE stream = ANY (gone);
    DELETE FROM payload_uses WHERE stream = ANY (gone);
    DELETE FROM substeps WHERE execution_id = ANY (gone);
    DELETE FROM workflow_execution_logs WHERE execution_id = ANY (gone);
    DELETE FROM workflow_execution_pauses WHERE execution_id = ANY (gone);
    DELETE FROM node_executions WHERE execution_id = ANY (gone);
    DELETE FROM workflow_executions WHERE execution_id = ANY (gone);
    UPDATE execution_purges SET swept_at = now() WHERE execution_id = ANY (gone);
    RETURN cardinality(gone);
END
$$;

DROP TABLE execution_files;
DROP TABLE file_chunks;
DROP TABLE files;
