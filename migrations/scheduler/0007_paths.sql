-- Paths are granted by streams of their own: which deployment has which.

-- migrate:up

-- The deployment of its workflow by which a trigger was granted its path; 0 for those that serve
-- from before paths were asked for.
ALTER TABLE trigger_index ADD COLUMN attempt integer NOT NULL DEFAULT 0;

CREATE TABLE path_grants (
    tenant_id          text NOT NULL,
    path               varchar(255) NOT NULL,
    workflow_id        uuid NOT NULL,
    attempt            integer NOT NULL,
    workflow_name      text NOT NULL,
    deployment_version integer NOT NULL,
    -- The trigger nodes that listen there: node_id, subtype, methods.
    nodes              jsonb NOT NULL,
    granted_at         timestamptz NOT NULL,
    released_at        timestamptz,
    PRIMARY KEY (tenant_id, path, workflow_id, attempt)
);
CREATE INDEX path_grants_granted_idx ON path_grants (tenant_id, granted_at);

-- migrate:down

DROP TABLE path_grants;
ALTER TABLE trigger_index DROP COLUMN attempt;
