"""What the engine's own process takes of the tasks, and what it leaves to the runners."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from perdure_common.shell import codec
from perdure_common.shell.ports import Outbound, Record
from perdure_contracts.engine import NodeResult, NodeTask
from perdure_contracts.message import NAMES
from perdure_engine.runner.here import BYTES_MAX, Here
from perdure_engine.runner.perform import at_once
from perdure_engine.runner.work import TASKS


class Stage:
    def __init__(self, most: int = 8) -> None:
        self.performed: list[str] = []
        self.answers: list[NodeResult] = []
        self.here = Here(
            self.perform,
            name="here",
            partitions=2,
            most=most,
            now=lambda: datetime.now(UTC),
            at_once=lambda task: at_once(task, "here"),
        )

    async def perform(self, task: NodeTask, tenant_id: str) -> NodeResult:
        self.performed.append(task.token)
        return NodeResult(execution_id=task.execution_id, token=task.token, outcome="completed")

    def offer(self, token: str, **changes: Any) -> bool:
        fields: dict[str, Any] = {
            "token": token,
            "execution_id": "e",
            "workflow_id": "w",
            "node_id": "n",
            "node_type": "FLOW",
            "node_subtype": "NOOP",
            "parameters": [{}],
            "items": [{"n": 1}],
            "effect": "pure",
            "length": "short",
            "deadline": (datetime.now(UTC) + timedelta(minutes=5)).isoformat(),
            "idempotency_key": "key",
        }
        body = codec.encode_body(NodeTask(**{**fields, **changes}))
        headers = (("ce_type", NAMES[NodeTask].encode()),)
        return self.here.take(Outbound(TASKS, 0, body, None, headers), self.answer)

    def answer(self, record: Record) -> None:
        self.answers.append(codec.decode_body("engine.node-result.v1", record.value))

    async def until(self, answers: int) -> None:
        async with asyncio.timeout(20):
            while len(self.answers) < answers:
                await asyncio.sleep(0.001)


async def test_computation_is_answered_without_the_tools_of_side_effects() -> None:
    stage = Stage()
    assert stage.offer("a")
    await stage.until(1)
    assert stage.answers[0].ports == {"main": [{"json": {"n": 1}}]}
    assert stage.performed == []


async def test_a_side_effect_is_performed() -> None:
    stage = Stage()
    assert stage.offer("a", node_type="EXTERNAL_ACTION", node_subtype="HTTP_REQUEST")
    await stage.until(1)
    assert stage.performed == ["a"]


async def test_a_batch_hands_over_no_more_side_effects_than_may_run_at_once() -> None:
    stage = Stage(most=2)
    asks = {"node_type": "EXTERNAL_ACTION", "node_subtype": "HTTP_REQUEST", "effect": "keyed"}
    assert [stage.offer(token, **asks) for token in "abc"] == [True, True, False]
    assert stage.offer("d"), "computation is not among them"
    await stage.until(3)
    assert stage.offer("e", **asks)
    await stage.until(4)


async def test_a_batch_hands_over_no_more_computation_than_the_process_can_stop_for() -> None:
    stage = Stage(most=2)
    large = {"items": [{"text": "x" * (BYTES_MAX - 1_000)}]}
    taken = [stage.offer(str(n), **large) for n in range(9)]
    assert taken == [True] * 4 + [False] * 5
    asks = {"node_type": "EXTERNAL_ACTION", "node_subtype": "HTTP_REQUEST", "effect": "keyed"}
    assert stage.offer("asks", **asks), "side effects are not among it"
    await stage.until(5)
    assert stage.offer("f", **large)
    await stage.until(6)


async def test_large_unsafe_long_and_late_tasks_are_left_to_the_runners() -> None:
    stage = Stage()
    assert not stage.offer("large", items=["x" * BYTES_MAX])
    assert not stage.offer("unsafe", effect="unsafe")
    assert not stage.offer("long", length="long")
    ref = {"file_id": "f", "file_name": "a", "mime_type": "text/plain", "size": 1}
    assert not stage.offer("has files", files={"0": {"data": ref}})
    assert not stage.offer("makes files", parameters=[{"response": "file"}])
    assert not stage.offer("FILE", node_type="ACTION", node_subtype="FILE")
    assert not stage.offer("late", deadline=datetime(2020, 1, 1, tzinfo=UTC).isoformat())
    assert stage.answers == []
