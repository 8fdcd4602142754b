-- migrate:up

-- Who runs a long or unsafe attempt, and until when; one row for each token, ever.
-- A row that the engine writes first (canceled) keeps the attempt from beginning.
CREATE TABLE node_claims (
    token         text PRIMARY KEY,
    tenant_id     text NOT NULL DEFAULT '',
    execution_id  text NOT NULL DEFAULT '',
    runner        text NOT NULL DEFAULT '',
    lease_until   timestamptz,
    claimed_at    timestamptz NOT NULL DEFAULT now(),
    finished_at   timestamptz,
    canceled      boolean NOT NULL DEFAULT false
) WITH (fillfactor = 80);

CREATE INDEX node_claims_open ON node_claims (lease_until)
    WHERE finished_at IS NULL;

-- migrate:down

DROP TABLE node_claims;
