-- The health summary says how many breakers of the tenant are open now. Like the bytes of the
-- tables it is the same in each row, for breakers belong to no workspace and no day.

-- migrate:up

CREATE OR REPLACE VIEW recovery_system_health_summary WITH (security_invoker = true) AS
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
        )) AS table_bytes,
    (SELECT count(*) FROM recovery_breakers b
      WHERE b.tenant_id = c.tenant_id AND b.state = 'open') AS open_breakers
FROM counted c;

-- migrate:down

DROP VIEW recovery_system_health_summary;
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
