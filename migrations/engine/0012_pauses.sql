-- migrate:up

-- Why an execution stands still, and since when. A pause that an operator asked for is about the
-- whole execution, so it names no node.
CREATE TABLE workflow_execution_pauses (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    execution_id varchar(255) NOT NULL,
    paused_at timestamptz NOT NULL,
    paused_node_id varchar(255) NOT NULL DEFAULT '',
    pause_reason varchar(100) NOT NULL,
    -- {resumed_by, reason, asked_by}
    resume_conditions jsonb NOT NULL DEFAULT '{}',
    resumed_at timestamptz,
    -- What ended it: `operator`, or `execution_ended`.
    resume_trigger varchar(100),
    status varchar(20) NOT NULL DEFAULT 'active',
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT valid_pause_reason CHECK (
        pause_reason IN ('human_interaction', 'timeout', 'error', 'operator')
    ),
    CONSTRAINT valid_pause_status CHECK (status IN ('active', 'resumed', 'timeout'))
);
CREATE INDEX workflow_execution_pauses_execution_idx
    ON workflow_execution_pauses (execution_id);
CREATE INDEX workflow_execution_pauses_active_idx
    ON workflow_execution_pauses (execution_id) WHERE status = 'active';
CREATE INDEX workflow_execution_pauses_node_idx
    ON workflow_execution_pauses (paused_node_id);

-- migrate:down

DROP TABLE workflow_execution_pauses;
