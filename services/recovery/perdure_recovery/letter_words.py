"""What a dead letter is, as a failure: its type, where the cause lies, and what people are to do.

Pure, from the letter's code alone: whoever refuses a record for good says so by a code of its own.
Nothing is tried about them by itself; what was refused would be refused again.
"""

from typing import Final, get_args

from perdure_contracts.failures import Strategy
from perdure_contracts.patterns import FailureType

from .classification_classes import ROOT_CAUSE
from .explain_templates import ACTION

NEXT: Final[Strategy] = "escalate_human"
"""What recovery decides about each of them."""

EVENTS: Final = (
    *("bad_attribute", "bad_encoding", "bad_event", "bad_json", "bad_specversion", "bad_time"),
    *("duplicate_header", "empty_attribute", "missing_attribute", "missing_subject"),
    *("unknown_trigger_type", "unsupported_mode", "ambiguous_subject"),
)
"""What is wrong with an event that somebody has sent."""
STARTS: Final = ("invalid_execution_id", "invalid_overrides", "invalid_concurrency_key")
"""What is wrong with what an execution was to be started with."""
MISSING: Final = ("workflow_not_found", "trigger_not_found", "trigger_node_not_found")
"""What an event or a start names, and is not there."""

TYPES: Final[dict[str, FailureType]] = {
    "poison": "code_bug",
    "data_refused": "validation",
    "too_large": "resource_exhausted",
    "unreadable": "validation",
    "invalid_body": "validation",
    "not_a_command": "validation",
    "other_stream": "validation",
    "invalid_stream": "validation",
    "unknown_type": "validation",
    "no_such_topic": "data_missing",
    **dict.fromkeys(EVENTS, "validation"),
    **dict.fromkeys(STARTS, "validation"),
    **dict.fromkeys(MISSING, "data_missing"),
    "payload_too_large": "resource_exhausted",
    "invalid_definition": "code_bug",
}
"""Code → failure type; a letter that recovery wrote itself has the type as its code."""

_READ: Final = "Mend its body (`perdure dead-letters edit`) and send it again, or drop it."
ACTIONS: Final[dict[str, str]] = {
    "poison": "The service failed on it, which is a defect: report it; after an update send the "
    "record again, or drop it to let its stream go on without it.",
    "data_refused": "The database refuses what came of it: look at the reason, mend the data, and "
    "send the record again, or drop it.",
    "too_large": "What came of it is too large to be kept: drop it, and send less at once.",
    "unreadable": "It is no message of this platform: find out who writes to the topic; drop it.",
    "invalid_body": _READ,
    "not_a_command": "Its service takes no such message: find out who sent it, and where it "
    "belongs; drop it here.",
    "unknown_type": "Nobody here knows such a message: find out who sent it, and whether a newer "
    "version of this platform is meant; update and send it again, or drop it.",
    "invalid_stream": "Its stream has no name that can be used: whoever sent it must set the key; "
    "drop it.",
    "no_such_topic": "It was to be sent to a topic that does not exist: make the topic and send "
    "it again, or drop it.",
    **dict.fromkeys(
        EVENTS,
        "Tell its sender what is wrong with the event, as the reason says it; mend its body "
        "(`perdure dead-letters edit`) and send it again where that is all, or drop it.",
    ),
    **dict.fromkeys(
        STARTS,
        "Mend what starts the execution, as the reason says it, and start it again; drop this one.",
    ),
    **dict.fromkeys(
        MISSING,
        "Deploy what it names, or restore it, and send it again; or drop it.",
    ),
    "payload_too_large": "Let its sender send less, or a reference to it; drop it.",
    "invalid_definition": "A version that was saved cannot be read by this service: report it; "
    "after an update send the record again.",
    "other_stream": "Its key is not that of its stream: whoever sent it must set the key; drop it.",
}
UNKNOWN_ACTION: Final = "Look at the reason, and send the record again or drop it."


def type_of(code: str) -> FailureType:
    """Return the failure type of a letter with a code."""
    if code in TYPES:
        return TYPES[code]
    return next((kind for kind in get_args(FailureType) if kind == code), "unknown")


def words_of(code: str) -> dict[str, str]:
    """Return the columns of a letter's row that say what it is."""
    kind = type_of(code)
    return {
        "failure_type": kind,
        "root_cause_category": ROOT_CAUSE[kind],
        "recovery_strategy": NEXT,
        "user_action_required": ACTIONS.get(code) or _by_type(code, kind),
    }


def _by_type(code: str, kind: FailureType) -> str:
    return ACTION[kind] if code == kind and ACTION[kind] != "none" else UNKNOWN_ACTION
