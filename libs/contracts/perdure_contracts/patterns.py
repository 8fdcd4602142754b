"""Patterns: failures that are alike, how often they came and what trying again taught.

A part of what recovery hears and says (recovery.py). One stream for each pattern of a workspace:
what fails alike (signature) by the same dependency.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from .message import Json, message

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

PatternSource: TypeAlias = Literal["rule", "neighbour", "override"]
"""How the failure type of a pattern became known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternFacts:
    """What makes a pattern; the columns of failure_patterns. Texts are scrubbed and masked.

    `rule_id` says what recognised the type, `pattern_source` of which kind that was. A limit of
    calls is that of a `credential`, if one was used: what others meet has nothing to do with it.
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
    credential: str = ""


@message("recovery.note-occurrence.v1")
class NoteOccurrence:
    """A failure of this pattern was seen; `tried` says that an unchanged retry was ordered.

    It is one of `execution_id`. With `counts` many are alike already: it counts among them.
    """

    pattern_id: str
    failure_id: str
    pattern: PatternFacts
    seen_at: str
    tried: bool
    execution_id: str = ""
    counts: bool = False


@message("recovery.note-lesson.v1")
class NoteLesson:
    """An unchanged retry after this pattern succeeded, or failed the same way again."""

    pattern_id: str
    attempt_id: str
    succeeded: bool
    learnt_at: str


@message("recovery.pattern-seen.v1")
class PatternSeen:
    """A pattern occurred; its row is made or counted up.

    `alike` is how many of it came within a minute (0: nobody counted), `of` the execution whose
    failure it is. Where those are many, or were lately, `execution_id` says so too: the stream of
    incidents is told.
    """

    pattern_id: str
    failure_id: str
    pattern: PatternFacts
    seen_at: str
    tried: bool
    alike: int = 0
    execution_id: str = ""
    of: str = ""


@message("recovery.pattern-taught.v1")
class PatternTaught:
    """A lesson was learnt about a pattern."""

    pattern_id: str
    attempt_id: str
    succeeded: bool
    learnt_at: str


PatternCommand: TypeAlias = NoteOccurrence | NoteLesson
PatternEvent: TypeAlias = PatternSeen | PatternTaught
