-- What the HTTP listener needs: the path of a trigger, receipts of requests, answers of
-- executions, large bodies and test URLs. All but the path and the answers stand beside the journal.

-- migrate:up

-- Where requests for the trigger come; null if it does not listen on HTTP.
ALTER TABLE trigger_index ADD COLUMN path varchar(255);
CREATE INDEX trigger_index_path_idx
    ON trigger_index (tenant_id, path, deployment_status, is_active);

-- Which request came under an id: the first one decides when the event was, and what it is called.
-- It is written before the event is published, and never says that it was.
CREATE TABLE trigger_receipts (
    tenant_id    text NOT NULL,
    source       text NOT NULL,
    -- The delivery id, or sha256:… of the body where ids are not signed.
    id           text NOT NULL,
    event_id     text NOT NULL,
    received_at  timestamptz NOT NULL,
    -- Where the path names one trigger: the execution that the event starts.
    execution_id text,
    -- SHA-256 of what a caller must know to ask how the execution ended.
    token_sha256 text,
    PRIMARY KEY (tenant_id, source, id)
);
CREATE INDEX trigger_receipts_received_idx ON trigger_receipts (received_at);
CREATE INDEX trigger_receipts_execution_idx ON trigger_receipts (execution_id)
    WHERE execution_id IS NOT NULL;

-- What executions answer to those who started them by HTTP.
CREATE TABLE trigger_answers (
    tenant_id    text NOT NULL,
    execution_id text NOT NULL,
    status       integer NOT NULL,
    headers      jsonb NOT NULL DEFAULT '{}',
    body         jsonb,
    -- How the execution ended; empty if a RESPOND node answered.
    ended        text NOT NULL DEFAULT '',
    answered_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, execution_id)
);

-- Bodies that are too large for an event, as they came.
CREATE TABLE trigger_bodies (
    tenant_id    text NOT NULL,
    sha256       text NOT NULL,
    content_type text NOT NULL,
    bytes        integer NOT NULL,
    data         bytea NOT NULL,
    received_at  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, sha256)
);
CREATE INDEX trigger_bodies_received_idx ON trigger_bodies (received_at);

-- Test URLs: each takes one request, for a version that need not serve.
CREATE TABLE trigger_tests (
    id              uuid PRIMARY KEY,
    tenant_id       text NOT NULL,
    path            text NOT NULL,
    workflow_id     text NOT NULL,
    workflow_name   text NOT NULL,
    version         integer NOT NULL,
    node_id         text NOT NULL,
    trigger_subtype text NOT NULL,
    index_key       text NOT NULL,
    trigger_config  jsonb NOT NULL,
    expires_at      timestamptz NOT NULL,
    execution_id    text
);
CREATE INDEX trigger_tests_path_idx ON trigger_tests (tenant_id, path, expires_at);

-- migrate:down

DROP TABLE trigger_tests;
DROP TABLE trigger_bodies;
DROP TABLE trigger_answers;
DROP TABLE trigger_receipts;
DROP INDEX trigger_index_path_idx;
ALTER TABLE trigger_index DROP COLUMN path;
