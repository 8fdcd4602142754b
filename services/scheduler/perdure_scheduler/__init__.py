"""Scheduler: trigger events in, executions started; deployments say which workflow serves.

Hears  scheduler.deploy-workflow.v1, scheduler.undeploy-workflow.v1;
       CloudEvents on perdure.triggers.v1 (perdure.trigger.manual, .webhook, .github)
Says   scheduler.deployment-started.v1, .workflow-deployed.v1, .deployment-failed.v1,
       .undeployment-started.v1, .workflow-undeployed.v1, .trigger-accepted.v1;
       engine.start-execution.v1
Keeps  trigger_index, workflow_deployment_history, trigger_deliveries

Two kinds of stream: a workflow's deployment, and a trigger event. Read next: hear.py (what
an event must have), definition.py (what a trigger node may say), decide.py (who serves,
who fires), match.py (when a trigger matches), project.py (what you can query).
"""
