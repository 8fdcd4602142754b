-- How recovery is measured and how long its rows are kept: episodes with a health summary,
-- families of patterns, the instant until which each row is kept, and the clean-up.

-- migrate:up

-- The branch of the Drain tree that a pattern's message lies in; see families.py.
ALTER TABLE failure_patterns ADD COLUMN family_branch text NOT NULL DEFAULT '';
CREATE INDEX failure_patterns_family_idx
    ON failure_patterns (tenant_id, workspace_id, family_branch)
    WHERE pattern_source <> 'neighbour';

-- What is open, or frequent, is kept for good: until the year 9999.
ALTER TABLE failure_patterns
    ADD COLUMN kept_until timestamptz NOT NULL DEFAULT '9999-01-01 00:00:00+00';
ALTER TABLE recovery_attempts
    ADD COLUMN kept_until timestamptz NOT NULL DEFAULT '9999-01-01 00:00:00+00';
ALTER TABLE recovery_explanations
    ADD COLUMN kept_until timestamptz NOT NULL DEFAULT '9999-01-01 00:00:00+00';
CREATE INDEX failure_patterns_kept_idx ON failure_patterns (kept_until);
CREATE INDEX recovery_attempts_kept_idx ON recovery_attempts (kept_until);
CREATE INDEX recovery_explanations_kept_idx ON recovery_explanations (kept_until);
CREATE INDEX recovery_attempts_workspace_idx
    ON recovery_attempts (tenant_id, workspace_id, started_at);
CREATE INDEX recovery_explanations_created_idx ON recovery_explanations (tenant_id, created_at, id);

-- What an explanation was measured to be: every column filled; the share of its numbers, names
-- and addresses that occur in what it was made from.
ALTER TABLE recovery_explanations ADD COLUMN complete boolean NOT NULL DEFAULT true;
ALTER TABLE recovery_explanations ADD COLUMN faithfulness double precision NOT NULL DEFAULT 1;

-- A node's failures in one run, from the first until recovered, escalated or given up.
CREATE TABLE recovery_episodes (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    workspace_id text NOT NULL,
    workflow_id text,
    execution_id text NOT NULL,
    node_id text NOT NULL DEFAULT '',
    node_type text NOT NULL DEFAULT '',
    scope jsonb NOT NULL DEFAULT '[]',
    run integer NOT NULL DEFAULT 0,
    -- Of the latest failure.
    pattern_signature text NOT NULL,
    failure_type text NOT NULL,
    dependency text NOT NULL DEFAULT '',
    -- The kind of the dependency: llm, http, tool …; none without one.
    dependency_class text NOT NULL,
    first_failed_at timestamptz NOT NULL,
    last_failed_at timestamptz NOT NULL,
    failures integer NOT NULL DEFAULT 0,
    -- Automatic attempts that were started.
    attempts integer NOT NULL DEFAULT 0,
    -- At least one automatic attempt was started or parked.
    eligible boolean NOT NULL DEFAULT false,
    -- Retried unchanged while believed to pass, or not known to last.
    judged_transient boolean NOT NULL DEFAULT false,
    -- Another model was tried.
    fallback boolean NOT NULL DEFAULT false,
    last_strategy text NOT NULL DEFAULT '',
    -- The guard rail that refused last, `rules` where none was needed.
    refused_by text NOT NULL DEFAULT '',
    outcome text NOT NULL,
    -- When the node completed after all; it counts once that is confirmed.
    completed_at timestamptz,
    closed_at timestamptz,
    -- From the first failure to the completion, or to the end of it.
    duration_s double precision,
    resolution_time interval,
    -- An unchanged retry of ours made it complete.
    cured_unchanged boolean NOT NULL DEFAULT false,
    -- What was ordered was not wanted any more.
    obsolete boolean NOT NULL DEFAULT false,
    -- Left to people, and completed when they ran it again unchanged.
    missed boolean NOT NULL DEFAULT false,
    fixed_at timestamptz,
    kept_until timestamptz NOT NULL DEFAULT '9999-01-01 00:00:00+00',
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT valid_outcome CHECK (outcome IN (
        'open', 'recovered', 'escalated', 'superseded', 'relapsed', 'handled', 'dead_lettered'
    ))
);
CREATE INDEX recovery_episodes_first_idx ON recovery_episodes (tenant_id, first_failed_at, id);
CREATE INDEX recovery_episodes_workspace_idx
    ON recovery_episodes (tenant_id, workspace_id, first_failed_at);
CREATE INDEX recovery_episodes_execution_idx ON recovery_episodes (tenant_id, execution_id);
CREATE INDEX recovery_episodes_open_idx ON recovery_episodes (tenant_id) WHERE outcome = 'open';
CREATE INDEX recovery_episodes_kept_idx ON recovery_episodes (kept_until);

-- Before which `kept_until` rows of a table were dropped: a replay makes none of them again.
CREATE TABLE expired (
    table_name text PRIMARY KEY,
    before timestamptz NOT NULL
);

-- Wilson's interval of a share, z = 1.96; NULL of nothing.
CREATE FUNCTION wilson_low(successes bigint, trials bigint) RETURNS double precision
    LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN trials > 0 THEN greatest(0,
        (successes + 1.96 ^ 2 / 2 - 1.96 * sqrt(
            successes::double precision * (trials - successes) / trials + 1.96 ^ 2 / 4
        )) / (trials + 1.96 ^ 2))
    END
$$;
CREATE FUNCTION wilson_high(successes bigint, trials bigint) RETURNS double precision
    LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN trials > 0 THEN least(1,
        (successes + 1.96 ^ 2 / 2 + 1.96 * sqrt(
            successes::double precision * (trials - successes) / trials + 1.96 ^ 2 / 4
        )) / (trials + 1.96 ^ 2))
    END
$$;

-- An attempt that was wrong to make: not cured unchanged within a day, or not wanted any more.
CREATE FUNCTION is_false_positive(episode recovery_episodes) RETURNS boolean
    LANGUAGE sql IMMUTABLE AS $$
    SELECT episode.outcome <> 'open' AND (
        episode.obsolete OR (
            episode.judged_transient AND NOT episode.cured_unchanged
            AND NOT coalesce(episode.fixed_at <= episode.first_failed_at + interval '24 hours', false)
        )
    )
$$;

-- How recovery does: a row for each tenant, workspace and UTC day of the first failure.
CREATE VIEW recovery_system_health_summary WITH (security_invoker = true) AS
WITH counted AS (SELECT
    e.tenant_id,
    e.workspace_id,
    (e.first_failed_at AT TIME ZONE 'UTC')::date AS day,
    count(*) AS episodes,
    count(*) FILTER (WHERE e.eligible) AS eligible,
    count(*) FILTER (WHERE e.eligible)::double precision / count(*) AS coverage,
    count(*) FILTER (WHERE e.eligible AND e.outcome = 'recovered') AS recovered,
    count(*) FILTER (WHERE e.eligible AND e.outcome = 'recovered')::double precision
        / nullif(count(*) FILTER (WHERE e.eligible AND e.outcome <> 'open'), 0) AS success_rate,
    wilson_low(
        count(*) FILTER (WHERE e.eligible AND e.outcome = 'recovered'),
        count(*) FILTER (WHERE e.eligible AND e.outcome <> 'open')
    ) AS success_low,
    wilson_high(
        count(*) FILTER (WHERE e.eligible AND e.outcome = 'recovered'),
        count(*) FILTER (WHERE e.eligible AND e.outcome <> 'open')
    ) AS success_high,
    count(*) FILTER (WHERE is_false_positive(e)) AS false_positives,
    count(*) FILTER (WHERE e.missed) AS missed,
    percentile_disc(0.5) WITHIN GROUP (ORDER BY e.duration_s)
        FILTER (WHERE e.eligible AND e.outcome = 'recovered') AS mttr_p50_s,
    percentile_disc(0.9) WITHIN GROUP (ORDER BY e.duration_s)
        FILTER (WHERE e.eligible AND e.outcome = 'recovered') AS mttr_p90_s,
    avg(e.duration_s) FILTER (WHERE e.eligible AND e.outcome = 'recovered') AS mttr_mean_s,
    count(*) FILTER (WHERE e.outcome = 'open') AS open
FROM recovery_episodes e
GROUP BY e.tenant_id, e.workspace_id, (e.first_failed_at AT TIME ZONE 'UTC')::date
)
SELECT
    c.*,
    (SELECT count(*) FROM recovery_attempts a
      WHERE a.tenant_id = c.tenant_id AND a.workspace_id = c.workspace_id
        AND a.status IN ('parked', 'waiting_approval')
        AND (a.started_at AT TIME ZONE 'UTC')::date = c.day) AS parked,
    (SELECT sum(pg_total_relation_size(t.oid))::bigint FROM pg_class t
      WHERE t.relnamespace = 'recovery'::regnamespace AND t.relkind = 'r'
        AND t.relname IN (
            'failure_patterns', 'recovery_attempts', 'recovery_explanations', 'recovery_episodes',
            'dead_letters'
        )) AS table_bytes
FROM counted c;

-- Forget what is past its time. `retention_days` is how long the shortest kind is kept (90: as
-- documented); what is kept longer keeps its head start. Returns how many rows are gone.
CREATE FUNCTION cleanup_old_recovery_data(
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
REVOKE EXECUTE ON FUNCTION cleanup_old_recovery_data(integer, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION cleanup_old_recovery_data(integer, timestamptz) TO recovery_shell;

-- migrate:down

DROP FUNCTION cleanup_old_recovery_data(integer, timestamptz);
DROP VIEW recovery_system_health_summary;
DROP FUNCTION is_false_positive(recovery_episodes);
DROP FUNCTION wilson_high(bigint, bigint);
DROP FUNCTION wilson_low(bigint, bigint);
DROP TABLE expired;
DROP TABLE recovery_episodes;
ALTER TABLE recovery_explanations DROP COLUMN faithfulness;
ALTER TABLE recovery_explanations DROP COLUMN complete;
DROP INDEX recovery_explanations_created_idx;
DROP INDEX recovery_attempts_workspace_idx;
ALTER TABLE recovery_explanations DROP COLUMN kept_until;
ALTER TABLE recovery_attempts DROP COLUMN kept_until;
ALTER TABLE failure_patterns DROP COLUMN kept_until;
ALTER TABLE failure_patterns DROP COLUMN family_branch;
