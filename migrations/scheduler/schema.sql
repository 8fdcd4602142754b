TABLE attachments
    tenant_id text NOT NULL
    sha256 text NOT NULL
    content_type text NOT NULL
    filename text DEFAULT ''::text NOT NULL
    content bytea NOT NULL
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    CONSTRAINT attachments_pkey PRIMARY KEY (tenant_id, sha256)
    INDEX attachments_created_idx CREATE INDEX attachments_created_idx ON attachments USING btree (created_at)

TABLE consumed
    shard text NOT NULL
    topic text NOT NULL
    partition integer NOT NULL
    next_offset bigint NOT NULL
    WITH (autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=1000, fillfactor=25)
    CONSTRAINT consumed_pkey PRIMARY KEY (shard, topic, partition)

TABLE delivery
    tenant_id text NOT NULL
    source text NOT NULL
    id text NOT NULL
    answer text NOT NULL
    received_at timestamp with time zone DEFAULT now() NOT NULL
    CONSTRAINT delivery_pkey PRIMARY KEY (tenant_id, source, id)
    INDEX delivery_received_at_idx CREATE INDEX delivery_received_at_idx ON delivery USING brin (received_at) WITH (pages_per_range='16', autosummarize='on')

TABLE expired
    table_name text NOT NULL
    before timestamp with time zone NOT NULL
    CONSTRAINT expired_pkey PRIMARY KEY (table_name)

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

TABLE mailboxes
    tenant_id text NOT NULL
    mailbox text NOT NULL
    uid_validity bigint NOT NULL
    last_uid bigint NOT NULL
    seen_at timestamp with time zone NOT NULL
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    CONSTRAINT mailboxes_pkey PRIMARY KEY (tenant_id, mailbox)

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

TABLE path_grants
    tenant_id text NOT NULL
    path character varying(255) NOT NULL
    workflow_id uuid NOT NULL
    attempt integer NOT NULL
    workflow_name text NOT NULL
    deployment_version integer NOT NULL
    nodes jsonb NOT NULL
    granted_at timestamp with time zone NOT NULL
    released_at timestamp with time zone
    CONSTRAINT path_grants_pkey PRIMARY KEY (tenant_id, path, workflow_id, attempt)
    INDEX path_grants_granted_idx CREATE INDEX path_grants_granted_idx ON path_grants USING btree (tenant_id, granted_at)

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

TABLE topic_troubles
    tenant_id text NOT NULL
    topic character varying(255) NOT NULL
    partition integer NOT NULL
    code text NOT NULL
    message text NOT NULL
    since timestamp with time zone DEFAULT now() NOT NULL
    CONSTRAINT topic_troubles_pkey PRIMARY KEY (tenant_id, topic, partition)

TABLE trigger_answers
    tenant_id text NOT NULL
    execution_id text NOT NULL
    status integer NOT NULL
    headers jsonb DEFAULT '{}'::jsonb NOT NULL
    body jsonb
    ended text DEFAULT ''::text NOT NULL
    answered_at timestamp with time zone NOT NULL
    file jsonb
    CONSTRAINT trigger_answers_pkey PRIMARY KEY (tenant_id, execution_id)
    INDEX trigger_answers_answered_idx CREATE INDEX trigger_answers_answered_idx ON trigger_answers USING btree (answered_at)

TABLE trigger_bodies
    tenant_id text NOT NULL
    sha256 text NOT NULL
    content_type text NOT NULL
    bytes integer NOT NULL
    data bytea NOT NULL
    received_at timestamp with time zone NOT NULL
    CONSTRAINT trigger_bodies_pkey PRIMARY KEY (tenant_id, sha256)
    INDEX trigger_bodies_received_idx CREATE INDEX trigger_bodies_received_idx ON trigger_bodies USING btree (received_at)

TABLE trigger_deliveries
    tenant_id text NOT NULL
    source text NOT NULL
    id text NOT NULL
    subtype character varying(100) NOT NULL
    subject text DEFAULT ''::text NOT NULL
    received_at timestamp with time zone NOT NULL
    body_sha256 text NOT NULL
    executions jsonb DEFAULT '[]'::jsonb NOT NULL
    status character varying(50) NOT NULL
    CONSTRAINT valid_status CHECK (((status)::text = 'accepted'::text))
    CONSTRAINT trigger_deliveries_pkey PRIMARY KEY (tenant_id, source, id)
    INDEX trigger_deliveries_received_idx CREATE INDEX trigger_deliveries_received_idx ON trigger_deliveries USING btree (tenant_id, received_at)

TABLE trigger_index
    id uuid NOT NULL
    tenant_id text NOT NULL
    workflow_id uuid NOT NULL
    workflow_name text DEFAULT ''::text NOT NULL
    deployment_version integer NOT NULL
    node_id character varying(255) NOT NULL
    position integer DEFAULT 0 NOT NULL
    trigger_type character varying(50) NOT NULL
    trigger_subtype character varying(100) NOT NULL
    trigger_config jsonb DEFAULT '{}'::jsonb NOT NULL
    index_key character varying(255) NOT NULL
    deployment_status character varying(50) DEFAULT 'active'::character varying NOT NULL
    is_active boolean DEFAULT true NOT NULL
    timezone text
    next_fire_at timestamp with time zone
    settled_until timestamp with time zone
    error_message text
    created_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    path character varying(255)
    filter_errors bigint DEFAULT 0 NOT NULL
    filter_error text
    fired_count bigint DEFAULT 0 NOT NULL
    missed_count bigint DEFAULT 0 NOT NULL
    last_late_s double precision
    attempt integer DEFAULT 0 NOT NULL
    CONSTRAINT valid_deployment_status CHECK (((deployment_status)::text = ANY ((ARRAY['active'::character varying, 'inactive'::character varying, 'pending'::character varying, 'failed'::character varying])::text[])))
    CONSTRAINT valid_trigger_subtype CHECK (((trigger_subtype)::text = ANY ((ARRAY['CRON'::character varying, 'MANUAL'::character varying, 'WEBHOOK'::character varying, 'EMAIL'::character varying, 'GITHUB'::character varying, 'SLACK'::character varying, 'KAFKA'::character varying])::text[])))
    CONSTRAINT valid_trigger_type CHECK (((trigger_type)::text = 'TRIGGER'::text))
    CONSTRAINT trigger_index_pkey PRIMARY KEY (id)
    CONSTRAINT trigger_index_node_key UNIQUE (workflow_id, deployment_version, node_id)
    CONSTRAINT trigger_index_one_active EXCLUDE USING btree (workflow_id WITH =, node_id WITH =) WHERE (((deployment_status)::text = 'active'::text)) DEFERRABLE INITIALLY DEFERRED
    INDEX trigger_index_lookup_idx CREATE INDEX trigger_index_lookup_idx ON trigger_index USING btree (tenant_id, trigger_subtype, index_key, deployment_status, is_active)
    INDEX trigger_index_name_idx CREATE INDEX trigger_index_name_idx ON trigger_index USING btree (tenant_id, workflow_name, deployment_status, is_active)
    INDEX trigger_index_path_idx CREATE INDEX trigger_index_path_idx ON trigger_index USING btree (tenant_id, path, deployment_status, is_active)

TABLE trigger_receipts
    tenant_id text NOT NULL
    source text NOT NULL
    id text NOT NULL
    event_id text NOT NULL
    received_at timestamp with time zone NOT NULL
    execution_id text
    token_sha256 text
    CONSTRAINT trigger_receipts_pkey PRIMARY KEY (tenant_id, source, id)
    INDEX trigger_receipts_execution_idx CREATE INDEX trigger_receipts_execution_idx ON trigger_receipts USING btree (execution_id) WHERE (execution_id IS NOT NULL)
    INDEX trigger_receipts_received_idx CREATE INDEX trigger_receipts_received_idx ON trigger_receipts USING btree (received_at)

TABLE trigger_tests
    id uuid NOT NULL
    tenant_id text NOT NULL
    path text NOT NULL
    workflow_id text NOT NULL
    workflow_name text NOT NULL
    version integer NOT NULL
    node_id text NOT NULL
    trigger_subtype text NOT NULL
    index_key text NOT NULL
    trigger_config jsonb NOT NULL
    expires_at timestamp with time zone NOT NULL
    execution_id text
    CONSTRAINT trigger_tests_pkey PRIMARY KEY (id)
    INDEX trigger_tests_path_idx CREATE INDEX trigger_tests_path_idx ON trigger_tests USING btree (tenant_id, path, expires_at)

TABLE trigger_totals
    tenant_id text NOT NULL
    trigger_subtype character varying(100) NOT NULL
    fired_count bigint DEFAULT 0 NOT NULL
    missed_count bigint DEFAULT 0 NOT NULL
    CONSTRAINT trigger_totals_pkey PRIMARY KEY (tenant_id, trigger_subtype)

TABLE wake
    shard text NOT NULL
    stream text NOT NULL
    at timestamp with time zone NOT NULL
    WITH (autovacuum_vacuum_scale_factor=0.05, fillfactor=70)
    CONSTRAINT wake_pkey PRIMARY KEY (shard, stream)

TABLE workflow_deployment_history
    id uuid NOT NULL
    tenant_id text NOT NULL
    workflow_id uuid NOT NULL
    stream_version integer NOT NULL
    deployment_action character varying(50) NOT NULL
    from_status character varying(50) NOT NULL
    to_status character varying(50) NOT NULL
    deployment_version integer NOT NULL
    deployment_config jsonb DEFAULT '{}'::jsonb NOT NULL
    triggered_by text DEFAULT ''::text NOT NULL
    started_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL
    completed_at timestamp with time zone
    error_message text
    deployment_logs jsonb DEFAULT '[]'::jsonb NOT NULL
    CONSTRAINT valid_deployment_action CHECK (((deployment_action)::text = ANY ((ARRAY['DEPLOY'::character varying, 'UNDEPLOY'::character varying, 'UPDATE'::character varying, 'ROLLBACK'::character varying, 'DEPLOY_STARTED'::character varying, 'DEPLOY_COMPLETED'::character varying, 'DEPLOY_FAILED'::character varying, 'UNDEPLOY_STARTED'::character varying, 'UNDEPLOY_COMPLETED'::character varying])::text[])))
    CONSTRAINT valid_status CHECK ((((from_status)::text = ANY ((ARRAY['IDLE'::character varying, 'DEPLOYING'::character varying, 'ACTIVE'::character varying, 'UNDEPLOYING'::character varying, 'FAILED'::character varying])::text[])) AND ((to_status)::text = ANY ((ARRAY['IDLE'::character varying, 'DEPLOYING'::character varying, 'ACTIVE'::character varying, 'UNDEPLOYING'::character varying, 'FAILED'::character varying])::text[]))))
    CONSTRAINT workflow_deployment_history_pkey PRIMARY KEY (id)
    INDEX workflow_deployment_history_started_idx CREATE INDEX workflow_deployment_history_started_idx ON workflow_deployment_history USING btree (tenant_id, started_at)
    INDEX workflow_deployment_history_workflow_idx CREATE INDEX workflow_deployment_history_workflow_idx ON workflow_deployment_history USING btree (tenant_id, workflow_id, stream_version)

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

CREATE OR REPLACE FUNCTION journal_insert()
 RETURNS trigger
 LANGUAGE plpgsql
 SET search_path TO 'scheduler', 'public'
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
