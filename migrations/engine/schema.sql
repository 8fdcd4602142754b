TABLE admission_gates
    id uuid NOT NULL
    tenant_id text NOT NULL
    kind text NOT NULL
    about text NOT NULL
    slots integer NOT NULL
    running integer NOT NULL
    waiting integer NOT NULL
    stream_version integer NOT NULL
    updated_at timestamp with time zone NOT NULL
    CONSTRAINT admission_gates_pkey PRIMARY KEY (id)
    INDEX admission_gates_updated_idx CREATE INDEX admission_gates_updated_idx ON admission_gates USING btree (tenant_id, updated_at, id)

TABLE consumed
    shard text NOT NULL
    topic text NOT NULL
    partition integer NOT NULL
    next_offset bigint NOT NULL
    WITH (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=1000, fillfactor=25)
    CONSTRAINT consumed_pkey PRIMARY KEY (shard, topic, partition)

TABLE credentials
    tenant_id text NOT NULL
    handle text NOT NULL
    fields text[] NOT NULL
    key_id text NOT NULL
    nonce bytea NOT NULL
    secret bytea NOT NULL
    created_at timestamp with time zone DEFAULT now() NOT NULL
    updated_at timestamp with time zone DEFAULT now() NOT NULL
    CONSTRAINT credentials_pkey PRIMARY KEY (tenant_id, handle)

TABLE delivery
    tenant_id text NOT NULL
    source text NOT NULL
    id text NOT NULL
    answer text NOT NULL
    received_at timestamp with time zone DEFAULT now() NOT NULL
    CONSTRAINT delivery_pkey PRIMARY KEY (tenant_id, source, id)
    INDEX delivery_received_at_idx CREATE INDEX delivery_received_at_idx ON delivery USING brin (received_at) WITH (pages_per_range='16', autosummarize='on')

TABLE execution_files
    execution_id character varying(255) NOT NULL
    file_id text NOT NULL
    tenant_id text NOT NULL
    node_id text NOT NULL
    file_name text NOT NULL
    mime_type text NOT NULL
    size bigint NOT NULL
    created_at timestamp with time zone NOT NULL
    CONSTRAINT execution_files_pkey PRIMARY KEY (execution_id, file_id)
    INDEX execution_files_file_idx CREATE INDEX execution_files_file_idx ON execution_files USING btree (tenant_id, file_id)

TABLE execution_purges
    execution_id character varying(255) NOT NULL
    tenant_id text NOT NULL
    version integer NOT NULL
    purged_at timestamp with time zone NOT NULL
    swept_at timestamp with time zone
    CONSTRAINT execution_purges_pkey PRIMARY KEY (execution_id)
    INDEX execution_purges_open_idx CREATE INDEX execution_purges_open_idx ON execution_purges USING btree (purged_at) WHERE (swept_at IS NULL)
    INDEX execution_purges_swept_idx CREATE INDEX execution_purges_swept_idx ON execution_purges USING btree (swept_at) WHERE (swept_at IS NOT NULL)

TABLE expired
    table_name text NOT NULL
    before timestamp with time zone NOT NULL
    CONSTRAINT expired_pkey PRIMARY KEY (table_name)

TABLE file_chunks
    upload text NOT NULL
    n integer NOT NULL
    tenant_id text NOT NULL
    data bytea NOT NULL
    CONSTRAINT file_chunks_upload_fkey FOREIGN KEY (upload) REFERENCES files(upload) ON DELETE CASCADE
    CONSTRAINT file_chunks_pkey PRIMARY KEY (upload, n)

TABLE files
    upload text NOT NULL
    tenant_id text NOT NULL
    sha256 text
    bytes bigint DEFAULT 0 NOT NULL
    touched_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    unused_since timestamp with time zone
    WITH (fillfactor=60)
    CONSTRAINT files_pkey PRIMARY KEY (upload)
    INDEX files_sha256_idx CREATE UNIQUE INDEX files_sha256_idx ON files USING btree (tenant_id, sha256)

TABLE heard
    shard text NOT NULL
    topic text NOT NULL
    partition integer NOT NULL
    source text NOT NULL
    seq bigint NOT NULL
    gap bigint DEFAULT 0 NOT NULL
    WITH (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=1000, fillfactor=25)
    CONSTRAINT heard_pkey PRIMARY KEY (shard, topic, partition, source)

VIEW journal
    shard text
    seq bigint
    stream text
    version integer
    tenant_id text
    type text
    data text
    meta text
    recorded_at timestamp with time zone
    TRIGGER journal_insert CREATE TRIGGER journal_insert INSTEAD OF INSERT ON journal FOR EACH ROW EXECUTE FUNCTION journal_insert()
 SELECT e.shard,
    (e.seq + x.n) AS seq,
    e.stream,
    (e.version + x.n) AS version,
    e.tenant_id,
    x.type,
    x.data,
    x.meta,
    e.recorded_at
   FROM (journal_entry e
     CROSS JOIN LATERAL entry_events(e.type, e.data, e.meta, e.rest) x(n, type, data, meta));

TABLE journal_entry
    shard text NOT NULL
    seq bigint NOT NULL
    stream text NOT NULL
    version integer NOT NULL
    tenant_id text NOT NULL
    type text NOT NULL
    data text NOT NULL
    meta text NOT NULL
    recorded_at timestamp with time zone NOT NULL
    events integer DEFAULT 1 NOT NULL
    rest text
    WITH (toast_tuple_target=8160)
    CONSTRAINT journal_pkey PRIMARY KEY (shard, seq)
    CONSTRAINT journal_stream_version_key UNIQUE (stream, version)

TABLE journal_purged
    shard text NOT NULL
    rows bigint NOT NULL
    before timestamp with time zone NOT NULL
    CONSTRAINT journal_purged_pkey PRIMARY KEY (shard)

TABLE node_claims
    token text NOT NULL
    tenant_id text DEFAULT ''::text NOT NULL
    execution_id text DEFAULT ''::text NOT NULL
    runner text DEFAULT ''::text NOT NULL
    lease_until timestamp with time zone
    claimed_at timestamp with time zone DEFAULT now() NOT NULL
    finished_at timestamp with time zone
    canceled boolean DEFAULT false NOT NULL
    stop_at timestamp with time zone
    WITH (fillfactor=80)
    CONSTRAINT node_claims_pkey PRIMARY KEY (token)
    INDEX node_claims_open CREATE INDEX node_claims_open ON node_claims USING btree (lease_until) WHERE (finished_at IS NULL)

TABLE node_connections
    id uuid NOT NULL
    tenant_id text NOT NULL
    workspace_id uuid NOT NULL
    workflow_id uuid NOT NULL
    workflow_version integer NOT NULL
    edge_index integer NOT NULL
    source_node_id character varying(255) NOT NULL
    target_node_id character varying(255) NOT NULL
    source_port character varying(255) DEFAULT 'main'::character varying NOT NULL
    target_port character varying(255) DEFAULT 'main'::character varying NOT NULL
    connection_type character varying(50) DEFAULT 'MAIN'::character varying NOT NULL
    connection_index integer DEFAULT 0 NOT NULL
    label character varying(255)
    conditions jsonb DEFAULT '{}'::jsonb NOT NULL
    created_at timestamp with time zone NOT NULL
    CONSTRAINT source_target_different CHECK (((source_node_id)::text <> (target_node_id)::text))
    CONSTRAINT valid_connection_type CHECK (((connection_type)::text = ANY ((ARRAY['MAIN'::character varying, 'ERROR'::character varying, 'SUCCESS'::character varying, 'CONDITIONAL'::character varying, 'AI_AGENT'::character varying, 'AI_CHAIN'::character varying, 'AI_DOCUMENT'::character varying, 'AI_EMBEDDING'::character varying, 'AI_LANGUAGE_MODEL'::character varying, 'AI_MEMORY'::character varying, 'AI_OUTPUT_PARSER'::character varying, 'AI_RETRIEVER'::character varying, 'AI_RERANKER'::character varying, 'AI_TEXT_SPLITTER'::character varying, 'AI_TOOL'::character varying, 'AI_VECTOR_STORE'::character varying, 'MEMORY_ATTACHMENT'::character varying, 'CONTEXT_PROVIDER'::character varying])::text[])))
    CONSTRAINT node_connections_pkey PRIMARY KEY (id)
    INDEX idx_node_connections_workflow_id CREATE INDEX idx_node_connections_workflow_id ON node_connections USING btree (workflow_id, workflow_version)

TABLE node_executions
    execution_id character varying(255) NOT NULL
    node_id character varying(255) NOT NULL
    scope text DEFAULT ''::text NOT NULL
    run integer DEFAULT 1 NOT NULL
    id uuid NOT NULL
    tenant_id text NOT NULL
    node_type character varying(100) NOT NULL
    node_subtype character varying(100) DEFAULT ''::character varying NOT NULL
    node_name character varying(255) DEFAULT ''::character varying NOT NULL
    status character varying(50) DEFAULT 'PENDING'::character varying NOT NULL
    start_time bigint
    end_time bigint
    input_data jsonb
    output_data jsonb
    error_data jsonb
    retry_count integer DEFAULT 0 NOT NULL
    max_retries integer DEFAULT 0 NOT NULL
    stream_version integer DEFAULT 0 NOT NULL
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    WITH (fillfactor=90)
    CONSTRAINT valid_node_status CHECK (((status)::text = ANY ((ARRAY['PENDING'::character varying, 'RUNNING'::character varying, 'SUCCESS'::character varying, 'ERROR'::character varying, 'SKIPPED'::character varying, 'CANCELED'::character varying, 'WAITING_INPUT'::character varying, 'RETRYING'::character varying])::text[])))
    CONSTRAINT node_executions_pkey PRIMARY KEY (execution_id, node_id, scope, run)

TABLE node_specifications
    id uuid NOT NULL
    tenant_id text NOT NULL
    node_type character varying(50) NOT NULL
    node_subtype character varying(100) NOT NULL
    specification_version character varying(20) DEFAULT '1.0.0'::character varying NOT NULL
    specification_data jsonb NOT NULL
    is_active boolean DEFAULT true NOT NULL
    is_system_spec boolean DEFAULT true NOT NULL
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    CONSTRAINT valid_spec_node_type CHECK (((node_type)::text = ANY ((ARRAY['TRIGGER'::character varying, 'AI_AGENT'::character varying, 'EXTERNAL_ACTION'::character varying, 'ACTION'::character varying, 'FLOW'::character varying, 'HUMAN_IN_THE_LOOP'::character varying, 'TOOL'::character varying, 'MEMORY'::character varying])::text[])))
    CONSTRAINT node_specifications_pkey PRIMARY KEY (id)
    CONSTRAINT one_specification UNIQUE (tenant_id, node_type, node_subtype, specification_version)
    INDEX idx_node_specifications_active CREATE INDEX idx_node_specifications_active ON node_specifications USING btree (tenant_id, node_type, node_subtype) WHERE is_active
    INDEX idx_node_specifications_type_subtype CREATE INDEX idx_node_specifications_type_subtype ON node_specifications USING btree (tenant_id, node_type, node_subtype)

TABLE nodes
    workflow_id uuid NOT NULL
    node_id character varying(255) NOT NULL
    id uuid NOT NULL
    tenant_id text NOT NULL
    workspace_id uuid NOT NULL
    workflow_version integer NOT NULL
    position integer NOT NULL
    node_type character varying(50) NOT NULL
    node_subtype character varying(100) NOT NULL
    type_version integer DEFAULT 1 NOT NULL
    name character varying(255) NOT NULL
    description text
    disabled boolean DEFAULT false NOT NULL
    position_x double precision DEFAULT 0 NOT NULL
    position_y double precision DEFAULT 0 NOT NULL
    parameters jsonb DEFAULT '{}'::jsonb NOT NULL
    credentials jsonb DEFAULT '{}'::jsonb NOT NULL
    attached_nodes jsonb DEFAULT '[]'::jsonb NOT NULL
    error_handling character varying(50) DEFAULT 'STOP_WORKFLOW_ON_ERROR'::character varying NOT NULL
    max_retries integer DEFAULT 0 NOT NULL
    retry_wait_time double precision DEFAULT 5 NOT NULL
    always_output_data boolean DEFAULT false NOT NULL
    join_mode text DEFAULT 'all'::text NOT NULL
    timeout_s double precision
    notes text
    webhooks text[] DEFAULT '{}'::text[] NOT NULL
    created_at timestamp with time zone NOT NULL
    updated_at timestamp with time zone NOT NULL
    run_in text DEFAULT 'auto'::text NOT NULL
    CONSTRAINT nodes_valid_run_in CHECK ((run_in = ANY (ARRAY['auto'::text, 'runner'::text])))
    CONSTRAINT valid_error_handling CHECK (((error_handling)::text = ANY ((ARRAY['STOP_WORKFLOW_ON_ERROR'::character varying, 'CONTINUE_REGULAR_OUTPUT_ON_ERROR'::character varying, 'CONTINUE_ERROR_OUTPUT_ON_ERROR'::character varying])::text[])))
    CONSTRAINT valid_node_type CHECK (((node_type)::text = ANY ((ARRAY['TRIGGER'::character varying, 'AI_AGENT'::character varying, 'EXTERNAL_ACTION'::character varying, 'ACTION'::character varying, 'FLOW'::character varying, 'HUMAN_IN_THE_LOOP'::character varying, 'TOOL'::character varying, 'MEMORY'::character varying])::text[])))
    CONSTRAINT nodes_pkey PRIMARY KEY (workflow_id, node_id)
    CONSTRAINT nodes_id_key UNIQUE (id)
    INDEX idx_nodes_type CREATE INDEX idx_nodes_type ON nodes USING btree (tenant_id, node_type)
    INDEX idx_nodes_type_subtype_active CREATE INDEX idx_nodes_type_subtype_active ON nodes USING btree (tenant_id, node_type, node_subtype, disabled)

TABLE parked_message
    stream text NOT NULL
    n integer NOT NULL
    raw bytea NOT NULL
    CONSTRAINT parked_message_pkey PRIMARY KEY (stream, n)

TABLE parked_stream
    stream text NOT NULL
    shard text NOT NULL
    last_n integer NOT NULL
    CONSTRAINT parked_stream_pkey PRIMARY KEY (stream)
    INDEX parked_stream_shard_idx CREATE INDEX parked_stream_shard_idx ON parked_stream USING btree (shard)

TABLE payload_uses
    stream text NOT NULL
    tenant_id text NOT NULL
    sha256 text NOT NULL
    CONSTRAINT payload_uses_pkey PRIMARY KEY (stream, tenant_id, sha256)
    INDEX payload_uses_payload_idx CREATE INDEX payload_uses_payload_idx ON payload_uses USING btree (tenant_id, sha256)

TABLE payloads
    tenant_id text NOT NULL
    sha256 text NOT NULL
    bytes integer NOT NULL
    data text NOT NULL
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    CONSTRAINT payloads_pkey PRIMARY KEY (tenant_id, sha256)

TABLE sent
    shard text NOT NULL
    topic text NOT NULL
    partition integer NOT NULL
    seq bigint NOT NULL
    WITH (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=1000, fillfactor=25)
    CONSTRAINT sent_pkey PRIMARY KEY (shard, topic, partition)

TABLE shard
    id text NOT NULL
    epoch bigint NOT NULL
    owner text NOT NULL
    next_seq bigint DEFAULT 1 NOT NULL
    published_seq bigint DEFAULT 0 NOT NULL
    projected_seq bigint DEFAULT 0 NOT NULL
    format integer DEFAULT 1 NOT NULL
    WITH (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=1000, fillfactor=25)
    CONSTRAINT shard_pkey PRIMARY KEY (id)

TABLE snapshot
    stream text NOT NULL
    version integer NOT NULL
    state_version integer NOT NULL
    state text NOT NULL
    CONSTRAINT snapshot_pkey PRIMARY KEY (stream, version)

TABLE substeps
    agent text NOT NULL
    request text NOT NULL
    n integer NOT NULL
    kind text NOT NULL
    name text NOT NULL
    tenant_id text NOT NULL
    execution_id text NOT NULL
    node_id text NOT NULL
    token text NOT NULL
    state text DEFAULT 'begun'::text NOT NULL
    result text
    input_tokens bigint DEFAULT 0 NOT NULL
    output_tokens bigint DEFAULT 0 NOT NULL
    cost_usd double precision DEFAULT 0 NOT NULL
    began_at timestamp with time zone DEFAULT now() NOT NULL
    finished_at timestamp with time zone
    WITH (fillfactor=70)
    CONSTRAINT substeps_kind_check CHECK ((kind = ANY (ARRAY['model'::text, 'tool'::text])))
    CONSTRAINT substeps_state_check CHECK ((state = ANY (ARRAY['begun'::text, 'finished'::text, 'void'::text])))
    CONSTRAINT substeps_pkey PRIMARY KEY (agent, request)
    INDEX substeps_execution CREATE INDEX substeps_execution ON substeps USING btree (execution_id)

TABLE variables
    id uuid NOT NULL
    tenant_id text NOT NULL
    workspace_id uuid NOT NULL
    name character varying(100) NOT NULL
    value jsonb
    is_set boolean NOT NULL
    number integer NOT NULL
    changed_by text DEFAULT ''::text NOT NULL
    updated_at timestamp with time zone NOT NULL
    CONSTRAINT variables_pkey PRIMARY KEY (id)
    INDEX variables_workspace_idx CREATE INDEX variables_workspace_idx ON variables USING btree (tenant_id, workspace_id, name)

TABLE wake
    shard text NOT NULL
    stream text NOT NULL
    at timestamp with time zone NOT NULL
    WITH (autovacuum_vacuum_scale_factor=0.05, fillfactor=70)
    CONSTRAINT wake_pkey PRIMARY KEY (shard, stream)

TABLE workflow_execution_logs
    id uuid NOT NULL
    tenant_id text NOT NULL
    execution_id character varying(255) NOT NULL
    position bigint NOT NULL
    log_category character varying(20) DEFAULT 'TECHNICAL'::character varying NOT NULL
    event_type character varying(50) NOT NULL
    level character varying(10) DEFAULT 'INFO'::character varying NOT NULL
    message text NOT NULL
    data jsonb DEFAULT '{}'::jsonb NOT NULL
    node_id character varying(255)
    node_name character varying(255)
    node_type character varying(100)
    step_number integer
    total_steps integer
    progress_percentage numeric(5,2)
    duration_seconds integer
    user_friendly_message text
    display_priority integer DEFAULT 5 NOT NULL
    is_milestone boolean DEFAULT false NOT NULL
    technical_details jsonb DEFAULT '{}'::jsonb NOT NULL
    stack_trace text
    performance_metrics jsonb DEFAULT '{}'::jsonb NOT NULL
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    PARTITION BY RANGE (created_at)
    CONSTRAINT valid_event_type CHECK (((event_type)::text = ANY ((ARRAY['workflow_started'::character varying, 'workflow_completed'::character varying, 'workflow_progress'::character varying, 'step_started'::character varying, 'step_input'::character varying, 'step_output'::character varying, 'step_completed'::character varying, 'step_error'::character varying, 'separator'::character varying])::text[])))
    CONSTRAINT valid_log_category CHECK (((log_category)::text = ANY ((ARRAY['TECHNICAL'::character varying, 'BUSINESS'::character varying])::text[])))
    CONSTRAINT valid_log_level CHECK (((level)::text = ANY ((ARRAY['DEBUG'::character varying, 'INFO'::character varying, 'WARNING'::character varying, 'ERROR'::character varying])::text[])))
    CONSTRAINT workflow_execution_logs_pkey PRIMARY KEY (id, created_at)
    INDEX workflow_execution_logs_execution_idx CREATE INDEX workflow_execution_logs_execution_idx ON ONLY engine.workflow_execution_logs USING btree (execution_id, "position")

TABLE workflow_execution_logs_other
    id uuid NOT NULL
    tenant_id text NOT NULL
    execution_id character varying(255) NOT NULL
    position bigint NOT NULL
    log_category character varying(20) DEFAULT 'TECHNICAL'::character varying NOT NULL
    event_type character varying(50) NOT NULL
    level character varying(10) DEFAULT 'INFO'::character varying NOT NULL
    message text NOT NULL
    data jsonb DEFAULT '{}'::jsonb NOT NULL
    node_id character varying(255)
    node_name character varying(255)
    node_type character varying(100)
    step_number integer
    total_steps integer
    progress_percentage numeric(5,2)
    duration_seconds integer
    user_friendly_message text
    display_priority integer DEFAULT 5 NOT NULL
    is_milestone boolean DEFAULT false NOT NULL
    technical_details jsonb DEFAULT '{}'::jsonb NOT NULL
    stack_trace text
    performance_metrics jsonb DEFAULT '{}'::jsonb NOT NULL
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    PARTITION DEFAULT
    CONSTRAINT valid_event_type CHECK (((event_type)::text = ANY ((ARRAY['workflow_started'::character varying, 'workflow_completed'::character varying, 'workflow_progress'::character varying, 'step_started'::character varying, 'step_input'::character varying, 'step_output'::character varying, 'step_completed'::character varying, 'step_error'::character varying, 'separator'::character varying])::text[])))
    CONSTRAINT valid_log_category CHECK (((log_category)::text = ANY ((ARRAY['TECHNICAL'::character varying, 'BUSINESS'::character varying])::text[])))
    CONSTRAINT valid_log_level CHECK (((level)::text = ANY ((ARRAY['DEBUG'::character varying, 'INFO'::character varying, 'WARNING'::character varying, 'ERROR'::character varying])::text[])))
    CONSTRAINT workflow_execution_logs_other_pkey PRIMARY KEY (id, created_at)
    INDEX workflow_execution_logs_other_execution_id_position_idx CREATE INDEX workflow_execution_logs_other_execution_id_position_idx ON workflow_execution_logs_other USING btree (execution_id, "position")

TABLE workflow_execution_pauses
    id uuid NOT NULL
    tenant_id text NOT NULL
    execution_id character varying(255) NOT NULL
    paused_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    paused_node_id character varying(255) DEFAULT ''::character varying NOT NULL
    pause_reason character varying(100) NOT NULL
    resume_conditions jsonb DEFAULT '{}'::jsonb NOT NULL
    resumed_at timestamp with time zone
    resume_trigger character varying(100)
    status character varying(20) DEFAULT 'active'::character varying NOT NULL
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    interaction_id text
    CONSTRAINT valid_pause_reason CHECK (((pause_reason)::text = ANY ((ARRAY['human_interaction'::character varying, 'timeout'::character varying, 'error'::character varying, 'operator'::character varying, 'event'::character varying])::text[])))
    CONSTRAINT valid_pause_status CHECK (((status)::text = ANY ((ARRAY['active'::character varying, 'resumed'::character varying, 'timeout'::character varying])::text[])))
    CONSTRAINT workflow_execution_pauses_pkey PRIMARY KEY (id)
    INDEX workflow_execution_pauses_active_idx CREATE INDEX workflow_execution_pauses_active_idx ON workflow_execution_pauses USING btree (execution_id) WHERE ((status)::text = 'active'::text)
    INDEX workflow_execution_pauses_execution_idx CREATE INDEX workflow_execution_pauses_execution_idx ON workflow_execution_pauses USING btree (execution_id)
    INDEX workflow_execution_pauses_node_idx CREATE INDEX workflow_execution_pauses_node_idx ON workflow_execution_pauses USING btree (paused_node_id)

TABLE workflow_executions
    execution_id character varying(255) NOT NULL
    id uuid NOT NULL
    tenant_id text NOT NULL
    workspace_id uuid NOT NULL
    workflow_id uuid NOT NULL
    workflow_version integer NOT NULL
    status character varying(50) DEFAULT 'NEW'::character varying NOT NULL
    mode character varying(50) DEFAULT 'MANUAL'::character varying NOT NULL
    triggered_by character varying(255)
    parent_execution_id character varying(255)
    start_time bigint
    end_time bigint
    run_data jsonb
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL
    error_message text
    error_details jsonb
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    WITH (fillfactor=60)
    CONSTRAINT valid_execution_mode CHECK (((mode)::text = ANY ((ARRAY['MANUAL'::character varying, 'TRIGGER'::character varying, 'WEBHOOK'::character varying, 'RETRY'::character varying])::text[])))
    CONSTRAINT valid_execution_status CHECK (((status)::text = ANY ((ARRAY['NEW'::character varying, 'RUNNING'::character varying, 'SUCCESS'::character varying, 'ERROR'::character varying, 'CANCELED'::character varying, 'PAUSED'::character varying, 'WAITING_FOR_HUMAN'::character varying, 'TIMEOUT'::character varying])::text[])))
    CONSTRAINT workflow_executions_pkey PRIMARY KEY (execution_id)
    INDEX workflow_executions_newest_idx CREATE INDEX workflow_executions_newest_idx ON workflow_executions USING btree (tenant_id, id DESC)
    INDEX workflow_executions_workflow_idx CREATE INDEX workflow_executions_workflow_idx ON workflow_executions USING btree (tenant_id, workflow_id, id DESC)

TABLE workflow_static_data
    workflow_id uuid NOT NULL
    tenant_id text NOT NULL
    data jsonb NOT NULL
    number integer NOT NULL
    changed_by text DEFAULT ''::text NOT NULL
    updated_at timestamp with time zone NOT NULL
    CONSTRAINT workflow_static_data_pkey PRIMARY KEY (workflow_id)

TABLE workflow_templates
    id uuid NOT NULL
    tenant_id text NOT NULL
    name character varying(255) NOT NULL
    description text
    document_type character varying(255) NOT NULL
    workflow_definition jsonb NOT NULL
    is_active boolean DEFAULT true NOT NULL
    saved_by text DEFAULT ''::text NOT NULL
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    CONSTRAINT workflow_templates_pkey PRIMARY KEY (id)
    INDEX idx_workflow_templates_active CREATE INDEX idx_workflow_templates_active ON workflow_templates USING btree (tenant_id, is_active)
    INDEX idx_workflow_templates_document_type CREATE INDEX idx_workflow_templates_document_type ON workflow_templates USING btree (tenant_id, document_type)

TABLE workflow_versions
    workflow_id uuid NOT NULL
    version integer NOT NULL
    tenant_id text NOT NULL
    workspace_id uuid NOT NULL
    name character varying(255) NOT NULL
    definition jsonb NOT NULL
    sha256 text NOT NULL
    saved_by text DEFAULT ''::text NOT NULL
    warnings jsonb DEFAULT '[]'::jsonb NOT NULL
    created_at timestamp with time zone NOT NULL
    CONSTRAINT workflow_versions_pkey PRIMARY KEY (workflow_id, version)

TABLE workflows
    id uuid NOT NULL
    tenant_id text NOT NULL
    workspace_id uuid NOT NULL
    user_id text
    session_id uuid
    name character varying(255) NOT NULL
    description text
    version character varying(50) DEFAULT '1'::character varying NOT NULL
    newest_version integer NOT NULL
    sha256 text NOT NULL
    active boolean DEFAULT true NOT NULL
    workflow_data jsonb NOT NULL
    settings jsonb
    static_data jsonb
    pin_data jsonb
    tags text[] DEFAULT '{}'::text[] NOT NULL
    is_template boolean DEFAULT false NOT NULL
    template_category character varying(100)
    deployment_status character varying(50) DEFAULT 'IDLE'::character varying NOT NULL
    deployed_at timestamp with time zone
    deployed_by text
    undeployed_at timestamp with time zone
    deployment_version integer
    deployment_config jsonb DEFAULT '{}'::jsonb NOT NULL
    latest_execution_status character varying(50) DEFAULT 'IDLE'::character varying NOT NULL
    latest_execution_id character varying(255)
    latest_execution_time timestamp with time zone
    icon_url character varying(500)
    created_at bigint DEFAULT 0 NOT NULL
    updated_at bigint DEFAULT 0 NOT NULL
    CONSTRAINT workflows_name_not_empty CHECK ((length((name)::text) > 0))
    CONSTRAINT workflows_valid_deployment_status CHECK (((deployment_status)::text = ANY ((ARRAY['IDLE'::character varying, 'DEPLOYING'::character varying, 'ACTIVE'::character varying, 'UNDEPLOYING'::character varying, 'FAILED'::character varying])::text[])))
    CONSTRAINT workflows_valid_workflow_data CHECK ((workflow_data IS NOT NULL))
    CONSTRAINT workflows_pkey PRIMARY KEY (id)
    INDEX idx_workflows_active CREATE INDEX idx_workflows_active ON workflows USING btree (tenant_id, active)
    INDEX idx_workflows_deployment_status CREATE INDEX idx_workflows_deployment_status ON workflows USING btree (tenant_id, deployment_status)
    INDEX idx_workflows_name CREATE INDEX idx_workflows_name ON workflows USING btree (tenant_id, name)
    INDEX idx_workflows_tags CREATE INDEX idx_workflows_tags ON workflows USING gin (tags)
    INDEX idx_workflows_user_id CREATE INDEX idx_workflows_user_id ON workflows USING btree (tenant_id, user_id)

CREATE OR REPLACE FUNCTION claim_shards(p_shards text[], p_owner text)
 RETURNS SETOF shard
 LANGUAGE plpgsql
AS $function$
DECLARE
    s text;
BEGIN
    FOR s IN SELECT DISTINCT u FROM unnest(p_shards) AS u ORDER BY u LOOP
        RETURN QUERY
            INSERT INTO shard AS h (id, epoch, owner) VALUES (s, 1, p_owner)
            ON CONFLICT (id) DO UPDATE SET epoch = h.epoch + 1, owner = EXCLUDED.owner
            RETURNING h.*;
    END LOOP;
END
$function$

CREATE OR REPLACE FUNCTION cleanup_old_execution_logs(retention_days integer, at timestamp with time zone DEFAULT now())
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
AS $function$
DECLARE
    older_than timestamptz := at - make_interval(days => retention_days);
    gone       bigint;
BEGIN
    IF retention_days IS NULL OR retention_days < 0 THEN
        RAISE EXCEPTION 'retention_days is %: give a whole number of days from 0', retention_days
            USING ERRCODE = '22023';
    END IF;
    SELECT count(*) INTO gone FROM workflow_execution_logs WHERE created_at < older_than;
    PERFORM drop_log_partitions(older_than);
    DELETE FROM workflow_execution_logs WHERE created_at < older_than;
    INSERT INTO expired VALUES ('workflow_execution_logs', older_than)
    ON CONFLICT (table_name) DO UPDATE SET before = greatest(expired.before, older_than);
    RETURN gone;
END
$function$

CREATE OR REPLACE FUNCTION commit_batch(f_shard text[], f_epoch bigint[], f_next_seq bigint[], f_rows integer[], f_format integer[], f_published bigint[], f_projected bigint[], j_shard text[], j_seq bigint[], j_stream text[], j_version integer[], j_tenant text[], j_type text[], j_data text[], j_meta text[], j_at timestamp with time zone[], c_shard text[], c_topic text[], c_partition integer[], c_next bigint[], h_shard text[], h_topic text[], h_partition integer[], h_source text[], h_seq bigint[], h_gap bigint[], s_shard text[], s_topic text[], s_partition integer[], s_seq bigint[], w_shard text[], w_stream text[], w_at timestamp with time zone[], x_stream text[], x_version integer[], x_state_version integer[], x_state text[], d_tenant text[], d_source text[], d_id text[], d_answer text[], p_shard text[], p_stream text[], p_n integer[], p_raw bytea[], u_stream text[], u_n integer[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE
    fenced text[] := '{}';
    n integer := cardinality(j_seq);
BEGIN
    -- One by one: the locks are taken in the caller's (sorted) order, whatever the planner likes.
    FOR i IN 1 .. cardinality(f_shard) LOOP
        UPDATE shard SET
            next_seq = next_seq + f_rows[i],
            published_seq = greatest(published_seq, f_published[i]),
            projected_seq = greatest(projected_seq, f_projected[i]),
            format = greatest(format, f_format[i])
        WHERE id = f_shard[i] AND epoch = f_epoch[i] AND next_seq = f_next_seq[i];
        IF NOT FOUND THEN
            fenced := fenced || f_shard[i];
        END IF;
    END LOOP;
    IF cardinality(fenced) > 0 THEN
        RAISE EXCEPTION 'fenced' USING ERRCODE = 'PD001', DETAIL = array_to_json(fenced)::text;
    END IF;
    IF j_shard IS NOT NULL THEN
        INSERT INTO journal (
            shard, seq, stream, version, tenant_id, type, data, meta, recorded_at
        ) SELECT * FROM unnest(
            texts(j_shard, n), j_seq, texts(j_stream, n), repeated(j_version, n),
            texts(j_tenant, n), texts(j_type, n), j_data, texts(j_meta, n), repeated(j_at, n)
        );
    END IF;
    IF c_shard IS NOT NULL THEN
        INSERT INTO consumed AS t (shard, topic, partition, next_offset)
        SELECT * FROM unnest(c_shard, c_topic, c_partition, c_next)
        ON CONFLICT (shard, topic, partition) DO UPDATE SET next_offset = EXCLUDED.next_offset
        WHERE t.next_offset <> EXCLUDED.next_offset;
    END IF;
    IF h_shard IS NOT NULL THEN
        INSERT INTO heard AS t (shard, topic, partition, source, seq, gap)
        SELECT * FROM unnest(h_shard, h_topic, h_partition, h_source, h_seq, h_gap)
        ON CONFLICT (shard, topic, partition, source)
        DO UPDATE SET seq = EXCLUDED.seq, gap = EXCLUDED.gap
        WHERE t.seq <= EXCLUDED.seq;
    END IF;
    IF s_shard IS NOT NULL THEN
        INSERT INTO sent AS t (shard, topic, partition, seq)
        SELECT * FROM unnest(s_shard, s_topic, s_partition, s_seq)
        ON CONFLICT (shard, topic, partition) DO UPDATE SET seq = EXCLUDED.seq
        WHERE t.seq < EXCLUDED.seq;
    END IF;
    IF w_shard IS NOT NULL THEN
        DELETE FROM wake t USING unnest(w_shard, w_stream, w_at) AS w (shard, stream, at)
        WHERE t.shard = w.shard AND t.stream = w.stream AND w.at IS NULL;
        INSERT INTO wake AS t (shard, stream, at)
        SELECT * FROM unnest(w_shard, w_stream, w_at) AS w (shard, stream, at)
        WHERE w.at IS NOT NULL
        ON CONFLICT (shard, stream) DO UPDATE SET at = EXCLUDED.at;
    END IF;
    IF x_stream IS NOT NULL THEN
        DELETE FROM snapshot t USING unnest(x_stream, x_version) AS x (stream, version)
        WHERE t.stream = x.stream AND t.version < (
            SELECT max(o.version) FROM snapshot o
            WHERE o.stream = x.stream AND o.version < x.version
        );
        INSERT INTO snapshot (stream, version, state_version, state)
        SELECT * FROM unnest(x_stream, x_version, x_state_version, x_state)
        ON CONFLICT (stream, version)
        DO UPDATE SET state_version = EXCLUDED.state_version, state = EXCLUDED.state;
    END IF;
    IF d_tenant IS NOT NULL THEN
        INSERT INTO delivery (tenant_id, source, id, answer)
        SELECT * FROM unnest(d_tenant, d_source, d_id, d_answer);
    END IF;
    IF p_shard IS NOT NULL THEN
        INSERT INTO parked_message (stream, n, raw)
        SELECT * FROM unnest(p_stream, p_n, p_raw);
        INSERT INTO parked_stream AS t (stream, shard, last_n)
        SELECT p.stream, max(p.shard), max(p.n)
        FROM unnest(p_shard, p_stream, p_n) AS p (shard, stream, n) GROUP BY p.stream
        ON CONFLICT (stream) DO UPDATE SET last_n = greatest(t.last_n, EXCLUDED.last_n);
    END IF;
    IF u_stream IS NOT NULL THEN
        DELETE FROM parked_message t USING unnest(u_stream, u_n) AS u (stream, n)
        WHERE t.stream = u.stream AND t.n = u.n;
        DELETE FROM parked_stream t WHERE t.stream = ANY (u_stream)
        AND NOT EXISTS (SELECT FROM parked_message m WHERE m.stream = t.stream);
    END IF;
END
$function$

CREATE OR REPLACE FUNCTION commit_batch(f_shard text[], f_epoch bigint[], f_next_seq bigint[], f_rows integer[], f_format integer[], f_published bigint[], f_projected bigint[], j_shard text[], j_seq bigint[], j_stream text[], j_version integer[], j_tenant text[], j_type text[], j_data text[], j_meta text[], j_at timestamp with time zone[], j_events integer[], j_rest text[], c_shard text[], c_topic text[], c_partition integer[], c_next bigint[], h_shard text[], h_topic text[], h_partition integer[], h_source text[], h_seq bigint[], h_gap bigint[], s_shard text[], s_topic text[], s_partition integer[], s_seq bigint[], w_shard text[], w_stream text[], w_at timestamp with time zone[], x_stream text[], x_version integer[], x_state_version integer[], x_state text[], d_tenant text[], d_source text[], d_id text[], d_answer text[], p_shard text[], p_stream text[], p_n integer[], p_raw bytea[], u_stream text[], u_n integer[])
 RETURNS void
 LANGUAGE plpgsql
AS $function$
DECLARE
    n integer := cardinality(j_seq);
BEGIN
    PERFORM commit_batch(
        f_shard, f_epoch, f_next_seq, f_rows, f_format, f_published, f_projected, NULL, NULL,
        NULL, NULL, NULL, NULL, NULL, NULL, NULL, c_shard, c_topic, c_partition, c_next,
        h_shard, h_topic, h_partition, h_source, h_seq, h_gap, s_shard, s_topic, s_partition,
        s_seq, w_shard, w_stream, w_at, x_stream, x_version, x_state_version, x_state, d_tenant,
        d_source, d_id, d_answer, p_shard, p_stream, p_n, p_raw, u_stream, u_n
    );
    IF j_shard IS NOT NULL THEN
        INSERT INTO journal_entry (
            shard, seq, stream, version, tenant_id, type, data, meta, recorded_at, events, rest
        ) SELECT * FROM unnest(
            texts(j_shard, n), j_seq, texts(j_stream, n), repeated(j_version, n),
            texts(j_tenant, n), texts(j_type, n), j_data, texts(j_meta, n), repeated(j_at, n),
            repeated(j_events, n), j_rest
        );
    END IF;
END
$function$

CREATE OR REPLACE FUNCTION drop_log_partitions(older_than timestamp with time zone)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET lock_timeout TO '2s'
AS $function$
DECLARE
    month   record;
    dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('workflow_execution_logs'));
    FOR month IN
        SELECT c.relname AS name,
               (to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC'
                   AS after
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'workflow_execution_logs'::regclass
           AND c.relname ~ '^workflow_execution_logs_[0-9]{4}_[0-9]{2}$'
         ORDER BY c.relname
    LOOP
        IF month.after <= older_than THEN
            EXECUTE format('DROP TABLE %I', month.name);
            dropped := dropped + 1;
            INSERT INTO expired VALUES ('workflow_execution_logs', month.after)
            ON CONFLICT (table_name) DO UPDATE SET before = greatest(expired.before, month.after);
        END IF;
    END LOOP;
    RETURN dropped;
END
$function$

CREATE OR REPLACE FUNCTION drop_tombstones(swept_before timestamp with time zone, most integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET lock_timeout TO '2s'
AS $function$
DECLARE
    gone text[];
BEGIN
    LOCK TABLE shard IN ROW EXCLUSIVE MODE;
    SELECT array_agg(execution_id) INTO gone FROM (
        SELECT p.execution_id
          FROM execution_purges p
         WHERE p.swept_at < swept_before
           AND NOT EXISTS (
               SELECT FROM journal_entry j JOIN shard s ON s.id = j.shard
                WHERE j.stream = p.execution_id AND (
                    j.recorded_at >= swept_before OR j.seq + j.events >= s.next_seq))
           AND NOT EXISTS (SELECT FROM parked_stream k WHERE k.stream = p.execution_id)
         ORDER BY p.swept_at
         LIMIT most
           FOR UPDATE OF p SKIP LOCKED) AS each;
    IF gone IS NULL THEN
        RETURN 0;
    END IF;
    WITH deleted AS (
        DELETE FROM journal_entry WHERE stream = ANY (gone) RETURNING shard, events, recorded_at
    )
    INSERT INTO journal_purged AS g (shard, rows, before)
    SELECT shard, sum(events), max(recorded_at) FROM deleted GROUP BY shard ORDER BY shard
    ON CONFLICT (shard) DO UPDATE
       SET rows = g.rows + EXCLUDED.rows, before = greatest(g.before, EXCLUDED.before);
    DELETE FROM snapshot WHERE stream = ANY (gone);
    DELETE FROM execution_purges WHERE execution_id = ANY (gone);
    RETURN cardinality(gone);
END
$function$

CREATE OR REPLACE FUNCTION entry_events(first_type text, first_data text, first_meta text, rest text)
 RETURNS TABLE(n integer, type text, data text, meta text)
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT 0, first_type, first_data, first_meta
    UNION ALL
    SELECT r.n::integer, btrim(r.parts[1], '"'), r.parts[2], coalesce(r.parts[3], first_meta)
      FROM (SELECT n, ARRAY(SELECT part::text FROM json_array_elements(event) AS p (part)) AS parts
              FROM json_array_elements(rest::json) WITH ORDINALITY AS e (event, n)) AS r
$function$

CREATE OR REPLACE FUNCTION events_after(of_stream text, after integer)
 RETURNS SETOF journal
 LANGUAGE sql
 STABLE
BEGIN ATOMIC
 SELECT e.shard,
     (e.seq + x.n),
     e.stream,
     (e.version + x.n),
     e.tenant_id,
     x.type,
     x.data,
     x.meta,
     e.recorded_at
    FROM (journal_entry e
      CROSS JOIN LATERAL entry_events(e.type, e.data, e.meta, e.rest) x(n, type, data, meta))
   WHERE ((e.stream = events_after.of_stream) AND ((e.version + x.n) > events_after.after) AND (e.version >= COALESCE(( SELECT max(f.version) AS max
            FROM journal_entry f
           WHERE ((f.stream = events_after.of_stream) AND (f.version <= (events_after.after + 1)))), 0)))
   ORDER BY e.version, x.n;
END

CREATE OR REPLACE FUNCTION journal_insert()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'engine', 'public'
AS $function$
BEGIN
    INSERT INTO journal_entry (
        shard, seq, stream, version, tenant_id, type, data, meta, recorded_at
    ) VALUES (
        NEW.shard, NEW.seq, NEW.stream, NEW.version, NEW.tenant_id, NEW.type, NEW.data, NEW.meta,
        NEW.recorded_at
    );
    RETURN NEW;
END
$function$

CREATE OR REPLACE FUNCTION make_log_partition(day timestamp with time zone)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET lock_timeout TO '2s'
AS $function$
DECLARE
    first timestamptz := date_trunc('month', day, 'UTC');
    -- A month has other lengths in other zones: it is reckoned in UTC.
    after timestamptz := ((first AT TIME ZONE 'UTC') + interval '1 month') AT TIME ZONE 'UTC';
    name  text := 'workflow_execution_logs_' || to_char(first AT TIME ZONE 'UTC', 'YYYY_MM');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('workflow_execution_logs'));
    IF to_regclass(name) IS NOT NULL THEN
        RETURN false;
    END IF;
    LOCK TABLE workflow_execution_logs_other IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('CREATE TABLE %I (LIKE workflow_execution_logs INCLUDING ALL)', name);
    EXECUTE format(
        'WITH moved AS (
             DELETE FROM workflow_execution_logs_other
              WHERE created_at >= %L AND created_at < %L RETURNING *
         ) INSERT INTO %I SELECT * FROM moved', first, after, name);
    EXECUTE format(
        'ALTER TABLE workflow_execution_logs ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        name, first, after);
    RETURN true;
END
$function$

CREATE OR REPLACE FUNCTION repeated(packed anyarray, n integer)
 RETURNS anyarray
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT CASE WHEN cardinality(packed) = n THEN packed
        ELSE array_fill(packed[1], ARRAY[n]) END
$function$

CREATE OR REPLACE FUNCTION sweep_purged_executions(ended_before timestamp with time zone, most integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'engine', 'pg_temp'
 SET lock_timeout TO '2s'
AS $function$
DECLARE
    gone text[];
    kept journal[];
BEGIN
    LOCK TABLE shard IN ROW EXCLUSIVE MODE;
    SELECT array_agg(execution_id) INTO gone FROM (
        SELECT p.execution_id
          FROM execution_purges p
          JOIN journal t ON t.stream = p.execution_id AND t.version = p.version
          JOIN shard s ON s.id = t.shard
         WHERE p.swept_at IS NULL
           AND t.seq <= s.published_seq AND t.seq <= s.projected_seq
           AND NOT EXISTS (
               SELECT FROM journal j WHERE j.stream = p.execution_id
                  AND j.version = p.version - 1 AND j.recorded_at >= ended_before)
           AND NOT EXISTS (SELECT FROM parked_stream k WHERE k.stream = p.execution_id)
         ORDER BY p.purged_at
         LIMIT most
           FOR UPDATE OF p SKIP LOCKED) AS each;
    IF gone IS NULL THEN
        RETURN 0;
    END IF;
    SELECT array_agg(j ORDER BY j.seq) INTO kept
      FROM execution_purges p JOIN journal j ON j.stream = p.execution_id
     WHERE p.execution_id = ANY (gone) AND j.version >= p.version;
    WITH deleted AS (
        DELETE FROM journal_entry WHERE stream = ANY (gone) RETURNING shard, events, recorded_at
    ), counted AS (
        SELECT shard, events, recorded_at FROM deleted
        UNION ALL SELECT shard, -1, NULL FROM unnest(kept)
    )
    INSERT INTO journal_purged AS g (shard, rows, before)
    SELECT shard, sum(events), max(recorded_at) FROM counted GROUP BY shard ORDER BY shard
    ON CONFLICT (shard) DO UPDATE
       SET rows = g.rows + EXCLUDED.rows, before = greatest(g.before, EXCLUDED.before);
    INSERT INTO journal_entry (
        shard, seq, stream, version, tenant_id, type, data, meta, recorded_at
    ) SELECT k.shard, k.seq, k.stream, CASE k.version WHEN p.version THEN 1 ELSE k.version END,
             k.tenant_id, k.type, k.data, k.meta, k.recorded_at
        FROM unnest(kept) AS k JOIN execution_purges p ON p.execution_id = k.stream;
    DELETE FROM snapshot WHERE stream = ANY (gone);
    DELETE FROM payload_uses WHERE stream = ANY (gone);
    DELETE FROM substeps WHERE execution_id = ANY (gone);
    DELETE FROM execution_files WHERE execution_id = ANY (gone);
    DELETE FROM workflow_execution_logs WHERE execution_id = ANY (gone);
    DELETE FROM workflow_execution_pauses WHERE execution_id = ANY (gone);
    DELETE FROM node_executions WHERE execution_id = ANY (gone);
    DELETE FROM workflow_executions WHERE execution_id = ANY (gone);
    UPDATE execution_purges SET swept_at = now() WHERE execution_id = ANY (gone);
    RETURN cardinality(gone);
END
$function$

CREATE OR REPLACE FUNCTION texts(packed text[], n integer)
 RETURNS text[]
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT CASE WHEN cardinality(packed) = n THEN packed
        ELSE string_to_array(packed[1], chr(31), chr(30)) END
$function$
