-- What `perdure status` asks the tables for what is in the way.

-- name: topics
-- Foreign topics that cannot be read.
SELECT topic, count(*) AS partitions, min(since) AS since, min(message) AS reason
  FROM scheduler.topic_troubles GROUP BY topic ORDER BY topic;

-- name: triggers
-- Triggers that serve and do not fire.
SELECT workflow_name, node_id, trigger_subtype, error_message AS reason
  FROM scheduler.trigger_index
 WHERE deployment_status = 'active' AND is_active AND error_message <> ''
 ORDER BY workflow_name, node_id;

-- name: deployments
-- Versions that wait to serve.
SELECT workflow_name, deployment_version, min(updated_at) AS since,
       min(error_message) AS reason
  FROM scheduler.trigger_index
 WHERE deployment_status = 'pending' AND updated_at < now() - interval '10 seconds'
 GROUP BY workflow_name, deployment_version ORDER BY workflow_name;

-- name: breakers
-- Breakers that are not closed.
SELECT dependency, credential, state, until, reason
  FROM recovery.recovery_breakers
 WHERE state <> 'closed' AND kept_until > now()
 ORDER BY dependency, credential;
