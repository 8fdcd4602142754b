-- What the command line asks the engine's schema about all executions.

-- name: executions_open
-- Executions that have not ended, by status, with the one that was started first.
SELECT status, count(*) AS executions, min(start_time) AS oldest_start,
    (array_agg(execution_id ORDER BY start_time))[1] AS oldest
FROM engine.workflow_executions
WHERE status IN ('NEW', 'RUNNING', 'PAUSED', 'WAITING_FOR_HUMAN')
GROUP BY status
ORDER BY status;
