SEQUENCE erasures_id_seq

TABLE consumed
    shard text NOT NULL
    topic text NOT NULL
    partition integer NOT NULL
    next_offset bigint NOT NULL
    WITH (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=1000, fillfactor=25)
    CONSTRAINT consumed_pkey PRIMARY KEY (shard, topic, partition)

TABLE dead_letters
    id uuid NOT NULL
    tenant_id text NOT NULL
    stream text NOT NULL
    service text NOT NULL
    topic text NOT NULL
    partition integer NOT NULL
    record_offset bigint NOT NULL
    source text NOT NULL
    event_type text NOT NULL
    payload jsonb
    raw bytea NOT NULL
    record_key bytea
    headers jsonb DEFAULT '{}'::jsonb NOT NULL
    sha256 text NOT NULL
    error text NOT NULL
    retry_count integer DEFAULT 0 NOT NULL
    status text NOT NULL
    parked_stream text DEFAULT ''::text NOT NULL
    settled_by text
    received_at timestamp with time zone
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    processed_at timestamp with time zone
    edited_raw bytea
    edited_payload jsonb
    edited_by text
    edited_at timestamp with time zone
    edit_reason text
    failure_type text DEFAULT 'unknown'::text NOT NULL
    root_cause_category text DEFAULT 'platform'::text NOT NULL
    recovery_strategy text DEFAULT 'escalate_human'::text NOT NULL
    user_action_required text DEFAULT ''::text NOT NULL
    attempts integer DEFAULT 1 NOT NULL
    pattern_signature text DEFAULT ''::text NOT NULL
    pattern_id uuid
    family_branch text DEFAULT ''::text NOT NULL
    last_failed_at timestamp with time zone
    kept_until timestamp with time zone DEFAULT '9999-01-01 00:00:00+00'::timestamp with time zone NOT NULL
    CONSTRAINT valid_status CHECK ((status = ANY (ARRAY['waiting'::text, 'redriven'::text, 'dropped'::text])))
    CONSTRAINT dead_letters_pkey PRIMARY KEY (id)
    INDEX dead_letters_kept_idx CREATE INDEX dead_letters_kept_idx ON dead_letters USING btree (kept_until)
    INDEX dead_letters_pattern_idx CREATE INDEX dead_letters_pattern_idx ON dead_letters USING btree (tenant_id, pattern_signature, created_at)
    INDEX dead_letters_sha256_idx CREATE INDEX dead_letters_sha256_idx ON dead_letters USING btree (sha256)
    INDEX dead_letters_source_idx CREATE INDEX dead_letters_source_idx ON dead_letters USING btree (tenant_id, source, created_at)
    INDEX dead_letters_status_idx CREATE INDEX dead_letters_status_idx ON dead_letters USING btree (tenant_id, status, created_at)

TABLE delivery
    tenant_id text NOT NULL
    source text NOT NULL
    id text NOT NULL
    answer text NOT NULL
    received_at timestamp with time zone DEFAULT now() NOT NULL
    CONSTRAINT delivery_pkey PRIMARY KEY (tenant_id, source, id)
    INDEX delivery_received_at_idx CREATE INDEX delivery_received_at_idx ON delivery USING brin (received_at) WITH (pages_per_range='16', autosummarize='on')

TABLE erasures
    id bigint GENERATED ALWAYS AS IDENTITY NOT NULL
    table_name text NOT NULL
    rows bigint NOT NULL
    kept_until_before timestamp with time zone NOT NULL
    erased_at timestamp with time zone NOT NULL
    CONSTRAINT erasures_pkey PRIMARY KEY (id)
    INDEX erasures_at_idx CREATE INDEX erasures_at_idx ON erasures USING btree (erased_at)

TABLE expired
    table_name text NOT NULL
    before timestamp with time zone NOT NULL
    CONSTRAINT expired_pkey PRIMARY KEY (table_name)

TABLE failure_patterns
    id uuid NOT NULL
    tenant_id text NOT NULL
    workspace_id text NOT NULL
    task_id uuid
    pattern_signature text NOT NULL
    dependency text DEFAULT ''::text NOT NULL
    failure_type text NOT NULL
    error_message_hash text NOT NULL
    error_message text DEFAULT ''::text NOT NULL
    error_type text DEFAULT ''::text NOT NULL
    root_cause_category text NOT NULL
    occurrence_count integer DEFAULT 0 NOT NULL
    first_detected_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    last_detected_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    is_transient boolean
    confidence_score double precision
    pattern_source text NOT NULL
    execution_stage text DEFAULT ''::text NOT NULL
    agent_id uuid
    context_metadata jsonb
    lesson_successes double precision DEFAULT 0 NOT NULL
    lesson_failures double precision DEFAULT 0 NOT NULL
    weighed_at timestamp with time zone
    last_tried_at timestamp with time zone
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    family_branch text DEFAULT ''::text NOT NULL
    kept_until timestamp with time zone DEFAULT '9999-01-01 00:00:00+00'::timestamp with time zone NOT NULL
    CONSTRAINT short_error_message CHECK ((char_length(error_message) <= 500))
    CONSTRAINT small_context_metadata CHECK ((octet_length((context_metadata)::text) <= 8192))
    CONSTRAINT valid_failure_type CHECK ((failure_type = ANY (ARRAY['rate_limit'::text, 'quota_exhausted'::text, 'timeout'::text, 'network'::text, 'dependency_down'::text, 'auth'::text, 'permission'::text, 'validation'::text, 'context_length'::text, 'model_refusal'::text, 'output_invalid'::text, 'tool_error'::text, 'resource_exhausted'::text, 'conflict'::text, 'data_missing'::text, 'worker_lost'::text, 'code_bug'::text, 'cancelled'::text, 'unknown'::text])))
    CONSTRAINT valid_pattern_source CHECK ((pattern_source = ANY (ARRAY['rule'::text, 'neighbour'::text, 'override'::text])))
    CONSTRAINT valid_root_cause_category CHECK ((root_cause_category = ANY (ARRAY['provider'::text, 'network'::text, 'configuration'::text, 'credentials'::text, 'input'::text, 'model'::text, 'code'::text, 'capacity'::text, 'platform'::text])))
    CONSTRAINT failure_patterns_pkey PRIMARY KEY (id)
    CONSTRAINT failure_patterns_key UNIQUE (workspace_id, pattern_signature, dependency)
    INDEX failure_patterns_family_idx CREATE INDEX failure_patterns_family_idx ON failure_patterns USING btree (tenant_id, workspace_id, family_branch) WHERE (pattern_source <> 'neighbour'::text)
    INDEX failure_patterns_kept_idx CREATE INDEX failure_patterns_kept_idx ON failure_patterns USING btree (kept_until)
    INDEX failure_patterns_last_idx CREATE INDEX failure_patterns_last_idx ON failure_patterns USING btree (tenant_id, last_detected_at)
    INDEX failure_patterns_message_idx CREATE INDEX failure_patterns_message_idx ON failure_patterns USING btree (tenant_id, error_message_hash)
    INDEX failure_patterns_signature_idx CREATE INDEX failure_patterns_signature_idx ON failure_patterns USING btree (tenant_id, pattern_signature)

VIEW growing_tables
    table_name text
    bytes bigint
 SELECT (relname)::text AS table_name,
    pg_total_relation_size((oid)::regclass) AS bytes
   FROM pg_class
  WHERE ((relnamespace = ('recovery'::regnamespace)::oid) AND (relkind = ANY (ARRAY['r'::"char", 'p'::"char"])) AND (NOT relispartition) AND (relname ~~ ANY (ARRAY['failure_%'::text, 'recovery_%'::text, 'dead_letters'::text])));

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

TABLE recovery_allowances
    tenant_id text NOT NULL
    workspace_id text NOT NULL
    tokens double precision NOT NULL
    tokens_at timestamp with time zone NOT NULL
    month text DEFAULT ''::text NOT NULL
    month_usd double precision DEFAULT 0 NOT NULL
    recovery_usd double precision
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    CONSTRAINT recovery_allowances_pkey PRIMARY KEY (tenant_id, workspace_id)

TABLE recovery_attempts
    id uuid NOT NULL
    tenant_id text NOT NULL
    workspace_id text NOT NULL
    task_id uuid
    workflow_id text
    execution_id text
    node_id text DEFAULT ''::text NOT NULL
    scope jsonb DEFAULT '[]'::jsonb NOT NULL
    run integer DEFAULT 0 NOT NULL
    episode_id uuid NOT NULL
    failure_id text NOT NULL
    failure_pattern_id uuid NOT NULL
    recovery_strategy text NOT NULL
    attempt_number integer NOT NULL
    triggered_by text NOT NULL
    recovery_reason text NOT NULL
    started_at timestamp with time zone NOT NULL
    completed_at timestamp with time zone
    status text NOT NULL
    success boolean
    recovery_outcome text
    error_message text DEFAULT ''::text NOT NULL
    recovery_context jsonb DEFAULT '{}'::jsonb NOT NULL
    agent_id uuid
    estimated_resolution_time interval
    actual_resolution_time interval
    confidence_score double precision NOT NULL
    ai_reasoning text NOT NULL
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    kept_until timestamp with time zone DEFAULT '9999-01-01 00:00:00+00'::timestamp with time zone NOT NULL
    dead_letter_id uuid
    CONSTRAINT about_something CHECK (((task_id IS NOT NULL) OR (execution_id IS NOT NULL) OR (dead_letter_id IS NOT NULL)))
    CONSTRAINT valid_recovery_outcome CHECK (((recovery_outcome = ANY (ARRAY['recovered'::text, 'relapsed'::text, 'same_failure'::text, 'other_failure'::text, 'superseded'::text, 'held'::text, 'handled'::text, 'escalated'::text, 'dead_lettered'::text])) OR (recovery_outcome ~~ 'refused:%'::text)))
    CONSTRAINT valid_recovery_strategy CHECK ((recovery_strategy = ANY (ARRAY['retry_now'::text, 'backoff'::text, 'wait_until'::text, 'reassign'::text, 'fallback_model'::text, 'reduce_input'::text, 'reprompt'::text, 'refresh_credentials'::text, 'skip_compensate'::text, 'escalate_human'::text, 'dead_letter'::text])))
    CONSTRAINT valid_status CHECK ((status = ANY (ARRAY['planned'::text, 'waiting_approval'::text, 'parked'::text, 'running'::text, 'succeeded'::text, 'failed'::text, 'refused'::text, 'superseded'::text, 'expired'::text])))
    CONSTRAINT valid_triggered_by CHECK ((triggered_by = ANY (ARRAY['engine'::text, 'task'::text, 'lease'::text, 'dead_letter'::text, 'stall'::text, 'person'::text, 'probe'::text])))
    CONSTRAINT recovery_attempts_pkey PRIMARY KEY (id)
    INDEX recovery_attempts_asked_idx CREATE INDEX recovery_attempts_asked_idx ON recovery_attempts USING btree (tenant_id, started_at, id) WHERE ((recovery_context ? 'interaction_id'::text) AND (NOT (recovery_context ? 'said'::text)))
    INDEX recovery_attempts_execution_idx CREATE INDEX recovery_attempts_execution_idx ON recovery_attempts USING btree (tenant_id, execution_id)
    INDEX recovery_attempts_kept_idx CREATE INDEX recovery_attempts_kept_idx ON recovery_attempts USING btree (kept_until)
    INDEX recovery_attempts_pattern_idx CREATE INDEX recovery_attempts_pattern_idx ON recovery_attempts USING btree (failure_pattern_id)
    INDEX recovery_attempts_started_idx CREATE INDEX recovery_attempts_started_idx ON recovery_attempts USING btree (tenant_id, started_at)
    INDEX recovery_attempts_status_idx CREATE INDEX recovery_attempts_status_idx ON recovery_attempts USING btree (tenant_id, status, started_at)
    INDEX recovery_attempts_task_idx CREATE INDEX recovery_attempts_task_idx ON recovery_attempts USING btree (tenant_id, task_id) WHERE (task_id IS NOT NULL)
    INDEX recovery_attempts_workspace_idx CREATE INDEX recovery_attempts_workspace_idx ON recovery_attempts USING btree (tenant_id, workspace_id, started_at)

TABLE recovery_breakers
    tenant_id text NOT NULL
    breaker_id text NOT NULL
    dependency text NOT NULL
    credential text DEFAULT ''::text NOT NULL
    state text NOT NULL
    until timestamp with time zone
    times integer DEFAULT 0 NOT NULL
    reason text DEFAULT ''::text NOT NULL
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    kept_until timestamp with time zone DEFAULT '9999-01-01 00:00:00+00'::timestamp with time zone NOT NULL
    CONSTRAINT valid_state CHECK ((state = ANY (ARRAY['closed'::text, 'open'::text, 'half_open'::text])))
    CONSTRAINT recovery_breakers_pkey PRIMARY KEY (tenant_id, breaker_id)
    INDEX recovery_breakers_dependency_idx CREATE INDEX recovery_breakers_dependency_idx ON recovery_breakers USING btree (tenant_id, dependency)

TABLE recovery_episodes
    id uuid NOT NULL
    tenant_id text NOT NULL
    workspace_id text NOT NULL
    workflow_id text
    execution_id text NOT NULL
    node_id text DEFAULT ''::text NOT NULL
    node_type text DEFAULT ''::text NOT NULL
    scope jsonb DEFAULT '[]'::jsonb NOT NULL
    run integer DEFAULT 0 NOT NULL
    pattern_signature text NOT NULL
    failure_type text NOT NULL
    dependency text DEFAULT ''::text NOT NULL
    dependency_class text NOT NULL
    first_failed_at timestamp with time zone NOT NULL
    last_failed_at timestamp with time zone NOT NULL
    failures integer DEFAULT 0 NOT NULL
    attempts integer DEFAULT 0 NOT NULL
    eligible boolean DEFAULT false NOT NULL
    judged_transient boolean DEFAULT false NOT NULL
    fallback boolean DEFAULT false NOT NULL
    last_strategy text DEFAULT ''::text NOT NULL
    refused_by text DEFAULT ''::text NOT NULL
    outcome text NOT NULL
    completed_at timestamp with time zone
    closed_at timestamp with time zone
    duration_s double precision
    resolution_time interval
    cured_unchanged boolean DEFAULT false NOT NULL
    obsolete boolean DEFAULT false NOT NULL
    missed boolean DEFAULT false NOT NULL
    fixed_at timestamp with time zone
    kept_until timestamp with time zone DEFAULT '9999-01-01 00:00:00+00'::timestamp with time zone NOT NULL
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    explored boolean DEFAULT false NOT NULL
    CONSTRAINT valid_outcome CHECK ((outcome = ANY (ARRAY['open'::text, 'recovered'::text, 'escalated'::text, 'superseded'::text, 'relapsed'::text, 'handled'::text, 'dead_lettered'::text])))
    CONSTRAINT recovery_episodes_pkey PRIMARY KEY (id)
    INDEX recovery_episodes_execution_idx CREATE INDEX recovery_episodes_execution_idx ON recovery_episodes USING btree (tenant_id, execution_id)
    INDEX recovery_episodes_first_idx CREATE INDEX recovery_episodes_first_idx ON recovery_episodes USING btree (tenant_id, first_failed_at, id)
    INDEX recovery_episodes_kept_idx CREATE INDEX recovery_episodes_kept_idx ON recovery_episodes USING btree (kept_until)
    INDEX recovery_episodes_open_idx CREATE INDEX recovery_episodes_open_idx ON recovery_episodes USING btree (tenant_id) WHERE (outcome = 'open'::text)
    INDEX recovery_episodes_workspace_idx CREATE INDEX recovery_episodes_workspace_idx ON recovery_episodes USING btree (tenant_id, workspace_id, first_failed_at)

TABLE recovery_explanations
    id uuid NOT NULL
    tenant_id text NOT NULL
    workspace_id text NOT NULL
    task_id uuid
    execution_id text
    node_id text DEFAULT ''::text NOT NULL
    recovery_attempt_id uuid NOT NULL
    failure_summary text NOT NULL
    root_cause text NOT NULL
    retry_decision text NOT NULL
    confidence_explanation text NOT NULL
    user_action_required text NOT NULL
    estimated_resolution_time text NOT NULL
    severity_level text NOT NULL
    display_category text NOT NULL
    technical_details jsonb DEFAULT '{}'::jsonb NOT NULL
    error_pattern_matched text NOT NULL
    failure_category text NOT NULL
    recovery_strategy text NOT NULL
    ai_analysis_used boolean NOT NULL
    explanation_source text NOT NULL
    generation_model text NOT NULL
    generation_confidence double precision NOT NULL
    failure_time timestamp with time zone NOT NULL
    explanation_generated_at timestamp with time zone NOT NULL
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    kept_until timestamp with time zone DEFAULT '9999-01-01 00:00:00+00'::timestamp with time zone NOT NULL
    complete boolean DEFAULT true NOT NULL
    faithfulness double precision DEFAULT 1 NOT NULL
    prose text
    prose_refused text
    dead_letter_id uuid
    CONSTRAINT about_something CHECK (((task_id IS NOT NULL) OR (execution_id IS NOT NULL) OR (dead_letter_id IS NOT NULL)))
    CONSTRAINT no_empty_texts CHECK ((((((((''::text <> failure_summary) AND (''::text <> root_cause)) AND (''::text <> retry_decision)) AND (''::text <> confidence_explanation)) AND (''::text <> user_action_required)) AND (''::text <> estimated_resolution_time)) AND (''::text <> display_category)))
    CONSTRAINT valid_severity_level CHECK ((severity_level = ANY (ARRAY['low'::text, 'medium'::text, 'high'::text, 'critical'::text])))
    CONSTRAINT recovery_explanations_pkey PRIMARY KEY (id)
    INDEX recovery_explanations_attempt_idx CREATE INDEX recovery_explanations_attempt_idx ON recovery_explanations USING btree (recovery_attempt_id)
    INDEX recovery_explanations_created_idx CREATE INDEX recovery_explanations_created_idx ON recovery_explanations USING btree (tenant_id, created_at, id)
    INDEX recovery_explanations_execution_idx CREATE INDEX recovery_explanations_execution_idx ON recovery_explanations USING btree (tenant_id, execution_id)
    INDEX recovery_explanations_kept_idx CREATE INDEX recovery_explanations_kept_idx ON recovery_explanations USING btree (kept_until)
    INDEX recovery_explanations_letter_idx CREATE INDEX recovery_explanations_letter_idx ON recovery_explanations USING btree (tenant_id, dead_letter_id) WHERE (dead_letter_id IS NOT NULL)
    INDEX recovery_explanations_prose_idx CREATE INDEX recovery_explanations_prose_idx ON recovery_explanations USING btree (explanation_generated_at) WHERE ((prose IS NULL) AND (prose_refused IS NULL) AND (kept_until < '9999-01-01 00:00:00+00'::timestamp with time zone))
    INDEX recovery_explanations_severity_idx CREATE INDEX recovery_explanations_severity_idx ON recovery_explanations USING btree (tenant_id, severity_level, failure_time)
    INDEX recovery_explanations_task_idx CREATE INDEX recovery_explanations_task_idx ON recovery_explanations USING btree (tenant_id, task_id) WHERE (task_id IS NOT NULL)

TABLE recovery_incidents
    id uuid NOT NULL
    tenant_id text NOT NULL
    workspace_id text NOT NULL
    pattern_id uuid NOT NULL
    signature text NOT NULL
    dependency text DEFAULT ''::text NOT NULL
    failure_type text NOT NULL
    failures integer DEFAULT 0 NOT NULL
    gate text NOT NULL
    opened_at timestamp with time zone NOT NULL
    closed_at timestamp with time zone
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    kept_until timestamp with time zone DEFAULT '9999-01-01 00:00:00+00'::timestamp with time zone NOT NULL
    storm_id uuid
    credential text DEFAULT ''::text NOT NULL
    executions integer DEFAULT 0 NOT NULL
    probes_failed integer DEFAULT 0 NOT NULL
    last_probe text DEFAULT ''::text NOT NULL
    last_probe_at timestamp with time zone
    failure_summary text DEFAULT ''::text NOT NULL
    root_cause text DEFAULT ''::text NOT NULL
    retry_decision text DEFAULT ''::text NOT NULL
    confidence_explanation text DEFAULT ''::text NOT NULL
    user_action_required text DEFAULT ''::text NOT NULL
    estimated_resolution_time text DEFAULT ''::text NOT NULL
    severity_level text DEFAULT ''::text NOT NULL
    display_category text DEFAULT ''::text NOT NULL
    faithfulness double precision DEFAULT 1 NOT NULL
    CONSTRAINT valid_gate CHECK ((gate = ANY (ARRAY['shut'::text, 'probe'::text, 'open'::text])))
    CONSTRAINT valid_last_probe CHECK ((last_probe = ANY (ARRAY[''::text, 'succeeded'::text, 'failed'::text, 'lost'::text])))
    CONSTRAINT valid_severity_level CHECK ((severity_level = ANY (ARRAY[''::text, 'low'::text, 'medium'::text, 'high'::text, 'critical'::text])))
    CONSTRAINT recovery_incidents_pkey PRIMARY KEY (id)
    INDEX recovery_incidents_opened_idx CREATE INDEX recovery_incidents_opened_idx ON recovery_incidents USING btree (tenant_id, opened_at)
    INDEX recovery_incidents_storm_idx CREATE INDEX recovery_incidents_storm_idx ON recovery_incidents USING btree (storm_id)

TABLE recovery_modes
    tenant_id text NOT NULL
    workspace_id text NOT NULL
    mode text NOT NULL
    set_by text NOT NULL
    reason text DEFAULT ''::text NOT NULL
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    sampler text
    people text
    CONSTRAINT valid_mode CHECK ((mode = ANY (ARRAY['off'::text, 'observe'::text, 'approve'::text, 'auto'::text])))
    CONSTRAINT valid_people CHECK ((people = ANY (ARRAY['ask'::text, 'hold'::text, 'tell'::text])))
    CONSTRAINT valid_sampler CHECK ((sampler = ANY (ARRAY['rules'::text, 'bandit'::text])))
    CONSTRAINT recovery_modes_pkey PRIMARY KEY (tenant_id, workspace_id)

VIEW recovery_questions
    id uuid
    tenant_id text
    workspace_id text
    workflow_id text
    execution_id text
    node_id text
    failure_id text
    started_at timestamp with time zone
    interaction_id text
    cause text
    until timestamp with time zone
    recovery_reason text
    error_message text
    WITH (security_invoker=true)
 SELECT id,
    tenant_id,
    workspace_id,
    workflow_id,
    execution_id,
    node_id,
    failure_id,
    started_at,
    (recovery_context ->> 'interaction_id'::text) AS interaction_id,
    (recovery_context ->> 'cause'::text) AS cause,
    ((recovery_context ->> 'until'::text))::timestamp with time zone AS until,
    recovery_reason,
    error_message
   FROM recovery_attempts
  WHERE ((recovery_context ? 'interaction_id'::text) AND (NOT (recovery_context ? 'said'::text)) AND ((recovery_context ->> 'interaction_id'::text) IS NOT NULL) AND (status = ANY (ARRAY['waiting_approval'::text, 'refused'::text])) AND (((recovery_context ->> 'until'::text))::timestamp with time zone > now()));

TABLE recovery_records
    tenant_id text NOT NULL
    workspace_id text NOT NULL
    failure_type text NOT NULL
    strategy text NOT NULL
    tried integer DEFAULT 0 NOT NULL
    recovered integer DEFAULT 0 NOT NULL
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    CONSTRAINT recovery_records_pkey PRIMARY KEY (tenant_id, workspace_id, failure_type, strategy)

VIEW recovery_system_health_summary
    tenant_id text
    workspace_id text
    day date
    episodes bigint
    eligible bigint
    coverage double precision
    recovered bigint
    success_rate double precision
    success_low double precision
    success_high double precision
    false_positives bigint
    missed bigint
    mttr_p50_s double precision
    mttr_p90_s double precision
    mttr_mean_s double precision
    open bigint
    parked bigint
    table_bytes bigint
    open_breakers bigint
    WITH (security_invoker=true)
 WITH counted AS (
         SELECT e.tenant_id,
            e.workspace_id,
            ((e.first_failed_at AT TIME ZONE 'UTC'::text))::date AS day,
            count(*) AS episodes,
            count(*) FILTER (WHERE e.eligible) AS eligible,
            ((count(*) FILTER (WHERE e.eligible))::double precision / (count(*))::double precision) AS coverage,
            count(*) FILTER (WHERE (e.eligible AND (e.outcome = 'recovered'::text))) AS recovered,
            ((count(*) FILTER (WHERE (e.eligible AND (e.outcome = 'recovered'::text))))::double precision / (NULLIF(count(*) FILTER (WHERE (e.eligible AND (e.outcome <> 'open'::text))), 0))::double precision) AS success_rate,
            wilson_low(count(*) FILTER (WHERE (e.eligible AND (e.outcome = 'recovered'::text))), count(*) FILTER (WHERE (e.eligible AND (e.outcome <> 'open'::text)))) AS success_low,
            wilson_high(count(*) FILTER (WHERE (e.eligible AND (e.outcome = 'recovered'::text))), count(*) FILTER (WHERE (e.eligible AND (e.outcome <> 'open'::text)))) AS success_high,
            count(*) FILTER (WHERE is_false_positive(e.*)) AS false_positives,
            count(*) FILTER (WHERE e.missed) AS missed,
            percentile_disc((0.5)::double precision) WITHIN GROUP (ORDER BY e.duration_s) FILTER (WHERE (e.eligible AND (e.outcome = 'recovered'::text))) AS mttr_p50_s,
            percentile_disc((0.9)::double precision) WITHIN GROUP (ORDER BY e.duration_s) FILTER (WHERE (e.eligible AND (e.outcome = 'recovered'::text))) AS mttr_p90_s,
            avg(e.duration_s) FILTER (WHERE (e.eligible AND (e.outcome = 'recovered'::text))) AS mttr_mean_s,
            count(*) FILTER (WHERE (e.outcome = 'open'::text)) AS open
           FROM recovery_episodes e
          GROUP BY e.tenant_id, e.workspace_id, (((e.first_failed_at AT TIME ZONE 'UTC'::text))::date)
        )
 SELECT tenant_id,
    workspace_id,
    day,
    episodes,
    eligible,
    coverage,
    recovered,
    success_rate,
    success_low,
    success_high,
    false_positives,
    missed,
    mttr_p50_s,
    mttr_p90_s,
    mttr_mean_s,
    open,
    ( SELECT count(*) AS count
           FROM recovery_attempts a
          WHERE ((a.tenant_id = c.tenant_id) AND (a.workspace_id = c.workspace_id) AND (a.status = ANY (ARRAY['parked'::text, 'waiting_approval'::text])) AND (((a.started_at AT TIME ZONE 'UTC'::text))::date = c.day))) AS parked,
    ( SELECT (sum(pg_total_relation_size((t.oid)::regclass)))::bigint AS sum
           FROM pg_class t
          WHERE ((t.relnamespace = ('recovery'::regnamespace)::oid) AND (t.relkind = 'r'::"char") AND (t.relname = ANY (ARRAY['failure_patterns'::name, 'recovery_attempts'::name, 'recovery_explanations'::name, 'recovery_episodes'::name, 'dead_letters'::name])))) AS table_bytes,
    ( SELECT count(*) AS count
           FROM recovery_breakers b
          WHERE ((b.tenant_id = c.tenant_id) AND (b.state = 'open'::text))) AS open_breakers
   FROM counted c;

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

TABLE table_sizes
    table_name text NOT NULL
    day date NOT NULL
    bytes bigint NOT NULL
    noted_at timestamp with time zone DEFAULT now() NOT NULL
    CONSTRAINT table_sizes_pkey PRIMARY KEY (table_name, day)

TABLE wake
    shard text NOT NULL
    stream text NOT NULL
    at timestamp with time zone NOT NULL
    WITH (autovacuum_vacuum_scale_factor=0.05, fillfactor=70)
    CONSTRAINT wake_pkey PRIMARY KEY (shard, stream)

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

CREATE OR REPLACE FUNCTION cleanup_old_recovery_data(retention_days integer DEFAULT 90, at timestamp with time zone DEFAULT now())
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'recovery', 'pg_temp'
AS $function$
DECLARE
    past  timestamptz;
    name  text;
    part  bigint;
    gone  bigint := 0;
BEGIN
    IF retention_days IS NULL OR retention_days < 7 THEN
        RAISE EXCEPTION 'retention_days is %: give a whole number of days from 7', retention_days
            USING ERRCODE = '22023';
    END IF;
    past := at + make_interval(days => 90 - retention_days);
    PERFORM pg_advisory_xact_lock(hashtext('cleanup_old_recovery_data'));
    FOREACH name IN ARRAY ARRAY[
        'recovery_explanations', 'recovery_attempts', 'recovery_episodes', 'failure_patterns',
        'dead_letters', 'recovery_incidents', 'recovery_breakers'
    ] LOOP
        EXECUTE format('DELETE FROM %I WHERE kept_until < %L', name, past);
        GET DIAGNOSTICS part = ROW_COUNT;
        gone := gone + part;
        IF part > 0 THEN
            INSERT INTO erasures (table_name, rows, kept_until_before, erased_at)
            VALUES (name, part, past, now());
        END IF;
        INSERT INTO expired VALUES (name, past)
        ON CONFLICT (table_name) DO UPDATE SET before = greatest(expired.before, past);
    END LOOP;
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

CREATE OR REPLACE FUNCTION is_false_positive(episode recovery_episodes)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT episode.outcome <> 'open' AND (
        episode.obsolete OR (
            episode.judged_transient AND NOT episode.cured_unchanged
            AND NOT coalesce(episode.fixed_at <= episode.first_failed_at + interval '24 hours', false)
        )
    )
$function$

CREATE OR REPLACE FUNCTION journal_insert()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'recovery', 'public'
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

CREATE OR REPLACE FUNCTION note_table_sizes(today date DEFAULT CURRENT_DATE)
 RETURNS bigint
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'recovery', 'pg_temp'
AS $function$
    DELETE FROM table_sizes WHERE day < today - 90;
    WITH noted AS (
        INSERT INTO table_sizes (table_name, day, bytes)
        SELECT table_name, today, bytes FROM growing_tables
        ON CONFLICT DO NOTHING
        RETURNING 1
    )
    SELECT count(*) FROM noted;
$function$

CREATE OR REPLACE FUNCTION repeated(packed anyarray, n integer)
 RETURNS anyarray
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT CASE WHEN cardinality(packed) = n THEN packed
        ELSE array_fill(packed[1], ARRAY[n]) END
$function$

CREATE OR REPLACE FUNCTION texts(packed text[], n integer)
 RETURNS text[]
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    SELECT CASE WHEN cardinality(packed) = n THEN packed
        ELSE string_to_array(packed[1], chr(31), chr(30)) END
$function$

CREATE OR REPLACE FUNCTION wilson_high(successes bigint, trials bigint)
 RETURNS double precision
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT CASE WHEN trials > 0 THEN least(1,
        (successes + 1.96 ^ 2 / 2 + 1.96 * sqrt(
            successes::double precision * (trials - successes) / trials + 1.96 ^ 2 / 4
        )) / (trials + 1.96 ^ 2))
    END
$function$

CREATE OR REPLACE FUNCTION wilson_low(successes bigint, trials bigint)
 RETURNS double precision
 LANGUAGE sql
 IMMUTABLE
AS $function$
    SELECT CASE WHEN trials > 0 THEN greatest(0,
        (successes + 1.96 ^ 2 / 2 - 1.96 * sqrt(
            successes::double precision * (trials - successes) / trials + 1.96 ^ 2 / 4
        )) / (trials + 1.96 ^ 2))
    END
$function$
