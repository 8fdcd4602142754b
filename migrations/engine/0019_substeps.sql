-- migrate:up

-- What an agent did step by step: a row stands here before a model or a tool is called, and has
-- the answer before the next step begins. A resumed agent reads them and repeats none.
-- `agent` is the idempotency key of one item of one node run, the same for every attempt;
-- `request` is the hash of what was asked, so that a changed question is a new step.
CREATE TABLE substeps (
    agent          text NOT NULL,
    request        text NOT NULL,
    n              integer NOT NULL,
    kind           text NOT NULL CHECK (kind IN ('model', 'tool')),
    name           text NOT NULL,
    tenant_id      text NOT NULL,
    execution_id   text NOT NULL,
    node_id        text NOT NULL,
    token          text NOT NULL,
    state          text NOT NULL DEFAULT 'begun' CHECK (state IN ('begun', 'finished', 'void')),
    result         text,
    input_tokens   bigint NOT NULL DEFAULT 0,
    output_tokens  bigint NOT NULL DEFAULT 0,
    cost_usd       double precision NOT NULL DEFAULT 0,
    began_at       timestamptz NOT NULL DEFAULT now(),
    finished_at    timestamptz,
    PRIMARY KEY (agent, request)
) WITH (fillfactor = 70);

CREATE INDEX substeps_execution ON substeps (execution_id);

-- migrate:down

DROP TABLE substeps;
