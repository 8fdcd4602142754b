-- name: wanted --
-- Triggers that listen to topics of others, serving or about to.
SELECT workflow_id::text, deployment_version, node_id, index_key, deployment_status
  FROM scheduler.trigger_index
 WHERE tenant_id = $1 AND trigger_subtype = 'KAFKA'
   AND deployment_status IN ('active', 'pending')
   AND NOT starts_with(index_key, 'perdure.triggers.v1/');
