-- What people are asked is found at once, however much was decided since; and a workspace of which only
-- the mode was set takes the rest from the one that stands for all.

-- migrate:up

CREATE INDEX recovery_attempts_asked_idx ON recovery_attempts (tenant_id, started_at, id)
    WHERE recovery_context ? 'interaction_id' AND NOT recovery_context ? 'said';

-- Attempts about which people are asked, and have not answered: leave, or what becomes of a node.
CREATE VIEW recovery_questions WITH (security_invoker = true) AS
SELECT id, tenant_id, workspace_id, workflow_id, execution_id, node_id, failure_id, started_at,
       recovery_context ->> 'interaction_id' AS interaction_id,
       recovery_context ->> 'cause' AS cause,
       (recovery_context ->> 'until')::timestamptz AS until,
       recovery_reason, error_message
FROM recovery_attempts
WHERE recovery_context ? 'interaction_id' AND NOT recovery_context ? 'said'
  AND recovery_context ->> 'interaction_id' IS NOT NULL
  AND status IN ('waiting_approval', 'refused')
  AND (recovery_context ->> 'until')::timestamptz > now();

ALTER TABLE recovery_modes
    ALTER COLUMN sampler DROP NOT NULL, ALTER COLUMN sampler DROP DEFAULT,
    ALTER COLUMN people DROP NOT NULL, ALTER COLUMN people DROP DEFAULT;

-- migrate:down

UPDATE recovery_modes SET sampler = coalesce(sampler, 'rules'), people = coalesce(people, 'ask');
ALTER TABLE recovery_modes
    ALTER COLUMN sampler SET DEFAULT 'rules', ALTER COLUMN sampler SET NOT NULL,
    ALTER COLUMN people SET DEFAULT 'ask', ALTER COLUMN people SET NOT NULL;
DROP VIEW recovery_questions;
DROP INDEX recovery_attempts_asked_idx;
