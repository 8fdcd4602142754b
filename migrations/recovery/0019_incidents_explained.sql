-- Incidents say what happened, to how many and what was tried; where calls are limited they are of
-- one credential. Tries made by chance are told apart.

-- migrate:up

-- Of incidents from before nothing is said: their texts are empty.
ALTER TABLE recovery_incidents
    ADD COLUMN storm_id uuid,
    ADD COLUMN credential text NOT NULL DEFAULT '',
    ADD COLUMN executions integer NOT NULL DEFAULT 0,
    ADD COLUMN probes_failed integer NOT NULL DEFAULT 0,
    ADD COLUMN last_probe text NOT NULL DEFAULT '',
    ADD COLUMN last_probe_at timestamptz,
    ADD COLUMN failure_summary text NOT NULL DEFAULT '',
    ADD COLUMN root_cause text NOT NULL DEFAULT '',
    ADD COLUMN retry_decision text NOT NULL DEFAULT '',
    ADD COLUMN confidence_explanation text NOT NULL DEFAULT '',
    ADD COLUMN user_action_required text NOT NULL DEFAULT '',
    ADD COLUMN estimated_resolution_time text NOT NULL DEFAULT '',
    ADD COLUMN severity_level text NOT NULL DEFAULT '',
    ADD COLUMN display_category text NOT NULL DEFAULT '',
    ADD COLUMN faithfulness double precision NOT NULL DEFAULT 1,
    ADD CONSTRAINT valid_last_probe
        CHECK (last_probe IN ('', 'succeeded', 'failed', 'lost')),
    ADD CONSTRAINT valid_severity_level
        CHECK (severity_level IN ('', 'low', 'medium', 'high', 'critical'));
UPDATE recovery_incidents SET storm_id = pattern_id;
DROP INDEX recovery_incidents_pattern_idx;
CREATE INDEX recovery_incidents_storm_idx ON recovery_incidents (storm_id);
ALTER TABLE recovery_episodes ADD COLUMN explored boolean NOT NULL DEFAULT false;

-- migrate:down

ALTER TABLE recovery_episodes DROP COLUMN explored;
CREATE INDEX recovery_incidents_pattern_idx ON recovery_incidents (pattern_id);
ALTER TABLE recovery_incidents
    DROP COLUMN storm_id,
    DROP COLUMN credential,
    DROP COLUMN executions,
    DROP COLUMN probes_failed,
    DROP COLUMN last_probe,
    DROP COLUMN last_probe_at,
    DROP COLUMN failure_summary,
    DROP COLUMN root_cause,
    DROP COLUMN retry_decision,
    DROP COLUMN confidence_explanation,
    DROP COLUMN user_action_required,
    DROP COLUMN estimated_resolution_time,
    DROP COLUMN severity_level,
    DROP COLUMN display_category,
    DROP COLUMN faithfulness;
