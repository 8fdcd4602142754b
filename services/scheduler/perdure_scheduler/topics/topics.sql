-- name: wanted --
-- Topics of others that triggers listen to: once each for those that serve (very many may share
-- one, and this is asked every second), one by one for those that are about to.
SELECT DISTINCT NULL AS workflow_id, NULL::integer AS deployment_version, NULL AS node_id,
       split_part(index_key, '/', 1) AS topic, deployment_status
  FROM scheduler.trigger_index
 WHERE tenant_id = $1 AND trigger_subtype = 'KAFKA' AND deployment_status = 'active'
   AND NOT starts_with(index_key, 'perdure.triggers.v1/')
UNION ALL
SELECT workflow_id::text, deployment_version, node_id,
       split_part(index_key, '/', 1) AS topic, deployment_status
  FROM scheduler.trigger_index
 WHERE tenant_id = $1 AND trigger_subtype = 'KAFKA' AND deployment_status = 'pending'
   AND NOT starts_with(index_key, 'perdure.triggers.v1/');

-- name: note_trouble --
-- Note why a partition cannot be read; since when stays as long as the reason does.
INSERT INTO scheduler.topic_troubles AS t (tenant_id, topic, partition, code, message)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant_id, topic, partition) DO UPDATE
   SET code = excluded.code, message = excluded.message, since = now()
 WHERE t.code <> excluded.code;

-- name: forget_trouble --
-- A partition can be read again.
DELETE FROM scheduler.topic_troubles WHERE tenant_id = $1 AND topic = $2 AND partition = $3;

-- name: forget_old_troubles --
-- Of topics that nobody listens to any more, and of those that can be read as a whole again ($3).
DELETE FROM scheduler.topic_troubles
 WHERE tenant_id = $1 AND (topic <> ALL($2) OR partition = -1 AND topic = ANY($3));
