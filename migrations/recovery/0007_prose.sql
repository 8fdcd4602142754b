-- What a language model made of an explanation, if that is switched on; see prose.py.

-- migrate:up

ALTER TABLE recovery_explanations
    ADD COLUMN prose text,
    -- What it claimed that nobody had told it: it is not shown then.
    ADD COLUMN prose_refused text;
CREATE INDEX recovery_explanations_prose_idx ON recovery_explanations (explanation_generated_at)
    WHERE prose IS NULL AND prose_refused IS NULL AND kept_until < '9999-01-01 00:00:00+00';

-- migrate:down

DROP INDEX recovery_explanations_prose_idx;
ALTER TABLE recovery_explanations DROP COLUMN prose, DROP COLUMN prose_refused;
