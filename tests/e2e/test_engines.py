"""Two processes of the engine beside each other: as `perdure up --engines 2` starts them.

They share the shards. One is killed while executions are under way: the other takes over, until the
supervisor has started the first again.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import psutil
import pytest

REPOSITORY = Path(__file__).parents[2]
LIMIT_S = 240
EXECUTIONS = 6

WORKFLOW = {
    "name": "shared",
    "nodes": [
        {"node_id": "start", "node_type": "TRIGGER", "node_subtype": "MANUAL"},
        {
            "node_id": "wait",
            "node_type": "FLOW",
            "node_subtype": "WAIT",
            "parameters": {"seconds": 2},
        },
        {
            "node_id": "note",
            "node_type": "ACTION",
            "node_subtype": "SET",
            "parameters": {"values": {"n": "{{ $json.n }}"}, "keep": "none"},
        },
    ],
    "connections": [
        {"source_node_id": "start", "target_node_id": "wait"},
        {"source_node_id": "wait", "target_node_id": "note"},
    ],
}


@pytest.fixture(scope="module")
def home() -> Generator[Path]:
    """A folder of its own with a short name: sockets stand in it."""
    folder = Path(tempfile.mkdtemp(prefix="perdure-two-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def typed(home: Path, *words: str) -> Any:
    """Run a command line in the folder and return what it answers as JSON."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PERDURE_")}
    said = subprocess.run(
        [sys.executable, "-m", "perdure_cli.main", *words, "--json"],
        cwd=REPOSITORY,
        env={**env, "PERDURE_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert said.returncode == 0, said.stdout + said.stderr
    return json.loads(said.stdout)


def test_two_engines_share_the_work_and_one_of_them_may_die(home: Path) -> None:
    up = typed(home, "up", "--detach", "--engines", "2")
    try:
        assert {"engine", "engine-2"} <= set(up["services"])
        names = {child.name(): child for child in psutil.Process(up["pid"]).children()}
        file = home / "shared.json"
        file.write_text(json.dumps(WORKFLOW), encoding="utf-8")
        typed(home, "workflow", "deploy", str(file))
        started = [
            typed(home, "trigger", "perdure.trigger.manual", "--subject", "shared", "--data",
                  json.dumps({"n": n}))["executions"][0]
            for n in range(EXECUTIONS)
        ]  # fmt: skip
        names["engine"].kill()
        ended = [typed(home, "executions", "watch", each) for each in started]
        assert [each["result"] for each in ended] == [[{"n": n}] for n in range(EXECUTIONS)]
        typed(home, "verify")  # which fails where a promise is broken
    finally:
        typed(home, "down")
