-- What clocks did, for the metrics: how often they fired, what they missed, how late they were.

-- migrate:up

ALTER TABLE trigger_index ADD COLUMN fired_count bigint NOT NULL DEFAULT 0;
ALTER TABLE trigger_index ADD COLUMN missed_count bigint NOT NULL DEFAULT 0;
-- From the instant for which the last firing was scheduled to when it happened, in seconds.
ALTER TABLE trigger_index ADD COLUMN last_late_s double precision;

-- migrate:down

ALTER TABLE trigger_index DROP COLUMN last_late_s;
ALTER TABLE trigger_index DROP COLUMN missed_count;
ALTER TABLE trigger_index DROP COLUMN fired_count;
