-- What the endpoints that steer read beside the tables. Tables are found through search_path.

-- name: trigger
-- A trigger that serves, as one JSON text.
SELECT to_jsonb(t)::text AS found
  FROM trigger_index t
 WHERE t.tenant_id = $1 AND t.workflow_id = $2::text::uuid AND t.node_id = $3
   AND t.deployment_status = 'active';

-- name: outcome
-- How the deployment ended that a command began, as one JSON text; nothing while it goes on.
WITH newest AS (
    SELECT coalesce(max(stream_version), 0) AS version
      FROM workflow_deployment_history
     WHERE tenant_id = $1 AND workflow_id = $2::text::uuid
), began AS (
    SELECT max(e.version) AS version
      FROM newest, events_after($2, greatest(0, newest.version - 1000)) AS e
     WHERE e.tenant_id = $1 AND e.type = 'scheduler.deployment-started.v1'
       AND e.meta::jsonb ->> 'cause' = $3
)
SELECT to_jsonb(h)::text AS found
  FROM workflow_deployment_history h, began
 WHERE h.tenant_id = $1 AND h.workflow_id = $2::text::uuid AND h.stream_version > began.version
   AND h.deployment_action IN ('DEPLOY_COMPLETED', 'DEPLOY_FAILED')
 ORDER BY h.stream_version
 LIMIT 1;

-- name: serving
-- The version that served last, as the newest row of the history that ended well has it.
SELECT deployment_version
  FROM workflow_deployment_history
 WHERE tenant_id = $1 AND workflow_id = $2::text::uuid
   AND deployment_action IN ('DEPLOY_COMPLETED', 'UNDEPLOY_COMPLETED')
 ORDER BY stream_version DESC
 LIMIT 1;
