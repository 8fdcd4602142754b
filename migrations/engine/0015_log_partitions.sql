-- migrate:up

-- The log of executions, a partition for each month (UTC): made ahead of time and dropped as a
-- whole, so that old rows cost nothing to forget. Rows of a month that nobody made wait in the
-- partition `…_other`, from where they move when it is made.
ALTER TABLE workflow_execution_logs RENAME TO workflow_execution_logs_before;
ALTER TABLE workflow_execution_logs_before
    RENAME CONSTRAINT workflow_execution_logs_pkey TO workflow_execution_logs_before_pkey;
ALTER INDEX workflow_execution_logs_execution_idx
    RENAME TO workflow_execution_logs_before_execution_idx;

CREATE TABLE workflow_execution_logs (
    LIKE workflow_execution_logs_before INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
    CONSTRAINT workflow_execution_logs_pkey PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX workflow_execution_logs_execution_idx
    ON workflow_execution_logs (execution_id, position);
CREATE TABLE workflow_execution_logs_other PARTITION OF workflow_execution_logs DEFAULT;

INSERT INTO workflow_execution_logs SELECT * FROM workflow_execution_logs_before;
DROP TABLE workflow_execution_logs_before;

-- Before which instant rows of a table were dropped: a replay makes none of them again.
CREATE TABLE expired (
    table_name  text PRIMARY KEY,
    before      timestamptz NOT NULL
);

-- Make the partition of a month, and move what waited for it; false if it is there already.
CREATE FUNCTION make_log_partition(day timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = engine, pg_temp SET lock_timeout = '2s'
AS $$
DECLARE
    first timestamptz := date_trunc('month', day, 'UTC');
    -- A month has other lengths in other zones: it is reckoned in UTC.
    after timestamptz := ((first AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
    name  text := 'workflow_execution_logs_' || to_char(first AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('workflow_execution_logs'));
    IF to_regclass(name) IS NOT NULL THEN
        RETURN false;
    END IF;
    LOCK TABLE workflow_execution_logs_other IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('CREATE TABLE %I (LIKE workflow_execution_logs INCLUDING ALL)', name);
    EXECUTE format(
        'WITH moved AS (
             DELETE FROM workflow_execution_logs_other
              WHERE created_at >= %L AND created_at < %L RETURNING *
         ) INSERT INTO %I SELECT * FROM moved', first, after, name);
    EXECUTE format(
        'ALTER TABLE workflow_execution_logs ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        name, first, after);
    RETURN true;
END
$$;

-- Drop the partitions of which every row is older than an instant; return how many.
CREATE FUNCTION drop_log_partitions(older_than timestamptz) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = engine, pg_temp SET lock_timeout = '2s'
AS $$
DECLARE
    month   record;
    dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('workflow_execution_logs'));
    FOR month IN
        SELECT c.relname AS name,
               (to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC'
                   AS after
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'workflow_execution_logs'::regclass
           AND c.relname ~ '^workflow_execution_logs_[0-9]{4}_[0-9]{2}$'
         ORDER BY c.relname
    LOOP
        IF month.after <= older_than THEN
            EXECUTE format('DROP TABLE %I', month.name);
            dropped := dropped + 1;
            INSERT INTO expired VALUES ('workflow_execution_logs', month.after)
            ON CONFLICT (table_name) DO UPDATE SET before = greatest(expired.before, month.after);
        END IF;
    END LOOP;
    RETURN dropped;
END
$$;

-- Forget every row that is older than so many days: whole partitions at once, of the rest row by
-- row. Returns how many rows are gone.
CREATE FUNCTION cleanup_old_execution_logs(
    retention_days integer, at timestamptz DEFAULT now()
) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = engine, pg_temp
AS $$
DECLARE
    older_than timestamptz := at - make_interval(days => retention_days);
    gone       bigint;
BEGIN
    IF retention_days IS NULL OR retention_days < 0 THEN
        RAISE EXCEPTION 'retention_days is %: give a whole number of days from 0', retention_days
            USING ERRCODE = '22023';
    END IF;
    SELECT count(*) INTO gone FROM workflow_execution_logs WHERE created_at < older_than;
    PERFORM drop_log_partitions(older_than);
    DELETE FROM workflow_execution_logs WHERE created_at < older_than;
    INSERT INTO expired VALUES ('workflow_execution_logs', older_than)
    ON CONFLICT (table_name) DO UPDATE SET before = greatest(expired.before, older_than);
    RETURN gone;
END
$$;

REVOKE EXECUTE ON FUNCTION make_log_partition(timestamptz) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION drop_log_partitions(timestamptz) FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION cleanup_old_execution_logs(integer, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION make_log_partition(timestamptz) TO engine_shell;
GRANT EXECUTE ON FUNCTION drop_log_partitions(timestamptz) TO engine_shell;
GRANT EXECUTE ON FUNCTION cleanup_old_execution_logs(integer, timestamptz) TO engine_shell;

-- migrate:down

DROP FUNCTION cleanup_old_execution_logs(integer, timestamptz);
DROP FUNCTION drop_log_partitions(timestamptz);
DROP FUNCTION make_log_partition(timestamptz);
DROP TABLE expired;
ALTER TABLE workflow_execution_logs RENAME TO workflow_execution_logs_parts;
ALTER TABLE workflow_execution_logs_parts
    RENAME CONSTRAINT workflow_execution_logs_pkey TO workflow_execution_logs_parts_pkey;
ALTER INDEX workflow_execution_logs_execution_idx
    RENAME TO workflow_execution_logs_parts_execution_idx;
CREATE TABLE workflow_execution_logs (
    LIKE workflow_execution_logs_parts INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
    CONSTRAINT workflow_execution_logs_pkey PRIMARY KEY (id)
);
CREATE INDEX workflow_execution_logs_execution_idx
    ON workflow_execution_logs (execution_id, position);
INSERT INTO workflow_execution_logs SELECT * FROM workflow_execution_logs_parts;
DROP TABLE workflow_execution_logs_parts;
