-- name: subtypes --
-- How many triggers serve, rest and fail, by subtype.
SELECT trigger_subtype, count(*) AS serving, count(*) FILTER (WHERE NOT is_active) AS paused,
       sum(filter_errors) AS filter_errors
  FROM scheduler.trigger_index WHERE deployment_status = 'active'
 GROUP BY trigger_subtype;

-- name: clocks --
-- What clocks did, over all their versions, and how late the last firings were of those that serve.
SELECT (SELECT coalesce(sum(fired_count), 0) FROM scheduler.trigger_totals) AS fired,
       (SELECT coalesce(sum(missed_count), 0) FROM scheduler.trigger_totals) AS missed,
       coalesce(max(last_late_s), 0) AS late_s
  FROM scheduler.trigger_index
 WHERE deployment_status = 'active' AND trigger_subtype = 'CRON' AND is_active;

-- name: due --
-- The clocks whose next firing is scheduled for before now, the oldest first; jitter may delay it.
SELECT workflow_id::text, node_id, next_fire_at, now() AS now,
       coalesce((trigger_config ->> 'jitter_s')::bigint, 0) AS jitter_s
  FROM scheduler.trigger_index
 WHERE deployment_status = 'active' AND trigger_subtype = 'CRON' AND is_active
   AND next_fire_at < now()
 ORDER BY next_fire_at
 LIMIT 10000;

-- name: shadowed --
-- Triggers of HTTP that serve, but whose path and method another workflow had first: before paths
-- were granted, two that were deployed in one instant, in two shards, could not see each other.
SELECT b.workflow_name, b.workflow_id::text, b.node_id, b.path, a.workflow_name AS owner
  FROM scheduler.trigger_index a
  JOIN scheduler.trigger_index b USING (tenant_id, path)
 WHERE a.deployment_status = 'active' AND b.deployment_status = 'active'
   AND a.workflow_id <> b.workflow_id
   AND (a.created_at, a.id) < (b.created_at, b.id)
   AND NOT (a.trigger_subtype = b.trigger_subtype AND a.trigger_subtype <> 'WEBHOOK')
   AND coalesce(a.trigger_config -> 'methods', '["POST"]') ?| ARRAY(
       SELECT jsonb_array_elements_text(coalesce(b.trigger_config -> 'methods', '["POST"]')))
 LIMIT 100;

-- name: troubled --
-- How many topics of KAFKA triggers cannot be read, in one of their partitions at least.
SELECT count(DISTINCT topic) FROM scheduler.topic_troubles;
