-- Recovery's tables: what fails and how often, what was tried, why, and what could not be
-- applied at all. Written by projections only; ids follow from the events.

-- migrate:up

-- One row for each (workspace, signature, dependency).
CREATE TABLE failure_patterns (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    workspace_id text NOT NULL,
    task_id uuid,
    -- "v1:" and 16 hexadecimal digits; see signature.py.
    pattern_signature text NOT NULL,
    -- The kind, then what it is: llm:<provider>:<model>, http:<host>, tool:<name>.
    dependency text NOT NULL DEFAULT '',
    failure_type text NOT NULL,
    error_message_hash text NOT NULL,
    -- Scrubbed and masked.
    error_message text NOT NULL DEFAULT '',
    -- package.Class, or the engine's own code.
    error_type text NOT NULL DEFAULT '',
    root_cause_category text NOT NULL,
    -- Every event counts.
    occurrence_count integer NOT NULL DEFAULT 0,
    first_detected_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    last_detected_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    -- NULL while it is not known whether the failure passes by itself.
    is_transient boolean,
    confidence_score double precision,
    pattern_source text NOT NULL,
    execution_stage text NOT NULL DEFAULT '',
    agent_id uuid,
    context_metadata jsonb,
    -- What unchanged retries taught, faded as of weighed_at.
    lesson_successes double precision NOT NULL DEFAULT 0,
    lesson_failures double precision NOT NULL DEFAULT 0,
    weighed_at timestamptz,
    last_tried_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT failure_patterns_key UNIQUE (workspace_id, pattern_signature, dependency),
    CONSTRAINT valid_failure_type CHECK (failure_type IN (
        'rate_limit', 'quota_exhausted', 'timeout', 'network', 'dependency_down', 'auth',
        'permission', 'validation', 'context_length', 'model_refusal', 'output_invalid',
        'tool_error', 'resource_exhausted', 'conflict', 'data_missing', 'worker_lost',
        'code_bug', 'cancelled', 'unknown'
    )),
    CONSTRAINT valid_root_cause_category CHECK (root_cause_category IN (
        'provider', 'network', 'configuration', 'credentials', 'input', 'model', 'code',
        'capacity', 'platform'
    )),
    CONSTRAINT valid_pattern_source CHECK (pattern_source IN ('rule', 'neighbour', 'override')),
    CONSTRAINT short_error_message CHECK (char_length(error_message) <= 500),
    CONSTRAINT small_context_metadata CHECK (octet_length(context_metadata::text) <= 8192)
);
CREATE INDEX failure_patterns_signature_idx ON failure_patterns (tenant_id, pattern_signature);
CREATE INDEX failure_patterns_message_idx ON failure_patterns (tenant_id, error_message_hash);
CREATE INDEX failure_patterns_last_idx ON failure_patterns (tenant_id, last_detected_at);

-- One row for each decision, refused ones too.
CREATE TABLE recovery_attempts (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    workspace_id text NOT NULL,
    task_id uuid,
    workflow_id text,
    execution_id text,
    node_id text NOT NULL DEFAULT '',
    scope jsonb NOT NULL DEFAULT '[]',
    run integer NOT NULL DEFAULT 0,
    -- (execution, node, scope, run), from its first failure until recovered or given up.
    episode_id uuid NOT NULL,
    failure_id text NOT NULL,
    failure_pattern_id uuid NOT NULL,
    recovery_strategy text NOT NULL,
    attempt_number integer NOT NULL,
    triggered_by text NOT NULL,
    recovery_reason text NOT NULL,
    started_at timestamptz NOT NULL,
    completed_at timestamptz,
    status text NOT NULL,
    -- NULL until it is known.
    success boolean,
    recovery_outcome text,
    error_message text NOT NULL DEFAULT '',
    -- What was changed, how long it waited, which guard rail refused.
    recovery_context jsonb NOT NULL DEFAULT '{}',
    agent_id uuid,
    estimated_resolution_time interval,
    actual_resolution_time interval,
    -- P(the attempt succeeds), as it was believed when it was decided.
    confidence_score double precision NOT NULL,
    -- The rule's sentence with its numbers.
    ai_reasoning text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT about_something CHECK (task_id IS NOT NULL OR execution_id IS NOT NULL),
    CONSTRAINT valid_recovery_strategy CHECK (recovery_strategy IN (
        'retry_now', 'backoff', 'wait_until', 'reassign', 'fallback_model', 'reduce_input',
        'reprompt', 'refresh_credentials', 'skip_compensate', 'escalate_human', 'dead_letter'
    )),
    CONSTRAINT valid_triggered_by CHECK (triggered_by IN (
        'engine', 'task', 'lease', 'dead_letter', 'stall', 'person', 'probe'
    )),
    CONSTRAINT valid_status CHECK (status IN (
        'planned', 'waiting_approval', 'parked', 'running', 'succeeded', 'failed', 'refused',
        'superseded', 'expired'
    )),
    CONSTRAINT valid_recovery_outcome CHECK (
        recovery_outcome IN (
            'recovered', 'relapsed', 'same_failure', 'other_failure', 'superseded', 'handled',
            'escalated', 'dead_lettered'
        ) OR recovery_outcome LIKE 'refused:%'
    )
);
CREATE INDEX recovery_attempts_execution_idx ON recovery_attempts (tenant_id, execution_id);
CREATE INDEX recovery_attempts_task_idx ON recovery_attempts (tenant_id, task_id)
    WHERE task_id IS NOT NULL;
CREATE INDEX recovery_attempts_pattern_idx ON recovery_attempts (failure_pattern_id);
CREATE INDEX recovery_attempts_status_idx ON recovery_attempts (tenant_id, status, started_at);
CREATE INDEX recovery_attempts_started_idx ON recovery_attempts (tenant_id, started_at);

-- One row for each decision, in words; rewritten when its outcome is known.
CREATE TABLE recovery_explanations (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    workspace_id text NOT NULL,
    task_id uuid,
    execution_id text,
    node_id text NOT NULL DEFAULT '',
    recovery_attempt_id uuid NOT NULL,
    failure_summary text NOT NULL,
    root_cause text NOT NULL,
    retry_decision text NOT NULL,
    confidence_explanation text NOT NULL,
    -- "none" where nothing is to be done.
    user_action_required text NOT NULL,
    estimated_resolution_time text NOT NULL,
    severity_level text NOT NULL,
    display_category text NOT NULL,
    technical_details jsonb NOT NULL DEFAULT '{}',
    error_pattern_matched text NOT NULL,
    failure_category text NOT NULL,
    recovery_strategy text NOT NULL,
    ai_analysis_used boolean NOT NULL,
    explanation_source text NOT NULL,
    generation_model text NOT NULL,
    generation_confidence double precision NOT NULL,
    failure_time timestamptz NOT NULL,
    explanation_generated_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CONSTRAINT about_something CHECK (task_id IS NOT NULL OR execution_id IS NOT NULL),
    CONSTRAINT valid_severity_level CHECK (
        severity_level IN ('low', 'medium', 'high', 'critical')
    ),
    CONSTRAINT no_empty_texts CHECK (
        '' NOT IN (
            failure_summary, root_cause, retry_decision, confidence_explanation,
            user_action_required, estimated_resolution_time, display_category
        )
    )
);
CREATE INDEX recovery_explanations_attempt_idx ON recovery_explanations (recovery_attempt_id);
CREATE INDEX recovery_explanations_execution_idx
    ON recovery_explanations (tenant_id, execution_id);
CREATE INDEX recovery_explanations_task_idx ON recovery_explanations (tenant_id, task_id)
    WHERE task_id IS NOT NULL;
CREATE INDEX recovery_explanations_severity_idx
    ON recovery_explanations (tenant_id, severity_level, failure_time);

-- What recovery may do in a workspace; the workspace "*" is the switch above all of them.
CREATE TABLE recovery_modes (
    tenant_id text NOT NULL,
    workspace_id text NOT NULL,
    mode text NOT NULL,
    set_by text NOT NULL,
    reason text NOT NULL DEFAULT '',
    updated_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (tenant_id, workspace_id),
    CONSTRAINT valid_mode CHECK (mode IN ('off', 'observe', 'approve', 'auto'))
);

-- Records that a service could not apply, bytes and all, until a person settles them.
CREATE TABLE dead_letters (
    id uuid PRIMARY KEY,
    tenant_id text NOT NULL,
    -- The letter's own stream: what a redrive command names.
    stream text NOT NULL,
    -- Who could not apply it, and from where it was read.
    service text NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    record_offset bigint NOT NULL,
    -- Who had sent it, and what it was, as its headers say.
    source text NOT NULL,
    event_type text NOT NULL,
    -- The body, scrubbed, where it is JSON; for people. `raw` is what is sent again.
    payload jsonb,
    raw bytea NOT NULL,
    record_key bytea,
    headers jsonb NOT NULL DEFAULT '{}',
    sha256 text NOT NULL,
    error text NOT NULL,
    retry_count integer NOT NULL DEFAULT 0,
    status text NOT NULL,
    -- The stream that waits for it, empty where none does.
    parked_stream text NOT NULL DEFAULT '',
    settled_by text,
    received_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT CURRENT_TIMESTAMP,
    processed_at timestamptz,
    CONSTRAINT valid_status CHECK (status IN ('waiting', 'redriven', 'dropped'))
);
CREATE INDEX dead_letters_status_idx ON dead_letters (tenant_id, status, created_at);
CREATE INDEX dead_letters_source_idx ON dead_letters (tenant_id, source, created_at);
CREATE INDEX dead_letters_sha256_idx ON dead_letters (sha256);

-- migrate:down

DROP TABLE dead_letters;
DROP TABLE recovery_modes;
DROP TABLE recovery_explanations;
DROP TABLE recovery_attempts;
DROP TABLE failure_patterns;
