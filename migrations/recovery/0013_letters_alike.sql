-- A dead letter says how often it was tried, and which others it is like: they are looked at, and sent
-- again, by pattern. Letters of before have no signature.

-- migrate:up

ALTER TABLE dead_letters
    ADD COLUMN attempts          integer NOT NULL DEFAULT 1,
    ADD COLUMN pattern_signature text NOT NULL DEFAULT '',
    -- The failure's pattern, where a failure made the letter; rows of patterns may be forgotten.
    ADD COLUMN pattern_id        uuid,
    ADD COLUMN family_branch     text NOT NULL DEFAULT '';
CREATE INDEX dead_letters_pattern_idx ON dead_letters (tenant_id, pattern_signature, created_at);

-- migrate:down

DROP INDEX dead_letters_pattern_idx;
ALTER TABLE dead_letters
    DROP COLUMN attempts,
    DROP COLUMN pattern_signature,
    DROP COLUMN pattern_id,
    DROP COLUMN family_branch;
