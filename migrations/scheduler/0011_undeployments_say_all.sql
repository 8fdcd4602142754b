-- The last row of an undeployment has what was said of it, as its other two have.

-- migrate:up

UPDATE workflow_deployment_history h
   SET deployment_config = '{"cancel_running": true}'
 WHERE h.deployment_action = 'UNDEPLOY_COMPLETED'
   AND h.deployment_config = '{}'
   AND (SELECT e.data::jsonb -> 'cancel_running'
          FROM events_after(h.workflow_id::text, h.stream_version - 1) AS e
         LIMIT 1) = 'true';

-- migrate:down

-- What was said stays said.
SELECT 1;
