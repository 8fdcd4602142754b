-- An execution may answer with a file, which the engine keeps: what is known of it.

-- migrate:up
ALTER TABLE trigger_answers ADD COLUMN IF NOT EXISTS file jsonb;

-- migrate:down
ALTER TABLE trigger_answers DROP COLUMN IF EXISTS file;
