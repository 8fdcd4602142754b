-- What the command line asks of several services at once: promises I1 and I2, and what is open.
-- Journals keep events as JSON text; `json`, not `jsonb`, so that any text can be read.

-- name: completions
-- How many completions there are: what I1 is checked on.
SELECT count(*) FROM engine.journal WHERE type LIKE 'engine.node-completed.%';

-- name: completions_repeated
-- I1: attempts of a node that completed more than once.
SELECT stream AS execution_id, data::json->>'node_id' AS node_id,
    (data::json->'scope')::text AS scope, data::json->>'run' AS run,
    data::json->>'attempt' AS attempt, count(*) AS times
FROM engine.journal
WHERE type LIKE 'engine.node-completed.%'
GROUP BY 1, 2, 3, 4, 5
HAVING count(*) > 1
LIMIT 50;

-- name: runs_ended_twice
-- I1: node runs that ended more than once, whichever way.
SELECT stream AS execution_id, data::json->>'node_id' AS node_id,
    (data::json->'scope')::text AS scope, data::json->>'run' AS run, count(*) AS times,
    string_agg(type, ', ' ORDER BY version) AS ends
FROM engine.journal
WHERE type LIKE ANY (ARRAY[
    'engine.node-completed.%', 'engine.node-errored.%', 'engine.node-skipped.%',
    'engine.node-canceled.%'
])
GROUP BY 1, 2, 3, 4
HAVING count(*) > 1
LIMIT 50;

-- name: triggers
-- How many trigger events were accepted, and how many executions they start.
SELECT count(DISTINCT stream) AS events,
    coalesce(sum(json_array_length(data::json->'starts')), 0) AS executions
FROM scheduler.journal WHERE type LIKE 'scheduler.trigger-accepted.%';

-- name: triggers_unfinished
-- I2: executions of accepted trigger events that have not ended: `status` is theirs, null where
-- there is none; then `refused` says why the engine did not start it, if it said anything.
SELECT s.execution_id, s.accepted_at, e.status, r.refused
FROM (
    SELECT starts->>'execution_id' AS execution_id, recorded_at AS accepted_at
    FROM scheduler.journal, json_array_elements(data::json->'starts') AS starts
    WHERE type LIKE 'scheduler.trigger-accepted.%'
) AS s
LEFT JOIN engine.workflow_executions AS e ON e.execution_id = s.execution_id
LEFT JOIN LATERAL (
    SELECT data::json->>'reason' AS refused
    FROM engine.journal
    WHERE stream = s.execution_id AND type LIKE 'shell.command-rejected.%'
        AND data::json->>'command' LIKE 'engine.start-execution.%'
    ORDER BY version
    LIMIT 1
) AS r ON e.execution_id IS NULL
WHERE e.status IS NULL OR e.status NOT IN ('SUCCESS', 'ERROR', 'TIMEOUT', 'CANCELED')
ORDER BY s.accepted_at
LIMIT 1000;

-- name: executions_open
-- Executions that have not ended, by status, with the one that was started first.
SELECT status, count(*) AS executions, min(start_time) AS oldest_start,
    (array_agg(execution_id ORDER BY start_time))[1] AS oldest
FROM engine.workflow_executions
WHERE status IN ('NEW', 'RUNNING', 'PAUSED', 'WAITING_FOR_HUMAN')
GROUP BY status
ORDER BY status;
