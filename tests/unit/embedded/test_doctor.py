"""The doctor says what is wrong, and which command mends it."""

import socket
from pathlib import Path

import pytest
from perdure_common.doctor import (
    DISK_FAIL_BYTES,
    DISK_WARN_BYTES,
    Outcome,
    check_jars,
    check_ports,
    check_servers,
    disk,
    examine,
    packages,
    python,
)
from perdure_common.embedded.state import Phase, Root, State
from perdure_common.settings import PORTS


@pytest.mark.parametrize(
    ("version", "outcome"),
    [((3, 10, 9), Outcome.FAIL), ((3, 11, 0), Outcome.OK), ((4, 0, 0), Outcome.OK)],
)
def test_an_old_python_is_refused(version: tuple[int, int, int], outcome: Outcome) -> None:
    finding = python(version)
    assert finding.outcome is outcome
    assert ("make setup" in finding.remedy) is (outcome is Outcome.FAIL)


@pytest.mark.parametrize(
    ("free_bytes", "outcome"),
    [
        (DISK_WARN_BYTES, Outcome.OK),
        (DISK_WARN_BYTES - 1, Outcome.WARN),
        (DISK_FAIL_BYTES, Outcome.WARN),
        (DISK_FAIL_BYTES - 1, Outcome.FAIL),
    ],
)
def test_a_full_disk_is_noticed_before_it_stops_the_servers(
    tmp_path: Path, free_bytes: int, outcome: Outcome
) -> None:
    assert disk(free_bytes, tmp_path).outcome is outcome


def test_packages_that_differ_from_the_pinned_ones_are_named() -> None:
    finding = packages(["pytest==0.0.1", "nothing-of-this-name==1", "uvloop==9; never", "ruff"])
    assert finding.outcome is Outcome.FAIL
    assert "instead of 0.0.1" in finding.message
    assert "nothing-of-this-name is not installed" in finding.message
    assert "uvloop" not in finding.message
    assert finding.remedy == "make setup"


def test_a_cache_without_kafka_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_CACHE", str(tmp_path))
    finding = check_jars()
    assert (finding.outcome, finding.remedy) == (Outcome.FAIL, "make setup")


def test_a_taken_port_is_shown_with_the_setting_that_moves_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        environ = {f"PERDURE_{name.upper()}_PORT": str(port) for name in PORTS}
        findings = check_ports({**environ, "PERDURE_RUNNER_PORT": "a lot"})
    by_name = {finding.check: finding for finding in findings}
    assert by_name["port of engine"].outcome is Outcome.WARN
    assert "PERDURE_ENGINE_PORT" in by_name["port of engine"].remedy
    assert by_name["port of runner"].outcome is Outcome.FAIL


def test_servers_that_failed_to_start_are_shown_with_their_reason(tmp_path: Path) -> None:
    assert check_servers(tmp_path / "none").outcome is Outcome.OK
    Root(tmp_path).write(State(Phase.FAILED, error="The embedded kafka ended with code 1."))
    finding = check_servers(tmp_path)
    assert finding.outcome is Outcome.FAIL
    assert "ended with code 1" in finding.message
    assert "logs" in finding.remedy


async def test_this_machine_can_run_perdure(tmp_path: Path) -> None:
    findings = await examine(tmp_path / ".perdure", {})
    wrong = [finding for finding in findings if finding.outcome is Outcome.FAIL]
    assert wrong == []
    assert {"python", "packages", "java", "kafka jars", "postgres"} <= {f.check for f in findings}
    assert not (tmp_path / ".perdure").exists()


async def test_servers_of_ones_own_that_do_not_answer_are_a_fault(tmp_path: Path) -> None:
    environ = {
        "PERDURE_DATABASE_URL": "postgresql://me:very-secret-word@127.0.0.1:9/db",
        "PERDURE_KAFKA_BOOTSTRAP": "127.0.0.1:9",
    }
    findings = {finding.check: finding for finding in await examine(tmp_path, environ)}
    for check, variable in (("database", "PERDURE_DATABASE_URL"), ("kafka", "PERDURE_KAFKA_B")):
        assert findings[check].outcome is Outcome.FAIL
        assert variable in findings[check].remedy
        assert "very-secret-word" not in str(findings[check])
    assert "java" not in findings
