"""What can be done about failures, by whose leave, and how it is told.

Owner: services/recovery; its messages (recovery.py, deciding.py, questions.py) are made of these.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from .patterns import FailureType

Strategy: TypeAlias = Literal[
    "retry_now",
    "backoff",
    "wait_until",
    "reassign",
    "fallback_model",
    "reduce_input",
    "reprompt",
    "refresh_credentials",
    "skip_compensate",
    "escalate_human",
    "dead_letter",
]
"""What can be done about a failure. Which of them a type allows stands in strategy.py."""

RecoveryMode: TypeAlias = Literal["off", "observe", "approve", "auto"]
"""What recovery may do in a workspace: record, decide and explain, ask first, act."""

Sampler: TypeAlias = Literal["rules", "bandit"]
"""Who chooses among the strategies that a type allows: their order, or Thompson sampling."""

People: TypeAlias = Literal["ask", "hold", "tell"]
"""What an escalation does: the node is given up and people are asked whether to try it again, or
held for their answer, or given up and people read of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What people are told about a decision; the columns of recovery_explanations.

    `user_action_required` is "none" when nothing is to be done, never empty. `faithfulness` is
    the share of the texts' numbers, names and addresses that occur in what they were made from.
    """

    failure_summary: str
    root_cause: str
    retry_decision: str
    confidence_explanation: str
    user_action_required: str
    estimated_resolution_time: str
    severity_level: Literal["low", "medium", "high", "critical"]
    display_category: str
    faithfulness: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What an attempt had taken from its workspace's allowance, `taken_at`, or before that."""

    workspace_id: str
    cost: int
    usd: float
    taken_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """An automatic attempt whose outcome is known, for its workspace's allowance and records."""

    attempt_id: str
    workspace_id: str
    failure_type: FailureType
    strategy: Strategy
    cost: int
