"""Explanations in a model's words: the part that decides, which is pure.

The model is given the scrubbed texts of an explanation and nothing else. What it writes is
kept only if every number, name and address in it occurs in those texts (faithful.py); it is
shown beside the explanation and takes part in no decision. A stream of its own for each
execution, so that what recovery remembers of one does not grow by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from perdure_common.decider import Facts, Outgoing, Recorded, Upsert
from perdure_common.ids import derived
from perdure_common.scrub import scrub_text
from perdure_contracts.telling import KeepProse, ProseKept

from .faithful import Sources, unsupported

TEXT_MIN: Final = 20
TEXT_MAX: Final = 1_200
"""Shortest and longest prose that is kept, in code points."""
CLAIMS_SHOWN_MAX: Final = 5

COLUMNS: Final = (
    *("failure_summary", "root_cause", "retry_decision", "confidence_explanation"),
    *("user_action_required", "estimated_resolution_time", "severity_level", "display_category"),
)
"""What the model is given, and what its words are held against."""
INSTRUCTIONS: Final = (
    "You rewrite the explanation of a failure for the person whose workflow it was. Write two to "
    "four plain sentences: what failed, why, what was done, what the person must do. Use only "
    "what you are given. Add no number, no name, no address and no advice of your own. Answer "
    "with the sentences alone."
)


@dataclass(frozen=True, slots=True)
class Prose:
    """The attempts whose explanations were put into other words already."""

    told: frozenset[str] = frozenset()


def messages_for(explanation: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what the model is asked, in the form of OpenAI's chat completions."""
    given = "\n".join(f"{name}: {explanation[name]}" for name in COLUMNS)
    return [
        {"role": "system", "content": INSTRUCTIONS},
        {"role": "user", "content": given},
    ]


def judged(text: str, explanation: Mapping[str, Any]) -> tuple[str, str]:
    """Return the text if it may be shown, and why not if it may not; one of both is empty."""
    text = scrub_text(" ".join(text.split()))
    if not TEXT_MIN <= len(text) <= TEXT_MAX:
        return "", f"it has {len(text)} characters, not {TEXT_MIN} to {TEXT_MAX}"
    made_up = unsupported(text, Sources(str(explanation[name]) for name in COLUMNS))
    if made_up:
        shown = ", ".join(repr(claim[:40]) for claim in made_up[:CLAIMS_SHOWN_MAX])
        return "", f"nobody told it {shown}"
    return text, ""


def stream_of(command: KeepProse) -> str:
    """Return the stream, in the shard of the execution."""
    return f"{command.execution_id}/prose"


def decide(state: Prose, command: KeepProse, facts: Facts, now: datetime) -> tuple[ProseKept, ...]:
    """Return that the words are kept: once for each attempt."""
    del facts, now
    if command.attempt_id in state.told:
        return ()
    return (
        ProseKept(
            attempt_id=command.attempt_id,
            text=command.text,
            model=command.model,
            refused=command.refused,
        ),
    )


def evolve(state: Prose, event: ProseKept) -> Prose:
    """Return the state after `event`."""
    return Prose(state.told | {event.attempt_id})


def project(state: Prose, recorded: Recorded[ProseKept]) -> tuple[Upsert, ...]:
    """Return what is added to the explanation's row; its own texts stay."""
    del state
    event = recorded.event
    row: dict[str, object] = {
        "prose": event.text or None,
        "prose_refused": event.refused or None,
        "generation_model": event.model,
        "ai_analysis_used": bool(event.text),
        "explanation_source": "rule and model" if event.text else "rule",
        "updated_at": recorded.recorded_at,
    }
    return (Upsert("recovery_explanations", {"id": derived("explanation", event.attempt_id)}, row),)


def route(state: Prose, recorded: Recorded[ProseKept]) -> tuple[Outgoing, ...]:
    """Return nothing: the row is all there is."""
    del state, recorded
    return ()
