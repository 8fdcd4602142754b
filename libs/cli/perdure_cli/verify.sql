-- What the command line asks the tables of services to check them.

-- name: executions_open
-- Executions that have not ended, by status, with the one that was started first.
SELECT status, count(*) AS executions, min(start_time) AS oldest_start,
    (array_agg(execution_id ORDER BY start_time))[1] AS oldest
FROM engine.workflow_executions
WHERE status IN ('NEW', 'RUNNING', 'PAUSED', 'WAITING_FOR_HUMAN')
GROUP BY status
ORDER BY status;

-- name: paths_served
-- How many triggers that serve listen under a path.
SELECT count(*) FROM scheduler.trigger_index
WHERE deployment_status = 'active' AND path IS NOT NULL;

-- name: paths_served_twice
-- Paths and methods under which triggers of several workflows serve. Those of GitHub share one, and
-- so do those of Slack.
SELECT tenant_id, path, method, array_agg(DISTINCT workflow_id::text) AS workflows
FROM scheduler.trigger_index,
    jsonb_array_elements_text(coalesce(trigger_config -> 'methods', '["POST"]')) AS method
WHERE deployment_status = 'active' AND path IS NOT NULL
GROUP BY tenant_id, path, method
HAVING count(DISTINCT workflow_id) > 1
    AND (bool_or(trigger_subtype = 'WEBHOOK') OR count(DISTINCT trigger_subtype) > 1)
LIMIT 50;

-- name: paths_not_granted
-- Triggers that serve under a path which their deployment was not granted, or has given back.
-- Those from before paths were asked for (attempt 0) serve by right of being first.
SELECT t.tenant_id, t.path, t.workflow_id::text, t.node_id, t.attempt
FROM scheduler.trigger_index t
WHERE t.deployment_status = 'active' AND t.path IS NOT NULL AND t.attempt > 0
    AND NOT EXISTS (
        SELECT FROM scheduler.path_grants g, jsonb_array_elements(g.nodes) AS node
        WHERE g.tenant_id = t.tenant_id AND g.path = t.path AND g.workflow_id = t.workflow_id
            AND g.attempt = t.attempt AND g.released_at IS NULL
            AND node ->> 'node_id' = t.node_id AND node ->> 'subtype' = t.trigger_subtype
            AND node -> 'methods' @> coalesce(t.trigger_config -> 'methods', '["POST"]')
    )
LIMIT 50;

-- name: streams_forgotten
-- Parked streams of the service whose schema is the search path ($1 names it) that nobody lets go
-- and for which no dead letter waits. What is parked behind a dead letter that could not be kept
-- has none: it is tried again when the shard changes hands.
SELECT p.stream, convert_from(m.raw, 'UTF8')::json ->> 'topic' AS topic
FROM parked_stream p
    CROSS JOIN LATERAL (
        SELECT n, raw FROM parked_message WHERE stream = p.stream ORDER BY n LIMIT 1
    ) m
WHERE m.n > 0
    AND convert_from(m.raw, 'UTF8')::json ->> 'topic' NOT LIKE '%.dlt'
    AND NOT EXISTS (
        SELECT FROM recovery.dead_letters d
        WHERE d.service = $1 AND d.parked_stream = p.stream AND d.status = 'waiting'
    )
ORDER BY p.stream
LIMIT 50;

-- name: streams_parked
-- How many streams of the service whose schema is the search path are parked.
SELECT count(*) FROM parked_stream;
