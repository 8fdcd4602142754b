-- migrate:up

-- What each node subtype takes, emits and does; the engine writes it when it starts.
CREATE TABLE node_specifications (
    id                     uuid PRIMARY KEY,
    tenant_id              text NOT NULL,
    node_type              varchar(50) NOT NULL,
    node_subtype           varchar(100) NOT NULL,
    specification_version  varchar(20) NOT NULL DEFAULT '1.0.0',
    specification_data     jsonb NOT NULL,
    is_active              boolean NOT NULL DEFAULT true,
    is_system_spec         boolean NOT NULL DEFAULT true,
    created_at             timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at             timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT one_specification
        UNIQUE (tenant_id, node_type, node_subtype, specification_version),
    CONSTRAINT valid_spec_node_type CHECK (
        node_type IN ('TRIGGER', 'AI_AGENT', 'EXTERNAL_ACTION', 'ACTION',
                      'FLOW', 'HUMAN_IN_THE_LOOP', 'TOOL', 'MEMORY')
    )
);

CREATE INDEX idx_node_specifications_type_subtype
    ON node_specifications (tenant_id, node_type, node_subtype);
CREATE INDEX idx_node_specifications_active
    ON node_specifications (tenant_id, node_type, node_subtype)
    WHERE is_active;

-- migrate:down

DROP TABLE node_specifications;
