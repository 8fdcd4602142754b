-- migrate:up

-- What `$vars` has, by workspace. A variable that was taken away keeps its row, not its value.
CREATE TABLE variables (
    id            uuid PRIMARY KEY,
    tenant_id     text NOT NULL,
    workspace_id  uuid NOT NULL,
    name          varchar(100) NOT NULL,
    value         jsonb,
    is_set        boolean NOT NULL,
    -- How often it was set or taken away: what compare-and-set compares.
    number        integer NOT NULL,
    changed_by    text NOT NULL DEFAULT '',
    updated_at    timestamptz NOT NULL
);
CREATE INDEX variables_workspace_idx ON variables (tenant_id, workspace_id, name);

-- What executions of a workflow leave for those to come.
CREATE TABLE workflow_static_data (
    workflow_id  uuid PRIMARY KEY,
    tenant_id    text NOT NULL,
    data         jsonb NOT NULL,
    number       integer NOT NULL,
    changed_by   text NOT NULL DEFAULT '',
    updated_at   timestamptz NOT NULL
);

-- migrate:down

DROP TABLE workflow_static_data;
DROP TABLE variables;
