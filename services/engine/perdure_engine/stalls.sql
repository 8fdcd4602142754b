-- name: slice --
-- Some executions in the order of their ids: those that are open for a while, the last id, and how
-- many rows there were. Those that are PAUSED or parked are left out: all their instants stand still
-- until a person lets them go on.
SELECT count(*) AS rows, max(execution_id) AS last,
       array_agg(execution_id ORDER BY execution_id) FILTER (
           WHERE status IN ('NEW', 'RUNNING', 'WAITING_FOR_HUMAN')
             AND created_at < now() - $3::float8 * interval '1 second'
             AND NOT EXISTS (SELECT FROM parked_stream p WHERE p.stream = execution_id)
       ) AS open
  FROM (SELECT execution_id, status, created_at
          FROM workflow_executions
         WHERE execution_id > $1
         ORDER BY execution_id
         LIMIT $2) AS slice;
