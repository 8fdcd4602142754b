-- What `perdure status` asks the tables of services.

-- name: triggers
-- How far what clocks have settled lies ahead of now, and how many triggers' filters fail.
SELECT max(extract(epoch FROM settled_until - now())) FILTER (
        WHERE next_fire_at IS NOT NULL AND is_active
    ) AS behind_s,
    count(*) FILTER (WHERE filter_errors > 0) AS failing
  FROM scheduler.trigger_index WHERE deployment_status = 'active';

-- name: untold
-- Streams of recovery that are parked behind a dead letter which it could not keep.
SELECT p.stream
  FROM recovery.parked_stream p CROSS JOIN LATERAL (
        SELECT n, raw FROM recovery.parked_message WHERE stream = p.stream ORDER BY n LIMIT 1
    ) m
 WHERE m.n > 0 AND convert_from(m.raw, 'UTF8')::json ->> 'topic' LIKE '%.dlt'
 ORDER BY p.stream;
