-- name: make --
-- Make the partition of a month, and those of so many months after it; the ones that were missing.
SELECT month
  FROM generate_series(
           date_trunc('month', $1::timestamptz AT TIME ZONE 'UTC'),
           date_trunc('month', $1::timestamptz AT TIME ZONE 'UTC') + make_interval(months => $2),
           interval '1 month') AS month
 WHERE engine.make_log_partition(month AT TIME ZONE 'UTC');

-- name: drop --
-- Drop the partitions of which every row is older than the retention.
SELECT engine.drop_log_partitions($1::timestamptz - make_interval(days => $2));
