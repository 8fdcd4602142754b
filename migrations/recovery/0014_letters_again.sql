-- A parked stream that was let go and stopped again waits behind the letter that it had: the letter
-- is opened again, and says when its record failed last.

-- migrate:up

ALTER TABLE dead_letters ADD COLUMN last_failed_at timestamptz;
UPDATE dead_letters SET last_failed_at = created_at;

-- migrate:down

ALTER TABLE dead_letters DROP COLUMN last_failed_at;
