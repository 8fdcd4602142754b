-- migrate:up

-- Deliveries are kept for a week and then swept (shell/retention.py). They are written in the order
-- of their times, so that the smallest index finds the old ones and costs a batch next to nothing.
CREATE INDEX delivery_received_at_idx ON delivery USING brin (received_at)
    WITH (pages_per_range = 16, autosummarize = on);

-- migrate:down

DROP INDEX delivery_received_at_idx;
