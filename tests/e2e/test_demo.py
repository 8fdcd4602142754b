"""The demonstration as a newcomer starts it: a process, servers of its own, an empty folder."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
LIMIT_S = 240


@pytest.fixture
def home() -> Generator[Path]:
    """A folder of its own with a short name: sockets stand in it."""
    folder = Path(tempfile.mkdtemp(prefix="perdure-demo-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def demo(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("PERDURE_")}
    return subprocess.run(
        [sys.executable, "-m", "perdure_cli.main", *words],
        cwd=REPOSITORY,
        env={**env, "PERDURE_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def assert_for_programs(said: subprocess.CompletedProcess[str]) -> None:
    assert said.returncode == 0, said.stdout + said.stderr
    told = json.loads(said.stdout)
    assert [each["status"] for each in told["executions"]] == ["SUCCESS"] * 5
    assert (told["bugs"], len(told["tickets"])) == (3, 3)
    assert told["failures"] >= told["recovered"] >= 3
    assert told["promises"]["holds"]


def test_the_demonstration_ends_well_says_what_happened_and_leaves_nothing_running(
    home: Path,
) -> None:
    said = demo(home, "demo")
    assert said.returncode == 0, said.stdout + said.stderr
    assert "5 events, 5 executions, all ended well" in said.stdout
    assert "3 bugs, 3 tickets" in said.stdout
    assert "answered 503" in said.stdout
    assert "recovered with attempt" in said.stdout
    assert "every promise holds" in said.stdout
    assert "What recovery wrote about" in said.stdout
    assert "executions list" in said.stdout
    assert "Traceback" not in said.stdout + said.stderr
    assert not (home / "platform.json").exists()
    assert_for_programs(demo(home, "demo", "--json"))
    down = demo(home, "down")
    assert "nothing was running" in down.stdout
