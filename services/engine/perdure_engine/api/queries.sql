-- What the HTTP API reads beside the tables that it lists. Tables are found through search_path.

-- name: workflow
-- A workflow's versions and deployment, and how far its stream had got then.
SELECT id::text AS stream, name, newest_version, sha256, deployment_status, deployment_version,
       (SELECT j.version + j.events - 1 FROM journal_entry j WHERE j.stream = $2
         ORDER BY j.version DESC LIMIT 1) AS stream_version
  FROM workflows
 WHERE tenant_id = $1 AND id = $2::text::uuid;

-- name: deployments_noted
-- What the engine has heard of a workflow's deployments since a version of its stream.
SELECT data::jsonb ->> 'status' AS status, (data::jsonb ->> 'version')::int AS version
  FROM events_after($2, $3) AS noted
 WHERE tenant_id = $1 AND type = 'engine.deployment-noted.v1'
 ORDER BY noted.version;

-- name: execution
-- An execution as one JSON text, with its node runs in the order in which they began.
SELECT (to_jsonb(x) || jsonb_build_object('nodes', coalesce((
           SELECT jsonb_agg(to_jsonb(n) - 'tenant_id' ORDER BY start_time, stream_version, n.id)
             FROM (SELECT * FROM node_executions r WHERE r.execution_id = x.execution_id
                    ORDER BY start_time, stream_version, r.id LIMIT $3) n
       ), '[]')))::text AS execution
  FROM workflow_executions x
 WHERE x.tenant_id = $1 AND x.execution_id = $2;

-- name: files
-- The files that an execution refers to, the first ones first.
SELECT file_id, node_id, file_name, mime_type, size, created_at
  FROM execution_files
 WHERE tenant_id = $1 AND execution_id = $2
 ORDER BY created_at, file_id LIMIT $3;

-- name: file
-- Where a file is that an execution refers to.
SELECT f.upload, f.bytes, e.file_name, e.mime_type
  FROM execution_files e JOIN files f ON f.tenant_id = e.tenant_id AND f.sha256 = e.file_id
 WHERE e.tenant_id = $1 AND e.execution_id = $2 AND e.file_id = $3;

-- name: sizes
-- How many bytes those files of a tenant have that are there.
SELECT sha256, bytes FROM files WHERE tenant_id = $1 AND sha256 = ANY ($2::text[]);

-- name: file_chunk
-- One chunk of a file.
SELECT data FROM file_chunks WHERE upload = $1 AND n = $2;

-- name: history
-- Events of an execution after a version, as long as they are not too many bytes together.
SELECT version, type, recorded_at, data, meta
  FROM (SELECT version, type, recorded_at, data, meta,
               sum(octet_length(data)) OVER (ORDER BY version) - octet_length(data) AS before
          FROM (SELECT * FROM events_after($2, $3) AS each
                 WHERE tenant_id = $1
                 ORDER BY each.version LIMIT $4) AS page) AS counted
 WHERE before < $5
 ORDER BY version;

-- name: ends
-- How far streams have got.
SELECT s.stream, j.version
  FROM unnest($1::text[]) AS s (stream)
 CROSS JOIN LATERAL (
       SELECT e.version + e.events - 1 AS version FROM journal_entry e WHERE e.stream = s.stream
        ORDER BY e.version DESC LIMIT 1
 ) j;

-- name: progress
-- How far an execution is: its newest log row with a step, and its milestones.
SELECT step_number, total_steps, progress_percentage::float8 AS progress_percentage, message,
       user_friendly_message, created_at
  FROM workflow_execution_logs
 WHERE tenant_id = $1 AND execution_id = $2 AND step_number IS NOT NULL
 ORDER BY position DESC, id DESC LIMIT 1;

-- name: open
-- The oldest executions that have not ended; `parked` ones wait for a person.
SELECT execution_id, workflow_id::text AS workflow_id, metadata ->> 'workflow_name' AS workflow_name,
       status, start_time, EXISTS (
           SELECT FROM parked_stream p WHERE p.stream = execution_id
       ) AS parked
  FROM workflow_executions
 WHERE tenant_id = $1 AND status IN ('NEW', 'RUNNING', 'PAUSED', 'WAITING_FOR_HUMAN')
   AND created_at < now() - $2::float8 * interval '1 second'
 ORDER BY id
 LIMIT $3;

-- name: template
-- The definition of a template that is offered.
SELECT name, workflow_definition::text AS definition
  FROM workflow_templates
 WHERE tenant_id = $1 AND id = $2::text::uuid AND is_active;

-- name: workers
-- Who has claimed attempts, and the call that each began last if it is an agent's. The claim of a
-- runner before a restore has no end until the attempt comes again.
SELECT c.token, c.runner, c.claimed_at, c.canceled,
       CASE WHEN isfinite(c.lease_until) THEN c.lease_until END AS lease_until,
       s.n, s.kind, s.name, s.state, s.began_at, s.finished_at
  FROM node_claims c
  LEFT JOIN LATERAL (
       SELECT n, kind, name, state, began_at, finished_at FROM substeps t
        WHERE t.execution_id = c.execution_id AND t.token = c.token
        ORDER BY began_at DESC, n DESC LIMIT 1
  ) s ON true
 WHERE c.tenant_id = $1 AND c.token = ANY ($2::text[]) AND c.runner <> '';

-- name: credential_fields
-- Which fields credentials have, without their values.
SELECT handle, fields FROM credentials WHERE tenant_id = $1 AND handle = ANY ($2);
