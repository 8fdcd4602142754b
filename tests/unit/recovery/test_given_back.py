"""An attempt that was not made counts for nothing, and gives back what it took."""

from perdure_contracts.deciding import AttemptParked, NoteResult, NoteSpending, ReturnTokens
from perdure_contracts.engine import ErrorFacts
from perdure_contracts.recovery import AttemptOrdered
from recovery_story import NOW, Story, at, cancelled, completed, failed, kinds
from recovery_waits import due_of, facts, open_breaker, storm_of, waiting

HELD = ErrorFacts(
    type="breaker_open", message="not sent", dependency="http:tickets.example", retry_after_s=20.0
)


def taken_by(story: Story) -> list[tuple[str, str, int]]:
    """Return what the workspace's allowance was told, in order: took or returned, who, how many."""
    return [
        ("took" if isinstance(each, NoteSpending) else "returned", each.attempt_id, each.cost)
        for each in story.sent
        if isinstance(each, NoteSpending | ReturnTokens)
    ]


def test_what_a_breaker_holds_back_was_no_attempt() -> None:
    story = Story(facts())
    story.hears(failed())
    events = story.after(seconds=5).hears(failed("f2", error=HELD, attempt=2))
    assert kinds(events) == ["AttemptFailed", "FailureNoted", "AttemptOrdered"]
    assert (story.state.tried, story.state.tried_today) == ({"fetch": 1}, 1)
    assert story.state.episodes["fetch"].retried == 1
    assert story.lessons() == []
    assert [each for each in story.sent if isinstance(each, NoteResult)] == []
    first = story.table("recovery_attempts")[0]
    assert (first["status"], first["success"]) == ("superseded", None)
    assert first["recovery_outcome"] == "held"
    (episode,) = story.table("recovery_episodes")
    assert (episode["attempts"], episode["failures"]) == (1, 2)
    explained = story.table("recovery_explanations")[0]
    assert "breaker" in str(explained["retry_decision"])


def test_an_attempt_that_a_breaker_held_back_gives_back_what_it_took_for_the_next_one() -> None:
    story = Story(facts())
    _, first = story.hears(failed())
    assert isinstance(first, AttemptOrdered)
    _, _, second = story.after(seconds=5).hears(failed("f2", error=HELD, attempt=2))
    assert isinstance(second, AttemptOrdered)
    _, _, third = story.after(seconds=5).hears(failed("f3", error=HELD, attempt=3))
    assert isinstance(third, AttemptOrdered)
    assert first.cost == second.cost == third.cost > 0
    assert taken_by(story) == [
        ("took", first.attempt_id, 14),
        ("returned", first.attempt_id, 14),
        ("took", second.attempt_id, 14),
        ("returned", second.attempt_id, 14),
        ("took", third.attempt_id, 14),
    ]
    story.after(seconds=5).hears(completed(4))
    story.hears(cancelled())
    (result,) = [each for each in story.sent if isinstance(each, NoteResult)]
    assert (result.recovered, result.cost) == (True, 14)


def test_what_is_given_back_is_enough_for_the_next_one_though_the_bucket_is_empty() -> None:
    story = Story(facts())
    story.hears(failed())
    empty = {"tokens": 0.0, "tokens_at": at(NOW), "month": "2026-01", "month_usd": 0.0,
             "recovery_usd": None}  # fmt: skip
    story.facts = facts(allowance=[empty])
    events = story.hears(failed("f2", error=HELD, attempt=2))
    assert kinds(events) == ["AttemptFailed", "FailureNoted", "AttemptOrdered"]


def test_a_nodes_first_call_that_a_breaker_held_back_took_nothing_and_returns_nothing() -> None:
    story = Story(facts())
    story.hears(failed(error=HELD))
    story.after(seconds=5).hears(failed("f2", error=HELD, attempt=2))
    assert taken_by(story) == []


def test_an_attempt_that_is_stopped_before_it_begins_gives_back_what_it_took() -> None:
    story, ordered = waiting()
    story.facts = facts("off")
    story.hears(due_of(ordered, story))
    assert taken_by(story) == [
        ("took", ordered.attempt_id, 5),
        ("returned", ordered.attempt_id, 5),
    ]


def test_an_attempt_that_waits_again_and_is_not_wanted_any_more_gives_back_what_it_took() -> None:
    story, ordered = waiting()
    story.facts = facts(incidents=[storm_of(story)])
    (parked,) = story.hears(due_of(ordered, story))
    assert isinstance(parked, AttemptParked)
    assert [what for what, _, _ in taken_by(story)] == ["took"]
    story.hears(cancelled())
    assert [what for what, _, _ in taken_by(story)] == ["took", "returned"]


def test_an_attempt_that_was_never_ordered_returns_nothing() -> None:
    story = Story(facts(breakers=[open_breaker()]))
    story.hears(failed())
    story.hears(cancelled())
    assert taken_by(story) == []


def test_an_attempt_that_is_overtaken_while_it_waits_gives_back_what_it_took() -> None:
    story, ordered = waiting()
    story.hears(cancelled())
    assert taken_by(story) == [
        ("took", ordered.attempt_id, 5),
        ("returned", ordered.attempt_id, 5),
    ]
    assert [each for each in story.sent if isinstance(each, NoteResult)] == []


def test_an_attempt_that_is_overtaken_when_it_may_have_been_made_keeps_what_it_took() -> None:
    story, ordered = waiting()
    story.hears(due_of(ordered, story))
    story.hears(cancelled())
    assert taken_by(story) == [("took", ordered.attempt_id, 5)]


def test_an_attempt_that_the_engine_makes_without_asking_keeps_what_it_took() -> None:
    story = Story(facts())
    conflict = ErrorFacts(
        type="x", message="", classes=("asyncpg.SerializationError",), sqlstate="40001"
    )
    _, ordered = story.hears(failed(error=conflict))
    assert isinstance(ordered, AttemptOrdered)
    assert not ordered.ask_again
    story.hears(cancelled())
    assert taken_by(story) == [("took", ordered.attempt_id, ordered.cost)]
