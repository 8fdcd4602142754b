"""Named faults: what the setting may say, and that nothing happens before its time."""

import os
import signal
from collections.abc import Iterator

import pytest
from perdure_common import fault


@pytest.fixture(autouse=True)
def unarmed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(fault, "_armed", {})
    yield


def test_a_mistake_happens_at_the_named_time_only() -> None:
    fault.arm("engine", "engine.while_deciding:fail@3, scheduler.before_commit:kill")
    fault.point("while_deciding")
    fault.point("before_commit")  # another process's
    fault.point("while_deciding")
    with pytest.raises(fault.Injected, match="while_deciding"):
        fault.point("while_deciding")
    fault.point("while_deciding")


@pytest.mark.parametrize(("action", "number"), [("kill", signal.SIGKILL), ("stop", signal.SIGSTOP)])
def test_the_process_gets_the_signal_that_the_action_names(
    action: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[int, int]] = []

    def kill(pid: int, number: int) -> None:
        sent.append((pid, number))

    monkeypatch.setattr(os, "kill", kill)
    fault.arm("runner", f"runner.before_effect:{action}")
    fault.point("before_effect")
    assert sent == [(os.getpid(), number)]


@pytest.mark.parametrize(
    "text",
    [
        "engine.nowhere:kill",
        "nobody.before_commit:kill",
        "runner.before_commit:kill",
        "engine.before_commit:explode",
        "engine.before_commit",
        "engine.before_commit:kill@soon",
    ],
)
def test_a_fault_that_does_not_exist_is_named_with_those_that_do(text: str) -> None:
    with pytest.raises(ValueError, match=r"PERDURE_FAULT has .*<process>\.<place>"):
        fault.arm("engine", text)
