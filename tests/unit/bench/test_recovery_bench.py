"""The benchmark of recovery says what became of its scenarios and its storm, and ends so."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from laboratory import measures
from laboratory.catalogue import SCENARIOS
from laboratory.running import Seen
from laboratory.storm import Storm

from bench import recovery, recovery_text

NOWHERE: Any = None
"""A stage on which nothing is staged."""


def storm(recovered: int) -> Storm:
    return Storm(NOWHERE, 1_000, statuses={"SUCCESS": recovered, "ERROR": 1_000 - recovered})


def seen(*problems: Sequence[str]) -> list[Seen]:
    return [Seen(SCENARIOS[0], problems=list(each)) for each in problems]


def told(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    found: list[Seen],
    blown: Storm | None,
) -> tuple[int, Mapping[str, float]]:
    """Return the exit code and the keys of a run in which this is what became of everything."""

    async def platform() -> tuple[measures.Measures, Storm | None, Mapping[str, float]]:
        return measures.measured(found), blown, {"decision_p50_ms": 12.0}

    def nothing() -> Mapping[str, float]:
        return {}

    monkeypatch.setattr(recovery, "platform", platform)
    monkeypatch.setattr(recovery_text, "measure", nothing)
    code = recovery.main()
    last = capsys.readouterr().out.splitlines()[-1]
    return code, json.loads(last.removeprefix("RESULT "))


@pytest.mark.parametrize(
    ("problems", "recovered", "code"),
    [
        (((), ()), 1_000, 0),
        (((), ("it was tried twice",)), 1_000, 1),
        (((), ()), 999, 1),
        (((), ()), None, 0),
        (((), ("it was tried twice",)), None, 1),
    ],
)
def test_what_did_not_come_out_as_stated_is_told_and_is_an_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    problems: tuple[Sequence[str], Sequence[str]],
    recovered: int | None,
    code: int,
) -> None:
    blown = None if recovered is None else storm(recovered)
    ended, keys = told(monkeypatch, capsys, seen(*problems), blown)
    assert ended == code
    assert keys["scenarios"] == 2
    assert keys["scenarios_as_stated"] == sum(not each for each in problems)
    assert keys.get("storm_recovered") == (None if recovered is None else recovered / 1_000)
    assert keys["decision_p50_ms"] == 12.0, "all is measured even so"


@pytest.mark.parametrize("quick", [False, True])
def test_a_whole_run_has_a_storm_and_a_quick_one_has_none(
    monkeypatch: pytest.MonkeyPatch, quick: bool
) -> None:
    class Laboratory:
        def __init__(self, stage: Any) -> None:
            self.stage = stage

        async def run(self, *scenarios: Any) -> list[Seen]:
            return seen([] if scenarios else ["nothing was staged"])

    async def blown_over(self: Storm) -> Storm:
        return storm(self.count)

    monkeypatch.setattr(recovery, "QUICK", quick)
    monkeypatch.setattr(recovery, "Laboratory", Laboratory)
    monkeypatch.setattr(Storm, "run", blown_over)
    found, blown = asyncio.run(recovery.laboratory(NOWHERE))
    assert (found.scenarios, found.as_expected) == (1, 1)
    assert (blown is None) == quick
    assert blown is None or blown.recovered == recovery.STORM
