-- The engine's tables of executions. Written by projections only; no foreign keys, because rows
-- of one batch are written in no particular order.

-- migrate:up

-- One row for each execution: inserted at its start, changed at its end.
CREATE TABLE workflow_executions (
    execution_id varchar(255) PRIMARY KEY,
    -- Ordered by time; follows from the execution.
    id uuid NOT NULL,
    tenant_id text NOT NULL,
    workspace_id uuid NOT NULL,
    workflow_id uuid NOT NULL,
    -- The frozen version that it runs.
    workflow_version integer NOT NULL,
    status varchar(50) NOT NULL DEFAULT 'NEW',
    mode varchar(50) NOT NULL DEFAULT 'MANUAL',
    -- `<SUBTYPE>:<node_id>` of the trigger.
    triggered_by varchar(255),
    parent_execution_id varchar(255),
    -- Milliseconds since 1970.
    start_time bigint,
    end_time bigint,
    -- {result: [data of the items that the last nodes emitted], result_cut}
    run_data jsonb,
    -- {workflow_name, sha256, trigger_node_id, trigger, root_execution_id, deadline}
    metadata jsonb NOT NULL DEFAULT '{}',
    error_message text,
    -- {type, message, retryable, stage, node_id, failure_id, …}
    error_details jsonb,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT valid_execution_status CHECK (
        status IN ('NEW', 'RUNNING', 'SUCCESS', 'ERROR', 'CANCELED',
                   'PAUSED', 'WAITING_FOR_HUMAN', 'TIMEOUT')
    ),
    CONSTRAINT valid_execution_mode CHECK (
        mode IN ('MANUAL', 'TRIGGER', 'WEBHOOK', 'RETRY')
    )
) WITH (fillfactor = 60);
-- `status` and `end_time` are in no index, so that the end of an execution changes no index.
CREATE INDEX workflow_executions_workflow_idx
    ON workflow_executions (tenant_id, workflow_id, id DESC);
CREATE INDEX workflow_executions_newest_idx ON workflow_executions (tenant_id, id DESC);

-- One row for each run of a node, written at its end; runs that stay open are shown within a
-- second. `stream_version` is that of the event that wrote the row: older ones do not overwrite.
CREATE TABLE node_executions (
    execution_id varchar(255) NOT NULL,
    node_id varchar(255) NOT NULL,
    -- The path of (region, iteration)s around it, such as `each.0/inner.2`; empty is none.
    scope text NOT NULL DEFAULT '',
    -- Counts the runs of one node in one scope, from 1.
    run integer NOT NULL DEFAULT 1,
    id uuid NOT NULL,
    tenant_id text NOT NULL,
    node_type varchar(100) NOT NULL,
    node_subtype varchar(100) NOT NULL DEFAULT '',
    node_name varchar(255) NOT NULL DEFAULT '',
    status varchar(50) NOT NULL DEFAULT 'PENDING',
    -- Milliseconds since 1970.
    start_time bigint,
    end_time bigint,
    -- The items' data by port.
    input_data jsonb,
    output_data jsonb,
    error_data jsonb,
    -- Attempts after the first, and how many of them the engine may make by itself.
    retry_count integer NOT NULL DEFAULT 0,
    max_retries integer NOT NULL DEFAULT 0,
    stream_version integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (execution_id, node_id, scope, run),
    CONSTRAINT valid_node_status CHECK (
        status IN ('PENDING', 'RUNNING', 'SUCCESS', 'ERROR',
                   'SKIPPED', 'CANCELED', 'WAITING_INPUT', 'RETRYING')
    )
) WITH (fillfactor = 90);

-- What happened, for people (BUSINESS) and engineers (TECHNICAL); written within a second.
CREATE TABLE workflow_execution_logs (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    execution_id varchar(255) NOT NULL,
    -- The order of an execution's rows: that of its journal.
    position bigint NOT NULL,
    log_category varchar(20) NOT NULL DEFAULT 'TECHNICAL',
    event_type varchar(50) NOT NULL,
    level varchar(10) NOT NULL DEFAULT 'INFO',
    message text NOT NULL,
    data jsonb NOT NULL DEFAULT '{}',
    node_id varchar(255),
    node_name varchar(255),
    node_type varchar(100),
    step_number integer,
    total_steps integer,
    progress_percentage numeric(5, 2),
    duration_seconds integer,
    user_friendly_message text,
    display_priority integer NOT NULL DEFAULT 5,
    is_milestone boolean NOT NULL DEFAULT false,
    technical_details jsonb NOT NULL DEFAULT '{}',
    stack_trace text,
    performance_metrics jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT valid_log_category CHECK (log_category IN ('TECHNICAL', 'BUSINESS')),
    CONSTRAINT valid_event_type CHECK (
        event_type IN ('workflow_started', 'workflow_completed', 'workflow_progress',
                       'step_started', 'step_input', 'step_output',
                       'step_completed', 'step_error', 'separator')
    ),
    CONSTRAINT valid_log_level CHECK (level IN ('DEBUG', 'INFO', 'WARNING', 'ERROR'))
);
CREATE INDEX workflow_execution_logs_execution_idx
    ON workflow_execution_logs (execution_id, position);

-- migrate:down

DROP TABLE workflow_execution_logs;
DROP TABLE node_executions;
DROP TABLE workflow_executions;
