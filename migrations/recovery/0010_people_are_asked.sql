-- Beside being told and being held for, people can be asked about a node that was given up.

-- migrate:up

ALTER TABLE recovery_modes
    ALTER COLUMN people SET DEFAULT 'ask',
    DROP CONSTRAINT valid_people,
    ADD CONSTRAINT valid_people CHECK (people IN ('ask', 'hold', 'tell'));

-- migrate:down

UPDATE recovery_modes SET people = 'tell' WHERE people = 'ask';
ALTER TABLE recovery_modes
    ALTER COLUMN people SET DEFAULT 'tell',
    DROP CONSTRAINT valid_people,
    ADD CONSTRAINT valid_people CHECK (people IN ('tell', 'hold'));
