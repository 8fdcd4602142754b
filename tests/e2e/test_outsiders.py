"""Trigger events as outsiders send them: kcat as the README says it, and the SDK of CloudEvents."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import Producer
from definitions_for_tests import chain, node
from platform_stage import Stage

ROOT = Path(__file__).parents[2]
STAND_IN = ROOT / "tests" / "support" / "kcat_stand_in.py"
NEW_ID = "import uuid; print(uuid.uuid4())"

pytestmark = pytest.mark.asyncio(loop_scope="module")


def line_of_the_readme() -> str:
    """Return the command by which the README lets any client of Kafka publish."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^(kcat (?:.*\\\n)*.*)$", text, re.MULTILINE)
    return line


def programs(folder: Path) -> str:
    """Return the PATH of a shell that has what the line needs, whatever this machine has."""
    python = sys.executable
    for name, command in (
        ("kcat", f'{python} {STAND_IN} "$@"'),
        ("uuidgen", f"{python} -c '{NEW_ID}'"),
    ):
        if shutil.which(name) is None:
            file = folder / name
            file.write_text(f"#!/bin/sh\nexec {command}\n", encoding="utf-8")
            file.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


async def started(stage: Stage, name: str) -> Any:
    """Wait until a workflow's one execution has ended well, and return its row."""

    async def found() -> Any:
        return await stage.rows(
            "select x.* from engine.workflow_executions x "
            "join engine.workflows w on w.id = x.workflow_id "
            "where w.name = $1 and x.status = 'SUCCESS'",
            name,
        )

    [row] = await stage.until(found, f"an execution of {name}")
    return row


async def test_the_line_of_the_readme_starts_an_execution(stage: Stage, tmp_path: Path) -> None:
    line = line_of_the_readme().replace("perdure.triggers.v1", f"{stage.ground.prefix}.triggers.v1")
    await stage.deploy(
        chain("triage", node("said", "ACTION.SET", values={"to": "{{ $json.hello }}"}))
    )
    sent = await asyncio.to_thread(
        subprocess.run,
        ["bash", "-euc", line],
        env={**os.environ, **stage.environment, "PATH": programs(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert sent.returncode == 0, sent
    row = await started(stage, "triage")
    assert '"to":"world"' in row["run_data"].replace(" ", "")


def produce(stage: Stage, message: KafkaMessage) -> None:
    """Write a record as the SDK has made it, with another client than ours."""
    producer = Producer({"bootstrap.servers": stage.ground.kafka_bootstrap})
    headers: list[tuple[str, str | bytes | None]] = [*message.headers.items()]
    topic = f"{stage.ground.prefix}.triggers.v1"
    producer.produce(topic, message.value, key=message.key, headers=headers)
    assert producer.flush(30.0) == 0


@pytest.mark.parametrize("mode", ["binary", "structured"])
async def test_events_of_the_sdk_start_an_execution(stage: Stage, mode: str) -> None:
    name = f"sdk {mode}"
    await stage.deploy(chain(name, node("said", "ACTION.SET", values={"to": "{{ $json.hello }}"})))
    event = CloudEvent(
        attributes={
            "id": f"sdk-{mode}",
            "source": "/shop",
            "type": "perdure.trigger.manual",
            "subject": name,
            "time": datetime.now(UTC),
            "datacontenttype": "application/json",
            "partitionkey": "shop",
        },
        data={"hello": "wörld"},
    )
    message = (to_binary_event if mode == "binary" else to_structured_event)(event)
    await asyncio.to_thread(produce, stage, message)
    row = await started(stage, name)
    assert "wörld" in row["run_data"]
