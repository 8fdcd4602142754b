-- migrate:up

-- Executions that are purged: their streams end with a tombstone, of version `version`. Once
-- swept, only that is left of them, as version 1, so that nobody takes the stream for a new one;
-- what was swept long ago has no row here any more.
CREATE TABLE execution_purges (
    execution_id  character varying(255) PRIMARY KEY,
    tenant_id     text NOT NULL,
    version       integer NOT NULL,
    purged_at     timestamptz NOT NULL,
    swept_at      timestamptz
);
CREATE INDEX execution_purges_open_idx ON execution_purges (purged_at) WHERE swept_at IS NULL;
CREATE INDEX execution_purges_swept_idx ON execution_purges (swept_at) WHERE swept_at IS NOT NULL;

-- How many rows of a shard's journal were purged, and until when the latest of them was recorded:
-- what `perdure verify` does not miss.
CREATE TABLE journal_purged (
    shard   text PRIMARY KEY,
    rows    bigint NOT NULL,
    before  timestamptz NOT NULL
);

-- Delete everything of up to `most` purged executions of which the last event but the tombstone
-- is older than an instant: rows of the journal and of tables, in one transaction. What is not
-- published and projected is left for later, and what is parked until somebody has seen to it.
-- The lock is that of a batch: while a table is rebuilt from the journal nothing of that may go.
CREATE FUNCTION sweep_purged_executions(ended_before timestamptz, most integer)
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

-- Delete the tombstones of up to `most` executions that were swept before an instant, with what
-- was refused since; not what was refused after it, nor the last row of a shard.
CREATE FUNCTION drop_tombstones(swept_before timestamptz, most integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = engine, pg_temp SET lock_timeout = '2s'
AS $$
DECLARE
    gone text[];
BEGIN
    LOCK TABLE shard IN ROW EXCLUSIVE MODE;
    SELECT array_agg(execution_id) INTO gone FROM (
        SELECT p.execution_id
          FROM execution_purges p
         WHERE p.swept_at < swept_before
           AND NOT EXISTS (
               SELECT FROM journal_entry j JOIN shard s ON s.id = j.shard
                WHERE j.stream = p.execution_id AND (
                    j.recorded_at >= swept_before OR j.seq + j.events >= s.next_seq))
           AND NOT EXISTS (SELECT FROM parked_stream k WHERE k.stream = p.execution_id)
         ORDER BY p.swept_at
         LIMIT most
           FOR UPDATE OF p SKIP LOCKED) AS each;
    IF gone IS NULL THEN
        RETURN 0;
    END IF;
    WITH deleted AS (
        DELETE FROM journal_entry WHERE stream = ANY (gone) RETURNING shard, events, recorded_at
    )
    INSERT INTO journal_purged AS g (shard, rows, before)
    SELECT shard, sum(events), max(recorded_at) FROM deleted GROUP BY shard ORDER BY shard
    ON CONFLICT (shard) DO UPDATE
       SET rows = g.rows + EXCLUDED.rows, before = greatest(g.before, EXCLUDED.before);
    DELETE FROM snapshot WHERE stream = ANY (gone);
    DELETE FROM execution_purges WHERE execution_id = ANY (gone);
    RETURN cardinality(gone);
END
$$;

REVOKE EXECUTE ON FUNCTION sweep_purged_executions(timestamptz, integer) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION drop_tombstones(timestamptz, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sweep_purged_executions(timestamptz, integer) TO engine_shell;
GRANT EXECUTE ON FUNCTION drop_tombstones(timestamptz, integer) TO engine_shell;

-- migrate:down

DROP FUNCTION drop_tombstones(timestamptz, integer);
DROP FUNCTION sweep_purged_executions(timestamptz, integer);
DROP TABLE journal_purged;
DROP TABLE execution_purges;
