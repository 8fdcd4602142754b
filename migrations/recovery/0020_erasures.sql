-- When rows were erased, from which table and how many: the compliance report is of a period.

-- migrate:up

CREATE TABLE erasures (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    table_name        text NOT NULL,
    rows              bigint NOT NULL,
    kept_until_before timestamptz NOT NULL,
    erased_at         timestamptz NOT NULL
);
CREATE INDEX erasures_at_idx ON erasures (erased_at);

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
        IF part > 0 THEN
            INSERT INTO erasures (table_name, rows, kept_until_before, erased_at)
            VALUES (name, part, past, now());
        END IF;
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
DROP TABLE erasures;
