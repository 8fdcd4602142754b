-- Dead letters that were settled, incidents that are over and breakers at rest are forgotten too.

-- migrate:up

-- What is open is kept for good: until the year 9999. The rest as the projections say, 90 days.
ALTER TABLE dead_letters
    ADD COLUMN kept_until timestamptz NOT NULL DEFAULT '9999-01-01 00:00:00+00';
ALTER TABLE recovery_incidents
    ADD COLUMN kept_until timestamptz NOT NULL DEFAULT '9999-01-01 00:00:00+00';
ALTER TABLE recovery_breakers
    ADD COLUMN kept_until timestamptz NOT NULL DEFAULT '9999-01-01 00:00:00+00';
UPDATE dead_letters SET kept_until = processed_at + interval '2160 hours'
    WHERE status <> 'waiting' AND processed_at IS NOT NULL;
UPDATE recovery_incidents SET kept_until = closed_at + interval '2160 hours'
    WHERE closed_at IS NOT NULL;
UPDATE recovery_breakers SET kept_until = updated_at + interval '2160 hours'
    WHERE state = 'closed';
CREATE INDEX dead_letters_kept_idx ON dead_letters (kept_until);

CREATE OR REPLACE FUNCTION cleanup_old_recovery_data(
    retention_days integer DEFAULT 90, at timestamptz DEFAULT now()
) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = recovery, pg_temp
AS $$
DECLARE
    past  timestamptz;
    name  text;
    part  bigint;
    gone  bigint := 0;
BEGIN
    IF retention_days IS NULL OR retention_days < 7 THEN
        RAISE EXCEPTION 'retention_days is %: give a whole number of days from 7', retention_days
            USING ERRCODE = '22023';
    END IF;
    past := at + make_interval(days => 90 - retention_days);
    PERFORM pg_advisory_xact_lock(hashtext('cleanup_old_recovery_data'));
    FOREACH name IN ARRAY ARRAY[
        'recovery_explanations', 'recovery_attempts', 'recovery_episodes', 'failure_patterns',
        'dead_letters', 'recovery_incidents', 'recovery_breakers'
    ] LOOP
        EXECUTE format('DELETE FROM %I WHERE kept_until < %L', name, past);
        GET DIAGNOSTICS part = ROW_COUNT;
        gone := gone + part;
        INSERT INTO expired VALUES (name, past)
        ON CONFLICT (table_name) DO UPDATE SET before = greatest(expired.before, past);
    END LOOP;
    RETURN gone;
END
$$;

-- migrate:down

CREATE OR REPLACE FUNCTION cleanup_old_recovery_data(
    retention_days integer DEFAULT 90, at timestamptz DEFAULT now()
) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = recovery, pg_temp
AS $$
DECLARE
    past  timestamptz;
    name  text;
    part  bigint;
    gone  bigint := 0;
BEGIN
    IF retention_days IS NULL OR retention_days < 7 THEN
        RAISE EXCEPTION 'retention_days is %: give a whole number of days from 7', retention_days
            USING ERRCODE = '22023';
    END IF;
    past := at + make_interval(days => 90 - retention_days);
    PERFORM pg_advisory_xact_lock(hashtext('cleanup_old_recovery_data'));
    FOREACH name IN ARRAY ARRAY[
        'recovery_explanations', 'recovery_attempts', 'recovery_episodes', 'failure_patterns'
    ] LOOP
        EXECUTE format('DELETE FROM %I WHERE kept_until < %L', name, past);
        GET DIAGNOSTICS part = ROW_COUNT;
        gone := gone + part;
        INSERT INTO expired VALUES (name, past)
        ON CONFLICT (table_name) DO UPDATE SET before = greatest(expired.before, past);
    END LOOP;
    RETURN gone;
END
$$;
DELETE FROM expired
    WHERE table_name IN ('dead_letters', 'recovery_incidents', 'recovery_breakers');
ALTER TABLE recovery_breakers DROP COLUMN kept_until;
ALTER TABLE recovery_incidents DROP COLUMN kept_until;
ALTER TABLE dead_letters DROP COLUMN kept_until;
