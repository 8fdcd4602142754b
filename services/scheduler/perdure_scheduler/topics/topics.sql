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
