-- migrate:up

-- Definitions that people begin workflows from; a template is changed by its commands alone.
CREATE TABLE workflow_templates (
    id                   uuid PRIMARY KEY,
    tenant_id            text NOT NULL,
    name                 varchar(255) NOT NULL,
    description          text,
    document_type        varchar(255) NOT NULL,
    workflow_definition  jsonb NOT NULL,
    is_active            boolean NOT NULL DEFAULT true,
    saved_by             text NOT NULL DEFAULT '',
    created_at           timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at           timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP
);

CREATE INDEX idx_workflow_templates_document_type
    ON workflow_templates (tenant_id, document_type);
CREATE INDEX idx_workflow_templates_active ON workflow_templates (tenant_id, is_active);

-- migrate:down

DROP TABLE workflow_templates;
