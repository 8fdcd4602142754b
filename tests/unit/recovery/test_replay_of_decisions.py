"""The same events give the same decisions and explanations, byte for byte, in any process."""

import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from perdure_common.decider import Due, Recorded
from perdure_common.shell.codec import decode_body, encode_body
from perdure_contracts.asking import RequestInteraction
from perdure_contracts.deciding import ExecutionEvent, NoteAnswer
from perdure_contracts.engine import ErrorFacts, ExecutionFailed
from perdure_contracts.questions import QuestionAsked, QuestionSettled
from perdure_contracts.recovery import AttemptOrdered, EpisodeClosed
from perdure_contracts.undoing import NodeCompensated
from perdure_recovery.app import executions
from recovery_story import DOWN, Story, at, completed, failed

HISTORIES = sorted((Path(__file__).parents[2] / "histories/recovery/execution").glob("*.jsonl"))
AT = datetime(2026, 1, 1, 13, tzinfo=UTC)
TEXTS = (
    *("failure_summary", "root_cause", "retry_decision", "confidence_explanation"),
    *("user_action_required", "estimated_resolution_time", "severity_level", "display_category"),
)


KEPT = {
    "recovery_attempts": (
        *("recovery_strategy", "attempt_number", "recovery_reason", "status", "success"),
        *("recovery_outcome", "error_message", "confidence_score", "ai_reasoning"),
    ),
    "recovery_explanations": TEXTS,
}
"""What must never change of a decision that was made."""


def told(path: Path) -> dict[str, dict[str, Any]]:
    """Return the rows that a recorded history makes, by table and id."""
    state = executions.initial
    rows: dict[str, dict[str, Any]] = {}
    for version, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        row = json.loads(line)
        event: ExecutionEvent = decode_body(row["type"], json.dumps(row["data"]).encode())
        state = executions.evolve(state, event)
        for upsert in executions.project(state, Recorded(event, "t", "e", version, AT)):
            kept = {
                name: upsert.set[name] for name in KEPT.get(upsert.table, ()) if name in upsert.set
            }
            if upsert.table in KEPT:
                rows.setdefault(f"{upsert.table}/{upsert.key['id']}", {}).update(kept)
    return rows


def written(rows: dict[str, dict[str, Any]]) -> str:
    return json.dumps(json.loads(msgspec.json.encode(rows)), sort_keys=True, indent=1) + "\n"


@pytest.mark.parametrize("history", HISTORIES, ids=lambda path: path.stem)
def test_a_recorded_history_gives_the_attempts_and_explanations_of_then(history: Path) -> None:
    """Their `.rows` are recorded beside the histories and, like them, never edited."""
    kept = told(history)
    assert kept
    assert written(kept) == history.with_suffix(".rows").read_text("utf-8")
    for name, row in kept.items():
        if name.startswith("recovery_explanations/"):
            assert all(row[text] for text in TEXTS)


def story() -> list[ExecutionEvent]:
    """Return what is decided about a day of failures; the same whenever it is asked."""
    made = Story()
    events: list[ExecutionEvent] = []
    refused = ErrorFacts(type="http_status", message="no", status_code=403)
    strange = ErrorFacts(type="odd", message="the flux is out of phase by 3")
    for seconds, message in (
        (0, failed()),
        (3, failed("f2", attempt=2, error=DOWN)),
        (9, completed(3)),
        (30, failed("f3", node_id="b", error=refused)),
        (30, failed("f4", node_id="c", error=strange, scope=(("loop", 3),))),
        (600, Due("e")),
        (30, failed("f5", node_id="d", effect="unsafe")),
        (5, failed("f6", node_id="g", error=refused, effect="unsafe", means=MEANS)),
        (5, failed("f7", node_id="h", error=strange, effect="verify_first")),
        (5, undone("f6", at(made.now))),
        (5, ended("f5")),
    ):
        events += made.after(seconds=seconds).hears(message)
    (request,) = [each for each in made.sent if isinstance(each, RequestInteraction)]
    answer = NoteAnswer(
        execution_id="e", interaction_id=request.interaction_id, outcome="answered",
        port="retry", by="ann",
    )  # fmt: skip
    return [*events, *made.after(minutes=3).does(answer)]


MEANS = {"skip_compensate": "request"}


def undone(failure_id: str, when: str) -> NodeCompensated:
    return NodeCompensated(
        execution_id="e", node_id="g", scope=(), run=1, attempt=2, token="t",
        failure_id=failure_id, indexes=(0,), compensated_at=when,
    )  # fmt: skip


def ended(failure_id: str) -> ExecutionFailed:
    return ExecutionFailed(
        execution_id="e", workflow_id="w", workspace_id="ws", status="ERROR",
        error=ErrorFacts(type="x", message=""), node_id="d", failure_id=failure_id,
    )  # fmt: skip


def digest() -> str:
    whole = b"\n".join(encode_body(event) for event in story())
    return hashlib.sha256(whole).hexdigest()


def test_decisions_are_the_same_bytes_in_every_process() -> None:
    kinds = {type(event) for event in story()}
    assert {QuestionAsked, QuestionSettled, AttemptOrdered, EpisodeClosed} <= kinds
    script = "import test_replay_of_decisions as it; print(it.digest())"
    for seed in ("0", "1", "99"):
        said = subprocess.run(
            [sys.executable, "-c", script],
            env={
                "PYTHONHASHSEED": seed,
                "PATH": "",
                "PYTHONPATH": ":".join([str(Path(__file__).parent), *sys.path]),
            },
            capture_output=True,
            text=True,
            check=True,
        )
        assert said.stdout.strip() == digest()
