-- An attempt that an open breaker held back sent nothing: it is neither a failure nor a success.

-- migrate:up

ALTER TABLE recovery_attempts
    DROP CONSTRAINT valid_recovery_outcome,
    ADD CONSTRAINT valid_recovery_outcome CHECK (
        recovery_outcome IN (
            'recovered', 'relapsed', 'same_failure', 'other_failure', 'superseded', 'held',
            'handled', 'escalated', 'dead_lettered'
        ) OR recovery_outcome LIKE 'refused:%'
    );

-- migrate:down

UPDATE recovery_attempts SET recovery_outcome = 'superseded' WHERE recovery_outcome = 'held';
ALTER TABLE recovery_attempts
    DROP CONSTRAINT valid_recovery_outcome,
    ADD CONSTRAINT valid_recovery_outcome CHECK (
        recovery_outcome IN (
            'recovered', 'relapsed', 'same_failure', 'other_failure', 'superseded', 'handled',
            'escalated', 'dead_lettered'
        ) OR recovery_outcome LIKE 'refused:%'
    );
