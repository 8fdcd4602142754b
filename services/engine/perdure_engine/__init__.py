"""Engine: workflows become versions, triggers become executions, nodes run in their order.

Hears  engine.save-workflow.v1; engine.save-template.v1, engine.retire-template.v1;
       engine.start-execution.v1, engine.node-result.v1, engine.examine-execution.v1,
       engine.recovery-verdict.v1, engine.retry-node.v1, engine.cancel-execution.v1;
       what the scheduler tells of deployments
Says   engine.workflow-saved.v1, engine.deployment-noted.v1; engine.template-saved.v1,
       -retired; engine.execution-started.v1,
       -completed, -failed, -canceled, -revived; engine.node-completed.v1, -recovered, -failed,
       -errored, -skipped, -canceled; engine.node-task.v1 to the runners
Keeps  workflows, workflow_versions, nodes, node_connections; workflow_templates;
       workflow_executions,
       node_executions, workflow_execution_logs; node_claims (written by the runner),
       node_specifications (written from nodes/ when it starts)

Three kinds of stream: a workflow's definition (workflows/), a template (templates/) and an
execution (executions/).
Read next: definition/ (what a workflow is), nodes/ (what each kind of node does),
expressions/ (the language in parameters), executions/ (how a workflow runs), runner/ (the
second process, where nodes touch the outside world).
"""

from pathlib import Path

from perdure_common import native

native.use(
    __name__,
    Path(__file__).parent,
    (
        "definition.loading",
        "definition.model",
        "executions.attempts",
        "executions.beginning",
        "executions.decide",
        "executions.decider",
        "executions.dispatching",
        "executions.ending",
        "executions.evolve",
        "executions.evolve_regions",
        "executions.facts",
        "executions.finishing",
        "executions.instants",
        "executions.limits_of_runs",
        "executions.logs",
        "executions.overriding",
        "executions.progress",
        "executions.project",
        "executions.route",
        "executions.running",
        "executions.state",
        "executions.version_of",
        "executions.views",
        "nodes.action_set",
        "nodes.base",
        "nodes.each",
    ),
)
