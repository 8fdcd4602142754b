-- The scheduler's tables: which triggers serve, what was deployed when, and what became of
-- trigger events. Written by projections only; `id`s follow from the events.

-- migrate:up

-- One row for each trigger node of each version that was ever deployed. A trigger event finds
-- its workflows here with one index scan.
CREATE TABLE trigger_index (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    workflow_id uuid NOT NULL,
    workflow_name text NOT NULL DEFAULT '',
    deployment_version integer NOT NULL,
    node_id varchar(255) NOT NULL,
    -- The node's place in the file, from 0: a manual event fires the first.
    position integer NOT NULL DEFAULT 0,
    trigger_type varchar(50) NOT NULL,
    trigger_subtype varchar(100) NOT NULL,
    -- What the event must fulfil beside its key: the node's filters.
    trigger_config jsonb NOT NULL DEFAULT '{}',
    -- MANUAL: the workflow's id; WEBHOOK: the path; GITHUB: owner/name, owner/*, owner or *.
    index_key varchar(255) NOT NULL,
    -- Follows the deployment; `is_active` is the operator's pause.
    deployment_status varchar(50) NOT NULL DEFAULT 'active',
    is_active boolean NOT NULL DEFAULT true,
    timezone text,
    next_fire_at timestamptz,
    settled_until timestamptz,
    error_message text,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT trigger_index_node_key UNIQUE (workflow_id, deployment_version, node_id),
    -- One version of a node serves. Checked at the end of the transaction, because a swap
    -- writes the rows in the order of their keys, whichever goes and whichever comes.
    CONSTRAINT trigger_index_one_active
        EXCLUDE USING btree (workflow_id WITH =, node_id WITH =)
        WHERE (deployment_status = 'active') DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT valid_trigger_type CHECK (trigger_type IN ('TRIGGER')),
    CONSTRAINT valid_trigger_subtype CHECK (
        trigger_subtype IN ('CRON', 'MANUAL', 'WEBHOOK', 'EMAIL', 'GITHUB', 'SLACK', 'KAFKA')
    ),
    CONSTRAINT valid_deployment_status CHECK (
        deployment_status IN ('active', 'inactive', 'pending', 'failed')
    )
);
-- Whole indexes, not partial ones: lookups give the status as a parameter, and a plan that serves
-- every parameter cannot use an index that has only some of the rows.
CREATE INDEX trigger_index_lookup_idx
    ON trigger_index (tenant_id, trigger_subtype, index_key, deployment_status, is_active);
CREATE INDEX trigger_index_name_idx
    ON trigger_index (tenant_id, workflow_name, deployment_status, is_active);

-- What was deployed and undeployed, step by step; rows never change.
CREATE TABLE workflow_deployment_history (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    workflow_id uuid NOT NULL,
    -- The version of the workflow's stream at which the row was written: the order of rows
    -- that have one instant. Rows of one event have one, the command's own row comes first.
    stream_version integer NOT NULL,
    deployment_action varchar(50) NOT NULL,
    from_status varchar(50) NOT NULL,
    to_status varchar(50) NOT NULL,
    deployment_version integer NOT NULL,
    deployment_config jsonb NOT NULL DEFAULT '{}',
    triggered_by text NOT NULL DEFAULT '',
    started_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    completed_at timestamptz,
    error_message text,
    -- [{at, step: validate|index|hooks|swap, ok, message}]
    deployment_logs jsonb NOT NULL DEFAULT '[]',
    CONSTRAINT valid_deployment_action CHECK (
        deployment_action IN (
            'DEPLOY', 'UNDEPLOY', 'UPDATE', 'ROLLBACK',
            'DEPLOY_STARTED', 'DEPLOY_COMPLETED', 'DEPLOY_FAILED',
            'UNDEPLOY_STARTED', 'UNDEPLOY_COMPLETED'
        )
    ),
    CONSTRAINT valid_status CHECK (
        from_status IN ('IDLE', 'DEPLOYING', 'ACTIVE', 'UNDEPLOYING', 'FAILED')
        AND to_status IN ('IDLE', 'DEPLOYING', 'ACTIVE', 'UNDEPLOYING', 'FAILED')
    )
);
CREATE INDEX workflow_deployment_history_workflow_idx
    ON workflow_deployment_history (tenant_id, workflow_id, stream_version);
CREATE INDEX workflow_deployment_history_started_idx
    ON workflow_deployment_history (tenant_id, started_at);

-- Each trigger event that started something; its source and id are what makes it one event.
CREATE TABLE trigger_deliveries (
    tenant_id text NOT NULL,
    source text NOT NULL,
    id text NOT NULL,
    subtype varchar(100) NOT NULL,
    subject text NOT NULL DEFAULT '',
    received_at timestamptz NOT NULL,
    -- SHA-256 of the body as it came.
    body_sha256 text NOT NULL,
    -- The ids of the executions that it started.
    executions jsonb NOT NULL DEFAULT '[]',
    status varchar(50) NOT NULL,
    PRIMARY KEY (tenant_id, source, id),
    CONSTRAINT valid_status CHECK (status IN ('accepted'))
);
CREATE INDEX trigger_deliveries_received_idx ON trigger_deliveries (tenant_id, received_at);

-- migrate:down

DROP TABLE trigger_deliveries;
DROP TABLE workflow_deployment_history;
DROP TABLE trigger_index;
