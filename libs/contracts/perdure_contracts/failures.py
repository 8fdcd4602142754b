"""What failures are called, what can be done about them, and how they are told.

Owner: services/recovery; its messages (recovery.py, deciding.py, questions.py) are made of these.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from .message import Json

FailureType: TypeAlias = Literal[
    "rate_limit",
    "quota_exhausted",
    "timeout",
    "network",
    "dependency_down",
    "auth",
    "permission",
    "validation",
    "context_length",
    "model_refusal",
    "output_invalid",
    "tool_error",
    "resource_exhausted",
    "conflict",
    "data_missing",
    "worker_lost",
    "code_bug",
    "cancelled",
    "unknown",
]
"""The kinds of failure; `recovery explain` prints them."""

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

PatternSource: TypeAlias = Literal["rule", "neighbour", "override"]
"""How the failure type of a pattern became known."""

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
class PatternFacts:
    """What makes a pattern; the columns of failure_patterns. Texts are scrubbed and masked.

    `rule_id` says what recognised the type, `pattern_source` of which kind that was.
    """

    workspace_id: str
    signature: str
    dependency: str
    failure_type: FailureType
    rule_id: str
    root_cause_category: str
    pattern_source: PatternSource
    error_type: str
    error_message: str
    error_message_hash: str
    execution_stage: str
    context: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """An automatic attempt whose outcome is known, for its workspace's allowance and records."""

    attempt_id: str
    workspace_id: str
    failure_type: FailureType
    strategy: Strategy
    cost: int
