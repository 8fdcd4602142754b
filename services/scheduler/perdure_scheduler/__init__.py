"""Scheduler: trigger events in, executions started; deployments say which workflow serves.

Hears  scheduler.deploy-workflow.v1, scheduler.undeploy-workflow.v1;
       HTTP requests to /hooks (hooks/); scheduler.note-answer.v1 of the engine;
       scheduler.pause-trigger.v1, .resume-trigger.v1, .backfill-cron.v1, .note-end.v1;
       CloudEvents on perdure.triggers.v1 (perdure.trigger.manual, .webhook, .github,
       perdure.event.<name>); scheduler.register-wait.v1 and .forget-wait.v1 of the engine
Says   scheduler.deployment-started.v1, .workflow-deployed.v1, .deployment-failed.v1,
       .undeployment-started.v1, .workflow-undeployed.v1, .trigger-accepted.v1,
       .cron-fired.v1, .cron-skipped.v1, .trigger-paused.v1, .trigger-resumed.v1;
       engine.start-execution.v1, engine.cancel-execution.v1, engine.signal-execution.v1,
       engine.stop-executions.v1
Keeps  trigger_index, workflow_deployment_history, trigger_deliveries, trigger_answers,
       path_grants;
       beside the journal trigger_receipts, trigger_bodies, trigger_tests

Seven kinds of stream: a workflow's deployment, a trigger event, an event that executions wait
for, the register where these meet (waits.py), the answer that a caller waits for (answering.py),
a path of the HTTP listener (paths.py), and a cron trigger (cron.py says when it fires,
cron_decide.py what then happens). Read next:
hooks/ (what comes by HTTP), steering/ (what people ask by HTTP), hear.py (what an event must
have), definition.py (what a trigger node may say), decide.py (who serves, who fires), match.py
(when a trigger matches), project.py (what you can query).
"""
