"""Counters of others follow from recovery's events, and agree with its own rows."""

from collections import Counter

from perdure_common.decider import Due
from perdure_contracts.counting import Added, added_by
from perdure_contracts.deciding import ExecutionEvent
from recovery_story import Story, completed, failed


def test_workspaces_count_attempts_that_were_started_and_episodes_that_recovered() -> None:
    story = Story()
    events: list[ExecutionEvent] = []
    for at, message in (
        (0, failed()),
        (5, failed("f2", attempt=2)),
        (5, completed(3)),
        (600, Due("e")),
        (5, failed("f3", node_id="other", effect="unsafe")),
    ):
        events += story.after(seconds=at).hears(message)
    counts: Counter[str] = Counter()
    last = ""
    for event in events:
        added = added_by(event)
        if added is not None:
            assert added.workspace_id == "ws"
            counts.update(attempts=added.attempts, recovered=added.recovered)
            last = max(last, added.decided_at)
    assert counts == {"attempts": 2, "recovered": 1}
    rows = story.table("recovery_episodes")
    assert sum(int(str(row.get("attempts", 0))) for row in rows) == counts["attempts"]
    assert sum(row["outcome"] == "recovered" for row in rows) == counts["recovered"]
    assert last.startswith("2026-01-01T12:10:15")


def test_what_is_only_noted_adds_nothing() -> None:
    noted, *_ = Story().hears(failed())
    assert added_by(noted) is None
    assert added_by("anything") is None
    assert Added("ws").attempts == 0
