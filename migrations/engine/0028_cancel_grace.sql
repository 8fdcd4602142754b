-- migrate:up

-- Until when an attempt may go on that is canceled; null is until its runner hears of it.
ALTER TABLE node_claims ADD COLUMN stop_at timestamptz;

-- migrate:down

ALTER TABLE node_claims DROP COLUMN stop_at;
