-- name: episodes
-- Episodes that are alike, counted: the durations in tenths of a second keep them few.
SELECT
    failure_type,
    dependency_class,
    fallback,
    outcome,
    eligible,
    is_false_positive(e) AS false_positive,
    missed,
    explored,
    round(coalesce(
        duration_s, extract(epoch FROM now() - first_failed_at)
    )::numeric, 1)::double precision AS duration_s,
    count(*)::integer AS count
FROM recovery_episodes e
WHERE tenant_id = $1 AND first_failed_at >= $2 AND first_failed_at < $3
  AND ($4::text IS NULL OR workspace_id = $4)
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9

-- name: explanations
SELECT
    count(*) AS explanations,
    count(*) FILTER (WHERE complete) AS complete,
    avg(faithfulness) AS faithfulness
FROM recovery_explanations
WHERE tenant_id = $1 AND created_at >= $2 AND created_at < $3
  AND ($4::text IS NULL OR workspace_id = $4)

-- name: attempts
SELECT
    count(*) FILTER (WHERE success) AS succeeded,
    count(*) FILTER (WHERE NOT success) AS failed
FROM recovery_attempts
WHERE tenant_id = $1 AND started_at >= $2 AND started_at < $3
  AND ($4::text IS NULL OR workspace_id = $4)

-- name: sizes
-- How large each table is, and by how much it grows in a day: since it was noted last, at least half
-- a day ago, for what comes within minutes says nothing of a day.
SELECT g.table_name AS "table", g.bytes,
       round((g.bytes - before.bytes) / (extract(epoch FROM now() - before.noted_at) / 86400))::bigint
           AS grown_daily
FROM recovery.growing_tables g
LEFT JOIN LATERAL (
    SELECT s.bytes, s.noted_at FROM recovery.table_sizes s
    WHERE s.table_name = g.table_name AND s.noted_at <= now() - interval '12 hours'
    ORDER BY s.noted_at DESC LIMIT 1
) before ON true
ORDER BY 1

-- name: health
SELECT row_to_json(s)::text AS summary
FROM (
    SELECT * FROM recovery_system_health_summary
    WHERE tenant_id = $1 AND day >= $2::timestamptz::date AND day <= $3::timestamptz::date
      AND ($4::text IS NULL OR workspace_id = $4)
    ORDER BY day DESC, workspace_id
    LIMIT $5
) s

-- name: patterns
SELECT pattern_signature, error_message, failure_type, pattern_source, dependency,
       sum(occurrence_count)::bigint AS occurrence_count, max(last_detected_at) AS last_detected_at
FROM failure_patterns
WHERE tenant_id = $1 AND ($2::text IS NULL OR workspace_id = $2)
GROUP BY 1, 2, 3, 4, 5
ORDER BY occurrence_count DESC, pattern_signature
LIMIT $3

-- name: decisions
SELECT recovery_strategy AS strategy, status, coalesce(recovery_outcome, 'open') AS outcome,
       count(*) AS count
FROM recovery_attempts
WHERE tenant_id = $1 AND started_at >= $2 AND started_at < $3
  AND ($4::text IS NULL OR workspace_id = $4)
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3

-- name: beyond_caps
-- Automatic attempts that were made though a node had had its three, or an execution its ten of the
-- day: counted from the rows, by nobody who decides. Of executions that go on for a month at most.
SELECT count(*) AS count
FROM (
    SELECT started_at,
           row_number() OVER (PARTITION BY execution_id, node_id, scope ORDER BY started_at, id)
               AS of_node,
           row_number() OVER (PARTITION BY execution_id, (started_at AT TIME ZONE 'UTC')::date
                              ORDER BY started_at, id) AS of_day
    FROM recovery_attempts
    WHERE tenant_id = $1 AND started_at >= $2::timestamptz - interval '31 days' AND started_at < $3
      AND ($4::text IS NULL OR workspace_id = $4) AND execution_id IS NOT NULL
      AND status IN ('planned', 'running', 'succeeded', 'failed') AND triggered_by <> 'person'
      AND recovery_strategy <> 'skip_compensate'
) a
WHERE started_at >= $2 AND (of_node > $5 OR of_day > $6)

-- name: unexplained
SELECT count(*) AS count
FROM recovery_attempts a
WHERE tenant_id = $1 AND started_at >= $2 AND started_at < $3
  AND ($4::text IS NULL OR workspace_id = $4)
  AND NOT EXISTS (SELECT FROM recovery_explanations e WHERE e.recovery_attempt_id = a.id)

-- name: erasures
-- What was erased in a period: rows are erased of all tenants together, by the same rule.
SELECT table_name AS "table", sum(rows)::bigint AS rows, max(kept_until_before) AS kept_until_before,
       min(erased_at) AS first_at, max(erased_at) AS last_at
FROM erasures
WHERE erased_at >= $1 AND erased_at < $2
GROUP BY table_name
ORDER BY table_name

-- name: letters
SELECT id::text AS id, stream, service, topic, event_type, error, created_at
FROM dead_letters
WHERE tenant_id = $1 AND status = 'waiting'
  AND ($2::text IS NULL OR service = $2)
  AND ($3::text IS NULL OR topic = $3)
  AND ($4::text IS NULL OR event_type = $4)
  AND ($5::text IS NULL OR starts_with(error, $5 || ':'))
  AND ($6::timestamptz IS NULL OR created_at >= $6)
  AND ($7::timestamptz IS NULL OR created_at < $7)
  AND ($8::text IS NULL OR pattern_signature = $8)
ORDER BY created_at, id
LIMIT $9

-- name: letter_patterns
-- Dead letters that are alike, with the newest one's error: the most frequent first. The family is
-- that of failures with such a text.
SELECT pattern_signature, service, failure_type, family_branch,
       count(*) AS letters, count(*) FILTER (WHERE status = 'waiting') AS waiting,
       max(attempts) AS attempts_max,
       min(created_at) AS first_at, max(created_at) AS last_at,
       (array_agg(error ORDER BY created_at DESC, id))[1] AS error
FROM dead_letters
WHERE tenant_id = $1 AND ($2::text IS NULL OR status = $2)
GROUP BY 1, 2, 3, 4
ORDER BY waiting DESC, letters DESC, pattern_signature, service
LIMIT $3

-- name: without_prose
-- Explanations of decisions that are over and young enough to be still read.
SELECT execution_id, recovery_attempt_id::text AS attempt_id, failure_summary, root_cause,
       retry_decision, confidence_explanation, user_action_required, estimated_resolution_time,
       severity_level, display_category
FROM recovery_explanations
WHERE tenant_id = $1 AND prose IS NULL AND prose_refused IS NULL AND execution_id IS NOT NULL
  AND kept_until < '9999-01-01 00:00:00+00'
  AND explanation_generated_at > now() - interval '1 day'
ORDER BY explanation_generated_at
LIMIT $2
