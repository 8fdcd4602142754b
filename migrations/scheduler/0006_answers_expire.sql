-- Answers of executions are forgotten after the retention of trigger events, oldest first.

-- migrate:up
CREATE INDEX IF NOT EXISTS trigger_answers_answered_idx ON trigger_answers (answered_at);

-- migrate:down
DROP INDEX IF EXISTS trigger_answers_answered_idx;
