-- name: keep_attachment --
-- Keep what came with a mail; the same content is kept once, and its month begins again.
INSERT INTO scheduler.attachments (tenant_id, sha256, content_type, filename, content)
VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (tenant_id, sha256) DO UPDATE SET created_at = now();

-- name: attachment --
-- One attachment of a tenant.
SELECT content_type, filename, content FROM attachments WHERE tenant_id = $1 AND sha256 = $2;

-- name: position --
-- How far a mailbox was read.
SELECT uid_validity, last_uid, seen_at FROM scheduler.mailboxes
 WHERE tenant_id = $1 AND mailbox = $2;

-- name: move --
-- Note how far a mailbox was read; within one validity it never goes back.
INSERT INTO scheduler.mailboxes AS m (tenant_id, mailbox, uid_validity, last_uid, seen_at)
VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (tenant_id, mailbox) DO UPDATE
       SET uid_validity = excluded.uid_validity, last_uid = excluded.last_uid,
           seen_at = excluded.seen_at, updated_at = now()
     WHERE m.uid_validity <> excluded.uid_validity OR m.last_uid < excluded.last_uid;

-- name: wanted --
-- Triggers that need a mailbox, serving or about to; `created_at` is when that began.
SELECT workflow_id::text, deployment_version, node_id, index_key, trigger_config,
       deployment_status, created_at
  FROM scheduler.trigger_index
 WHERE tenant_id = $1 AND trigger_subtype = 'EMAIL'
   AND deployment_status IN ('active', 'pending')
   AND trigger_config ? 'mailbox';

-- name: takers --
-- The triggers that listen to one of these addresses now.
SELECT index_key, workflow_id::text, node_id, deployment_version
  FROM scheduler.trigger_index
 WHERE tenant_id = $1 AND trigger_subtype = 'EMAIL' AND index_key = ANY ($2)
   AND deployment_status = 'active' AND is_active
 ORDER BY workflow_id, node_id;
