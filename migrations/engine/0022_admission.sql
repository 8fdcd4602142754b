-- migrate:up

-- Gates: how many executions run that share a concurrency key, a tenant or a shard, and how many
-- wait for their turn. The truth is the gate's stream; this is for those who look.
CREATE TABLE admission_gates (
    id          uuid PRIMARY KEY,
    tenant_id   text NOT NULL,
    kind        text NOT NULL,
    about       text NOT NULL,
    slots       integer NOT NULL,
    running     integer NOT NULL,
    waiting     integer NOT NULL,
    stream_version  integer NOT NULL,
    updated_at  timestamptz NOT NULL
);
CREATE INDEX admission_gates_updated_idx ON admission_gates (tenant_id, updated_at, id);

-- migrate:down

DROP TABLE admission_gates;
