-- Which executions are past their retention, and what becomes of those that were purged.

-- name: slice --
-- Some executions in the order of their ids: how many, the last id, and those that ended before
-- the instant of their workspace, or before the one for all others ($3; null keeps for ever). The
-- latest of a workflow stays, a child waits for its parent's end.
SELECT count(*) AS rows, max(execution_id) AS last,
       array_agg(execution_id ORDER BY execution_id) FILTER (WHERE past) AS past
  FROM (SELECT e.execution_id,
               e.status IN ('SUCCESS', 'ERROR', 'TIMEOUT', 'CANCELED')
               AND e.end_time < CASE WHEN own.workspace IS NULL THEN $3::bigint ELSE own.until END
               AND NOT EXISTS (
                   SELECT FROM engine.workflows w
                    WHERE w.id = e.workflow_id AND w.latest_execution_id = e.execution_id)
               AND NOT EXISTS (
                   SELECT FROM engine.workflow_executions p
                    WHERE p.execution_id = e.parent_execution_id
                      AND p.status NOT IN ('SUCCESS', 'ERROR', 'TIMEOUT', 'CANCELED'))
               AND NOT EXISTS (
                   SELECT FROM engine.execution_purges g WHERE g.execution_id = e.execution_id)
               AS past
          FROM (SELECT * FROM engine.workflow_executions
                 WHERE execution_id > $1
                 ORDER BY execution_id
                 LIMIT $2) AS e
          LEFT JOIN unnest($4::text[], $5::bigint[]) AS own (workspace, until)
            ON own.workspace = e.workspace_id::text) AS looked_at;

-- name: matching --
-- Executions of a tenant that ended before an instant and match, the oldest first; null asks for
-- any. Those that `slice` leaves are left here too.
SELECT e.execution_id, e.status, e.workflow_id::text AS workflow_id,
       e.metadata ->> 'workflow_name' AS workflow_name
  FROM engine.workflow_executions e
 WHERE e.tenant_id = $1
   AND e.status = ANY ($2::text[])
   AND e.end_time < $3::bigint
   AND ($4::text IS NULL OR e.workflow_id = $4::text::uuid)
   AND ($5::text IS NULL OR e.execution_id = $5::text)
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
 LIMIT $6;

-- name: sweep --
-- Delete what is left of some purged executions whose last event is old enough.
SELECT engine.sweep_purged_executions($1::timestamptz, $2);

-- name: drop --
-- Delete the tombstones of some executions that were swept long ago.
SELECT engine.drop_tombstones($1::timestamptz, $2);
