-- migrate:up

-- Where a node runs that the engine can run itself: `auto` is in the engine, unless its input
-- is large.
ALTER TABLE nodes ADD COLUMN run_in text NOT NULL DEFAULT 'auto'
    CONSTRAINT nodes_valid_run_in CHECK (run_in IN ('auto', 'runner'));

-- migrate:down

ALTER TABLE nodes DROP COLUMN run_in;
