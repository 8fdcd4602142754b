-- name: routes --
-- The triggers that listen under paths, the oldest claim first.
SELECT path, workflow_id::text, workflow_name, deployment_version, node_id, trigger_subtype,
       trigger_config::text, index_key
  FROM trigger_index
 WHERE tenant_id = $1
   AND path = ANY ($2::text[])
   AND deployment_status = 'active'
   AND is_active
 ORDER BY path, created_at, id;

-- name: put_receipts --
-- Write down requests by their ids; return those that were not there.
INSERT INTO trigger_receipts
       (tenant_id, source, id, event_id, received_at, execution_id, token_sha256)
SELECT $1, source, id, event_id, received_at, execution_id, token_sha256
  FROM unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[], $7::text[])
       AS given (source, id, event_id, received_at, execution_id, token_sha256)
 ORDER BY source, id
    ON CONFLICT DO NOTHING
RETURNING source, id;

-- name: receipts --
-- What is known of requests that came before, what their events were and which executions these
-- started; whether their answers are kept.
SELECT r.source, r.id, r.event_id, r.received_at, r.execution_id, d.executions::text, d.body_sha256,
       r.token_sha256 IS NOT NULL AS watched
  FROM unnest($2::text[], $3::text[]) AS given (source, id)
  JOIN trigger_receipts r ON r.tenant_id = $1 AND r.source = given.source AND r.id = given.id
  LEFT JOIN trigger_deliveries d
    ON d.tenant_id = $1 AND d.source = r.source AND d.id = r.event_id;

-- name: put_bodies --
-- Keep bodies that are too large for their events.
INSERT INTO trigger_bodies (tenant_id, sha256, content_type, bytes, data, received_at)
SELECT $1, sha256, content_type, length(data), data, now()
  FROM unnest($2::text[], $3::text[], $4::bytea[]) AS given (sha256, content_type, data)
 ORDER BY sha256
    ON CONFLICT (tenant_id, sha256) DO UPDATE SET received_at = excluded.received_at;

-- name: body --
-- One body that was kept apart.
SELECT content_type, data
  FROM trigger_bodies
 WHERE tenant_id = $1
   AND sha256 = $2;

-- name: answers --
-- What executions have answered, of those that somebody waits for here.
SELECT execution_id, status, headers::text, body::text, ended, file::text
  FROM trigger_answers
 WHERE tenant_id = $1
   AND execution_id = ANY ($2::text[]);

-- name: is_token --
-- Whether a caller knows the token of an execution.
SELECT 1
  FROM trigger_receipts
 WHERE tenant_id = $1
   AND execution_id = $2
   AND token_sha256 = $3
 LIMIT 1;

-- name: put_trial --
-- Open a test URL.
INSERT INTO trigger_tests
       (id, tenant_id, path, workflow_id, workflow_name, version, node_id, trigger_subtype,
        index_key, trigger_config, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::jsonb, $11);

-- name: trials --
-- The test URLs of a path that are open.
SELECT id::text, path, workflow_id, workflow_name, version AS deployment_version, node_id,
       trigger_subtype, index_key, trigger_config::text
  FROM trigger_tests
 WHERE tenant_id = $1
   AND path = $2
   AND expires_at > $3
   AND execution_id IS NULL
 ORDER BY expires_at DESC;

-- name: use_trial --
-- Let a request have a test URL: the first one does. Who comes while it is under way has not.
UPDATE trigger_tests
   SET execution_id = $2
 WHERE id = (SELECT id
               FROM trigger_tests
              WHERE id = $1::text::uuid
                AND execution_id IS NULL
                FOR UPDATE SKIP LOCKED)
RETURNING id;

-- name: trial --
-- What became of a test URL.
SELECT execution_id, expires_at
  FROM trigger_tests
 WHERE tenant_id = $1
   AND id = $2::text::uuid;

-- name: forget --
-- Forget what is older than an instant, some rows at a time.
WITH old AS (
    SELECT ctid FROM trigger_receipts WHERE received_at < $1 LIMIT $2
), bodies AS (
    DELETE FROM trigger_bodies WHERE received_at < $1
), tests AS (
    DELETE FROM trigger_tests WHERE expires_at < $1
)
DELETE FROM trigger_receipts WHERE ctid IN (SELECT ctid FROM old)
RETURNING 1;

-- name: owners --
-- How many schedulers own shards.
SELECT count(DISTINCT owner) AS owners FROM shard;
