-- The engine's tables of definitions. Written by projections only; `id`s follow from the
-- events, and nothing refers to another row by a foreign key, because rows of one batch are
-- written in no particular order.

-- migrate:up

CREATE TABLE workflows (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    workspace_id uuid NOT NULL,
    -- Who saved the first version.
    user_id text,
    session_id uuid,
    name varchar(255) NOT NULL,
    description text,
    -- The newest frozen version, as text; `newest_version` is the same as a number.
    version varchar(50) NOT NULL DEFAULT '1',
    newest_version integer NOT NULL,
    sha256 text NOT NULL,
    active boolean NOT NULL DEFAULT true,
    -- The draft: the definition of the newest version, as it was saved.
    workflow_data jsonb NOT NULL,
    settings jsonb,
    static_data jsonb,
    pin_data jsonb,
    tags text[] NOT NULL DEFAULT '{}',
    is_template boolean NOT NULL DEFAULT false,
    template_category varchar(100),
    -- How the scheduler said that the deployment stands; `deployment_version` serves.
    deployment_status varchar(50) NOT NULL DEFAULT 'IDLE',
    deployed_at timestamptz,
    deployed_by text,
    undeployed_at timestamptz,
    deployment_version integer,
    deployment_config jsonb NOT NULL DEFAULT '{}',
    -- Written by executions, within a second.
    latest_execution_status varchar(50) NOT NULL DEFAULT 'IDLE',
    latest_execution_id varchar(255),
    latest_execution_time timestamptz,
    icon_url varchar(500),
    -- Milliseconds since 1970.
    created_at bigint NOT NULL DEFAULT 0,
    updated_at bigint NOT NULL DEFAULT 0,
    CONSTRAINT workflows_name_not_empty CHECK (length(name) > 0),
    CONSTRAINT workflows_valid_workflow_data CHECK (workflow_data IS NOT NULL),
    CONSTRAINT workflows_valid_deployment_status CHECK (
        deployment_status IN ('IDLE', 'DEPLOYING', 'ACTIVE', 'UNDEPLOYING', 'FAILED')
    )
);
CREATE INDEX idx_workflows_user_id ON workflows (tenant_id, user_id);
CREATE INDEX idx_workflows_active ON workflows (tenant_id, active);
CREATE INDEX idx_workflows_deployment_status ON workflows (tenant_id, deployment_status);
CREATE INDEX idx_workflows_tags ON workflows USING gin (tags);
CREATE INDEX idx_workflows_name ON workflows (tenant_id, name);

-- Frozen versions; rows never change. `sha256` is of the definition's canonical JSON as it was
-- saved: jsonb may write a number another way, so it is not to be computed from `definition`.
CREATE TABLE workflow_versions (
    workflow_id uuid NOT NULL,
    version integer NOT NULL,
    tenant_id text NOT NULL,
    workspace_id uuid NOT NULL,
    name varchar(255) NOT NULL,
    definition jsonb NOT NULL,
    sha256 text NOT NULL,
    saved_by text NOT NULL DEFAULT '',
    -- [{code, path, message, node_id}]
    warnings jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL,
    PRIMARY KEY (workflow_id, version)
);

-- The draft's nodes are those whose `workflow_version` is the workflow's `newest_version`;
-- rows of nodes that the draft has no more stay with the version that had them last.
CREATE TABLE nodes (
    workflow_id uuid NOT NULL,
    node_id varchar(255) NOT NULL,
    id uuid NOT NULL UNIQUE,
    tenant_id text NOT NULL,
    workspace_id uuid NOT NULL,
    workflow_version integer NOT NULL,
    -- The node's place in the file, from 0.
    position integer NOT NULL,
    node_type varchar(50) NOT NULL,
    node_subtype varchar(100) NOT NULL,
    type_version integer NOT NULL DEFAULT 1,
    name varchar(255) NOT NULL,
    description text,
    disabled boolean NOT NULL DEFAULT false,
    position_x double precision NOT NULL DEFAULT 0,
    position_y double precision NOT NULL DEFAULT 0,
    parameters jsonb NOT NULL DEFAULT '{}',
    credentials jsonb NOT NULL DEFAULT '{}',
    attached_nodes jsonb NOT NULL DEFAULT '[]',
    error_handling varchar(50) NOT NULL DEFAULT 'STOP_WORKFLOW_ON_ERROR',
    max_retries integer NOT NULL DEFAULT 0,
    -- Seconds.
    retry_wait_time double precision NOT NULL DEFAULT 5,
    always_output_data boolean NOT NULL DEFAULT false,
    join_mode text NOT NULL DEFAULT 'all',
    timeout_s double precision,
    notes text,
    webhooks text[] NOT NULL DEFAULT '{}',
    -- When the first version with the node was saved, and the last.
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (workflow_id, node_id),
    CONSTRAINT valid_node_type CHECK (
        node_type IN ('TRIGGER', 'AI_AGENT', 'EXTERNAL_ACTION', 'ACTION',
                      'FLOW', 'HUMAN_IN_THE_LOOP', 'TOOL', 'MEMORY')
    ),
    CONSTRAINT valid_error_handling CHECK (
        error_handling IN ('STOP_WORKFLOW_ON_ERROR',
                           'CONTINUE_REGULAR_OUTPUT_ON_ERROR',
                           'CONTINUE_ERROR_OUTPUT_ON_ERROR')
    )
);
CREATE INDEX idx_nodes_type ON nodes (tenant_id, node_type);
CREATE INDEX idx_nodes_type_subtype_active ON nodes (tenant_id, node_type, node_subtype, disabled);

-- The draft's connections, told from older ones as the nodes are.
CREATE TABLE node_connections (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    workspace_id uuid NOT NULL,
    workflow_id uuid NOT NULL,
    workflow_version integer NOT NULL,
    -- The edge's number in the version; events name edges by it.
    edge_index integer NOT NULL,
    source_node_id varchar(255) NOT NULL,
    target_node_id varchar(255) NOT NULL,
    source_port varchar(255) NOT NULL DEFAULT 'main',
    target_port varchar(255) NOT NULL DEFAULT 'main',
    connection_type varchar(50) NOT NULL DEFAULT 'MAIN',
    connection_index integer NOT NULL DEFAULT 0,
    label varchar(255),
    conditions jsonb NOT NULL DEFAULT '{}',
    -- When the last version with the connection was saved.
    created_at timestamptz NOT NULL,
    CONSTRAINT valid_connection_type CHECK (
        connection_type IN ('MAIN', 'ERROR', 'SUCCESS', 'CONDITIONAL',
                            'AI_AGENT', 'AI_CHAIN', 'AI_DOCUMENT', 'AI_EMBEDDING',
                            'AI_LANGUAGE_MODEL', 'AI_MEMORY', 'AI_OUTPUT_PARSER',
                            'AI_RETRIEVER', 'AI_RERANKER', 'AI_TEXT_SPLITTER',
                            'AI_TOOL', 'AI_VECTOR_STORE',
                            'MEMORY_ATTACHMENT', 'CONTEXT_PROVIDER')
    ),
    CONSTRAINT source_target_different CHECK (source_node_id != target_node_id)
);
CREATE INDEX idx_node_connections_workflow_id ON node_connections (workflow_id, workflow_version);

-- migrate:down

DROP TABLE node_connections;
DROP TABLE nodes;
DROP TABLE workflow_versions;
DROP TABLE workflows;
