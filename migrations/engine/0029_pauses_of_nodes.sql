-- migrate:up

-- Nodes that wait for people, for an instant or for an event, and those that recovery holds after an
-- error, have a row of their own while they do. `interaction_id` is the question that people are asked.
ALTER TABLE workflow_execution_pauses
    ADD COLUMN interaction_id text,
    ALTER COLUMN paused_at SET DEFAULT CURRENT_TIMESTAMP,
    DROP CONSTRAINT valid_pause_reason,
    ADD CONSTRAINT valid_pause_reason CHECK (
        pause_reason IN ('human_interaction', 'timeout', 'error', 'operator', 'event')
    );

-- migrate:down

DELETE FROM workflow_execution_pauses WHERE pause_reason <> 'operator';
ALTER TABLE workflow_execution_pauses
    DROP COLUMN interaction_id,
    ALTER COLUMN paused_at DROP DEFAULT,
    DROP CONSTRAINT valid_pause_reason,
    ADD CONSTRAINT valid_pause_reason CHECK (
        pause_reason IN ('human_interaction', 'timeout', 'error', 'operator')
    );
