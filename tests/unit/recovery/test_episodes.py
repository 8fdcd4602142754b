"""Episodes: a row for a node's failures, from the first until recovered or given up."""

from typing import Any

import pytest
from perdure_common.decider import Due
from perdure_contracts.engine import ErrorFacts
from perdure_contracts.telling import EpisodeFixed
from perdure_recovery.retention import FOREVER, LONG, SHORT
from recovery_story import Story, at, cancelled, completed, failed, kinds
from recovery_waits import due_of, facts, open_breaker, waiting

BAD = ErrorFacts(type="invalid_parameter", message="the parameter url must be an address")


def episode(story: Story) -> dict[str, Any]:
    (row,) = story.table("recovery_episodes")
    return row


def test_a_recovery_is_one_episode_however_many_tries_it_took() -> None:
    story = Story()
    story.hears(failed())
    story.after(seconds=10).hears(failed("f2", attempt=2))
    assert episode(story)["outcome"] == "open"
    assert episode(story)["kept_until"] == FOREVER
    story.after(seconds=20).hears(completed(3))
    assert episode(story)["outcome"] == "open"  # it counts once it is confirmed
    story.after(minutes=10).hears(Due("e"))
    row = episode(story)
    assert (row["outcome"], row["eligible"], row["judged_transient"]) == ("recovered", True, True)
    assert row["cured_unchanged"] is True
    assert row["duration_s"] == 30.0
    assert row["kept_until"] == story.now + LONG


def test_a_relapse_reopens_the_episode() -> None:
    story = Story()
    story.hears(failed())
    story.after(seconds=5).hears(completed(2))
    assert episode(story)["cured_unchanged"] is True
    story.after(minutes=2).hears(failed("f2", attempt=3))
    row = episode(story)
    assert (row["outcome"], row["completed_at"], row["cured_unchanged"]) == ("open", None, False)


def test_a_relapse_in_another_run_is_an_episode_of_its_own() -> None:
    story = Story()
    story.hears(failed())
    story.after(seconds=5).hears(completed(2))
    story.after(minutes=2).hears(failed("f2", run=2))
    outcomes = sorted(str(row["outcome"]) for row in story.table("recovery_episodes"))
    assert outcomes == ["open", "relapsed"]


def test_what_people_mend_by_an_unchanged_retry_counts_as_missed() -> None:
    story = Story()
    story.hears(failed(error=BAD))
    assert episode(story)["outcome"] == "escalated"
    assert not episode(story).get("eligible")
    events = story.after(hours=2).hears(completed(1, run=2))
    assert kinds(events) == ["EpisodeFixed"]
    row = episode(story)
    assert row["missed"] is True
    assert row["fixed_at"] == at(story.now).replace("+00:00", ".000000Z")
    assert story.after(hours=1).hears(completed(1, run=3)) == []  # once


def test_a_retry_by_people_that_fails_again_is_not_missed() -> None:
    story = Story()
    story.hears(failed(error=BAD))
    story.after(hours=1).hears(failed("f2", error=BAD, run=2))
    assert len(story.table("recovery_episodes")) == 2
    events = story.after(hours=1).hears(completed(1, run=3))
    assert [type(event) for event in events] == [EpisodeFixed]
    missed = [row["run"] for row in story.table("recovery_episodes") if row.get("missed")]
    assert missed == [2]


def test_what_completes_months_later_says_nothing_about_us() -> None:
    story = Story()
    story.hears(failed(error=BAD))
    assert story.after(days=31).hears(completed(1, run=2)) == []


def test_rows_are_kept_by_what_became_of_them() -> None:
    story = Story()
    story.hears(failed())
    (attempt,) = story.table("recovery_attempts")
    assert attempt["kept_until"] == FOREVER
    story.after(seconds=5).hears(completed(2))
    assert attempt["kept_until"] == FOREVER
    story.after(minutes=10).hears(Due("e"))
    (explanation,) = story.table("recovery_explanations")
    assert attempt["kept_until"] == explanation["kept_until"] == story.now + SHORT
    lasting = Story()
    lasting.hears(failed())
    lasting.after(seconds=5).hears(failed("f2", attempt=2))
    until = [lasting.now + LONG, FOREVER]
    assert [row["kept_until"] for row in lasting.table("recovery_attempts")] == until
    assert [row["kept_until"] for row in lasting.table("recovery_explanations")] == until


def test_what_was_overtaken_is_kept_long_and_its_explanation_short() -> None:
    story = Story()
    story.hears(failed())
    story.after(seconds=5).hears(cancelled())
    (attempt,) = story.table("recovery_attempts")
    assert (attempt["status"], attempt["kept_until"]) == ("superseded", story.now + LONG)
    (explanation,) = story.table("recovery_explanations")
    assert explanation["kept_until"] == story.now + SHORT


@pytest.mark.parametrize("after_s", [10, 2 * 3_600])
def test_an_attempt_that_waited_and_was_withdrawn_or_expired_is_not_kept_for_ever(
    after_s: float,
) -> None:
    story = Story(facts(breakers=[open_breaker()]))
    story.hears(failed())
    (attempt,) = story.table("recovery_attempts")
    assert (attempt["status"], attempt["kept_until"]) == ("parked", FOREVER)
    story.after(seconds=after_s).hears(cancelled())
    assert attempt["status"] == ("superseded" if after_s == 10 else "expired")
    assert attempt["kept_until"] == story.now + LONG
    (explanation,) = story.table("recovery_explanations")
    assert explanation["kept_until"] == story.now + SHORT


def test_an_attempt_that_a_rail_stopped_is_not_kept_for_ever() -> None:
    story, ordered = waiting()
    story.facts = facts(mode="off")
    assert "AttemptStopped" in kinds(story.hears(due_of(ordered, story)))
    (attempt,) = story.table("recovery_attempts")
    assert (attempt["status"], attempt["kept_until"]) == ("refused", story.now + LONG)
