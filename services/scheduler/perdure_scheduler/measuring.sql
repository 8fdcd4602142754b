-- name: subtypes --
-- How many triggers serve, rest and fail, by subtype.
SELECT trigger_subtype, count(*) AS serving, count(*) FILTER (WHERE NOT is_active) AS paused,
       sum(filter_errors) AS filter_errors
  FROM scheduler.trigger_index WHERE deployment_status = 'active'
 GROUP BY trigger_subtype;

-- name: clocks --
-- What the clocks that serve did, how late the last firings were, and what is overdue now.
SELECT coalesce(sum(fired_count), 0) AS fired, coalesce(sum(missed_count), 0) AS missed,
       coalesce(max(last_late_s), 0) AS late_s,
       greatest(0, coalesce(max(extract(epoch FROM now() - next_fire_at)), 0)) AS overdue_s
  FROM scheduler.trigger_index
 WHERE deployment_status = 'active' AND trigger_subtype = 'CRON' AND is_active;
