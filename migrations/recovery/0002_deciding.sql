-- What decisions are made from beside patterns: breakers, incidents, what a workspace may spend,
-- and what came of each strategy; and how far a workspace's modes go.

-- migrate:up

ALTER TABLE recovery_modes
    -- Who chooses among the strategies that a type allows.
    ADD COLUMN sampler text NOT NULL DEFAULT 'rules',
    -- Whether a node that a person must decide about is held for the answer.
    ADD COLUMN people text NOT NULL DEFAULT 'tell',
    ADD CONSTRAINT valid_sampler CHECK (sampler IN ('rules', 'bandit')),
    ADD CONSTRAINT valid_people CHECK (people IN ('tell', 'hold'));

-- One row for each dependency, and for each credential that is used there.
CREATE TABLE recovery_breakers (
    tenant_id text NOT NULL,
    breaker_id text NOT NULL,
    dependency text NOT NULL,
    -- A handle, never a secret; empty for the breaker of all of them.
    credential text NOT NULL DEFAULT '',
    state text NOT NULL,
    -- When an open one lets a call through, or a half-open one takes it for lost.
    until timestamptz,
    -- How often it opened in a row.
    times integer NOT NULL DEFAULT 0,
    reason text NOT NULL DEFAULT '',
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (tenant_id, breaker_id),
    CONSTRAINT valid_state CHECK (state IN ('closed', 'open', 'half_open'))
);
CREATE INDEX recovery_breakers_dependency_idx ON recovery_breakers (tenant_id, dependency);

-- Many failures of one pattern: one thing.
CREATE TABLE recovery_incidents (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    workspace_id text NOT NULL,
    pattern_id uuid NOT NULL,
    signature text NOT NULL,
    dependency text NOT NULL DEFAULT '',
    failure_type text NOT NULL,
    failures integer NOT NULL DEFAULT 0,
    -- Whether attempts wait, one is tried, or all are let go.
    gate text NOT NULL,
    opened_at timestamptz NOT NULL,
    closed_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT valid_gate CHECK (gate IN ('shut', 'probe', 'open'))
);
CREATE INDEX recovery_incidents_pattern_idx ON recovery_incidents (pattern_id);
CREATE INDEX recovery_incidents_opened_idx ON recovery_incidents (tenant_id, opened_at);

-- What automatic attempts of a workspace may take: tokens as of tokens_at, money by the month.
CREATE TABLE recovery_allowances (
    tenant_id text NOT NULL,
    workspace_id text NOT NULL,
    tokens double precision NOT NULL,
    tokens_at timestamptz NOT NULL,
    month text NOT NULL DEFAULT '',
    month_usd double precision NOT NULL DEFAULT 0,
    -- NULL: no limit.
    recovery_usd double precision,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (tenant_id, workspace_id)
);

-- What came of each strategy: the sampler's memory.
CREATE TABLE recovery_records (
    tenant_id text NOT NULL,
    workspace_id text NOT NULL,
    failure_type text NOT NULL,
    strategy text NOT NULL,
    tried integer NOT NULL DEFAULT 0,
    recovered integer NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (tenant_id, workspace_id, failure_type, strategy)
);

-- migrate:down

DROP TABLE recovery_records;
DROP TABLE recovery_allowances;
DROP TABLE recovery_incidents;
DROP TABLE recovery_breakers;
ALTER TABLE recovery_modes
    DROP COLUMN sampler,
    DROP COLUMN people;
