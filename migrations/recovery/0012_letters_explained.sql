-- A dead letter says as what kind of failure it is taken, and what people are to do about it.

-- migrate:up

ALTER TABLE dead_letters
    ADD COLUMN failure_type         text NOT NULL DEFAULT 'unknown',
    ADD COLUMN root_cause_category  text NOT NULL DEFAULT 'platform',
    ADD COLUMN recovery_strategy    text NOT NULL DEFAULT 'escalate_human',
    ADD COLUMN user_action_required text NOT NULL DEFAULT '';

-- migrate:down

ALTER TABLE dead_letters
    DROP COLUMN failure_type,
    DROP COLUMN root_cause_category,
    DROP COLUMN recovery_strategy,
    DROP COLUMN user_action_required;
