-- What recovery decides about dead letters stands among its decisions, with an explanation.

-- migrate:up

ALTER TABLE recovery_attempts
    ADD COLUMN dead_letter_id uuid,
    DROP CONSTRAINT about_something,
    ADD CONSTRAINT about_something CHECK (
        task_id IS NOT NULL OR execution_id IS NOT NULL OR dead_letter_id IS NOT NULL
    );
ALTER TABLE recovery_explanations
    ADD COLUMN dead_letter_id uuid,
    DROP CONSTRAINT about_something,
    ADD CONSTRAINT about_something CHECK (
        task_id IS NOT NULL OR execution_id IS NOT NULL OR dead_letter_id IS NOT NULL
    );
CREATE INDEX recovery_explanations_letter_idx ON recovery_explanations (tenant_id, dead_letter_id)
    WHERE dead_letter_id IS NOT NULL;

-- migrate:down

DELETE FROM recovery_explanations WHERE dead_letter_id IS NOT NULL;
DELETE FROM recovery_attempts WHERE dead_letter_id IS NOT NULL;
DROP INDEX recovery_explanations_letter_idx;
ALTER TABLE recovery_explanations
    DROP CONSTRAINT about_something,
    DROP COLUMN dead_letter_id,
    ADD CONSTRAINT about_something CHECK (task_id IS NOT NULL OR execution_id IS NOT NULL);
ALTER TABLE recovery_attempts
    DROP CONSTRAINT about_something,
    DROP COLUMN dead_letter_id,
    ADD CONSTRAINT about_something CHECK (task_id IS NOT NULL OR execution_id IS NOT NULL);
