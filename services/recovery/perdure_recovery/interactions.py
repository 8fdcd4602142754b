"""What people are asked: leave for an attempt, or what to do where recovery does not know. Pure.

They see the explanation before they answer. The answer is `recovery.note-answer.v1`.
"""

from dataclasses import asdict
from datetime import datetime

from perdure_common.ids import derived
from perdure_contracts.asking import RequestInteraction
from perdure_contracts.failures import Explanation
from perdure_contracts.message import Json
from perdure_contracts.recovery import FailureNoted

from .cases import Plan
from .instants import written

OPTIONS: Json = [
    {"value": "retry", "label": "Run the node again"},
    {"value": "give_up", "label": "Give the node up"},
]
"""What a person chooses from where nothing automatic is left."""


def interaction_for(
    failure: FailureNoted,
    attempt_id: str,
    plan: Plan,
    explanation: Explanation,
    until: datetime,
    *,
    leave: bool,
) -> RequestInteraction:
    """Return what people are asked about an attempt: `leave` for it, or what to do instead."""
    name = failure.node_name or failure.node_id
    title = f"May recovery try {name} again?" if leave else f"{name} failed: what is to be done?"
    told = asdict(explanation)
    return RequestInteraction(
        interaction_id=derived("interaction", attempt_id, leave),
        execution_id=failure.execution_id,
        workflow_id=failure.workflow_id,
        workspace_id=failure.pattern.workspace_id,
        node_id=failure.node_id,
        node_name=name,
        scope=failure.scope,
        run=failure.run,
        kind="approval" if leave else "selection",
        title=title,
        text=f"{told['failure_summary']}\n{told['root_cause']}\n{told['retry_decision']}",
        payload={
            "explanation": told,
            "strategy": plan.strategy,
            "changed": plan.changed,
            "attempt_id": attempt_id,
            "failure_id": failure.failure_id,
        },
        options=None if leave else OPTIONS,
        priority="high" if told["severity_level"] in ("high", "critical") else "normal",
        default_action="reject" if leave else "timeout",
        timeout_at=written(until),
        requester="recovery",
        asked_by="recovery",
    )
