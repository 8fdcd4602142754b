-- Which executions are past their retention, and what becomes of those that were purged.
-- Executions are walked by tenant in the order of their ids, which is that of their begins: what
-- began after an instant has not ended before it, so nobody looks at what is young.

-- name: next_tenant --
-- The first tenant behind $1 that has executions.
SELECT min(tenant_id) AS tenant_id FROM engine.workflow_executions WHERE tenant_id > $1;

-- name: slice_end --
-- The id at which a slice of $4 executions of a tenant ends, behind $2 and up to $3; nothing where
-- there are fewer.
SELECT id::text
  FROM engine.workflow_executions
 WHERE tenant_id = $1 AND id > $2::text::uuid AND id <= $3::text::uuid
 ORDER BY id OFFSET $4 - 1 LIMIT 1;

-- name: past --
-- Executions of a tenant, behind $2 and up to $3, that ended before the instant of their workspace
-- ($5, $6), or before the one for all others ($4; null keeps for ever), and match: the oldest
-- first; null asks for any. The latest of a workflow stays, a child waits for its parent's end.
SELECT e.execution_id, e.status, e.workflow_id::text AS workflow_id,
       e.metadata ->> 'workflow_name' AS workflow_name
  FROM engine.workflow_executions e
  LEFT JOIN unnest($5::text[], $6::bigint[]) AS own (workspace, until)
    ON own.workspace = e.workspace_id::text
 WHERE e.tenant_id = $1 AND e.id > $2::text::uuid AND e.id <= $3::text::uuid
   AND e.status = ANY ($7::text[])
   AND e.end_time < CASE WHEN own.workspace IS NULL THEN $4::bigint ELSE own.until END
   AND ($8::text IS NULL OR e.workflow_id = $8::text::uuid)
   AND ($9::text IS NULL OR e.execution_id = $9::text)
   AND NOT EXISTS (
       SELECT FROM engine.workflows w
        WHERE w.id = e.workflow_id AND w.latest_execution_id = e.execution_id)
   AND NOT EXISTS (
       SELECT FROM engine.workflow_executions p
        WHERE p.execution_id = e.parent_execution_id
          AND p.status NOT IN ('SUCCESS', 'ERROR', 'TIMEOUT', 'CANCELED'))
   AND NOT EXISTS (
       SELECT FROM engine.execution_purges g WHERE g.execution_id = e.execution_id)
 ORDER BY e.id
 LIMIT $10;

-- name: sweep --
-- Delete what is left of some purged executions whose last event is old enough.
SELECT engine.sweep_purged_executions($1::timestamptz, $2);

-- name: drop --
-- Delete the tombstones of some executions that were swept long ago.
SELECT engine.drop_tombstones($1::timestamptz, $2);
