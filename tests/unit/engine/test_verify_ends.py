"""I2 of `perdure verify`: an open execution that nothing will make go on, whatever started it."""

from collections.abc import Sequence
from datetime import timedelta

from families import Family
from perdure_common.adapters.memory_store import MemoryStore
from perdure_common.decider import Upsert
from perdure_common.ids import sha256_of_json
from perdure_common.shell import codec
from perdure_common.shell.ports import Heard, JournalRow, ParkedMessage, ShardCommit
from perdure_common.verify import journal
from perdure_common.verify.memory import MemoryArchive
from perdure_contracts.engine import ExecutionCompleted
from perdure_contracts.flow import NoteChildEnd
from perdure_contracts.message import NAMES
from perdure_engine.app import service
from perdure_engine.executions.state import ENDED
from playing import BEGAN, EXECUTION_ID, WORKFLOW_ID, Play, decider, http, node, play, workflow

SHARD = "0"
LATER = BEGAN + timedelta(days=1)
CALLING = workflow(
    [node("sub", "FLOW.SUB_WORKFLOW", parameters={"workflow": "child"})], ["t>sub"], recovery="off"
)
ADDING = workflow([node("up", "ACTION.SET", parameters={"values": {"n": 1}})], ["t>up"])
ASKING = workflow([http("ask", max_retries=0)], ["t>ask"], recovery="off")


async def kept(*plays: Play, cut: Sequence[str] = (), wakes: bool = True) -> MemoryStore:
    """Return a store with the journals of executions; of those in `cut` the end is lost."""
    store = MemoryStore("engine")
    (claim,) = await store.claim([SHARD], "test")
    commit = ShardCommit(SHARD, claim.epoch, claim.next_seq, 1)
    versions: set[str] = set()
    for each in plays:
        events = list(zip(each.events, each.times, strict=True))
        if each.execution_id in cut:
            assert any(isinstance(event, ExecutionCompleted) for event, _ in events)
            events = events[: [type(event) for event, _ in events].index(ExecutionCompleted)]
        for version, (event, at) in enumerate(events, 1):
            commit.rows.append(
                JournalRow(
                    SHARD, claim.next_seq + len(commit.rows), each.execution_id, version, "tenant",
                    NAMES[type(event)], codec.encode_body(event).decode(),
                    codec.encode_meta(codec.Meta(cause=f"c{version}")), at,
                )
            )  # fmt: skip
        if wakes:
            commit.wakes[each.execution_id] = decider.wake_at(each.state)
        state = each.state
        key = {"execution_id": each.execution_id, "tenant_id": "tenant"}
        ended_ms = int(each.times[-1].timestamp() * 1000) if state.status in ENDED else None
        row = {"status": state.status, "end_time": ended_ms}
        commit.upserts.append(Upsert("workflow_executions", key, row))
        if state.workflow_id not in versions:
            versions.add(state.workflow_id)
            key = {"workflow_id": state.workflow_id, "version": 1, "tenant_id": "tenant"}
            found = {"definition": each.definition, "sha256": sha256_of_json(each.definition)}
            commit.upserts.append(Upsert("workflow_versions", key, found))
    await store.commit([commit])
    return store


async def found(store: MemoryStore, after_s: float = 86_400) -> list[tuple[str, str]]:
    """Return what is told of ends, `after_s` seconds after everything began."""
    now = BEGAN + timedelta(seconds=after_s)
    told = await journal.streams(service, MemoryArchive(store), now)
    assert {each.promise for each in told.violations} <= {"I2"}
    return [(each.where, each.found) for each in told.violations]


def of_all_kinds() -> tuple[Play, Play, Play]:
    """Return a parent, its child, and an execution that a clock started, all of them ended."""
    made = Family({"parent": CALLING, "child": ADDING})
    made.start("parent", {"n": 1})
    (child,) = made.children
    clock = Play(ADDING, execution_id="0190f3c0-0000-7000-8000-0000000000cc")
    clock.start(mode="TRIGGER", watched_by=f"{WORKFLOW_ID}/cron/t")
    return made.first, child, clock


async def test_what_ended_keeps_the_promise() -> None:
    assert await found(await kept(*of_all_kinds())) == []


async def test_a_child_and_a_clocks_execution_whose_end_is_lost_are_told() -> None:
    plays = of_all_kinds()
    _, child, clock = plays
    for lost in (child, clock):
        ((where, text),) = await found(await kept(*plays, cut=[lost.execution_id]))
        assert where == f"engine stream {lost.execution_id}"
        assert "it waits for nothing that could make it go on" in text


async def test_a_child_that_ended_or_never_began_is_told_of_the_execution_that_waits() -> None:
    made = Family({"parent": CALLING, "child": ADDING}, held=[NoteChildEnd])
    made.start("parent", {"n": 1})
    (child,) = made.children
    assert (made.first.state.status, child.state.status) == ("RUNNING", "SUCCESS")
    assert await found(await kept(made.first, child), after_s=30) == [], "its word is on its way"
    ((where, text),) = await found(await kept(made.first, child))
    assert where == f"engine stream {EXECUTION_ID}"
    named = f"node 'sub' waits for child execution {child.execution_id}, which"
    assert f"{named} has ended with SUCCESS" in text
    ((_, text),) = await found(await kept(made.first))
    assert f"{named} never began" in text


async def test_a_child_that_goes_on_is_waited_for() -> None:
    made = Family({"parent": CALLING, "child": ASKING})
    made.start("parent", {"n": 1})
    assert await found(await kept(made.first, *made.children), after_s=61) == []


async def test_what_ended_a_moment_ago_is_still_written_by_its_owner() -> None:
    plays = of_all_kinds()
    store = await kept(*plays, cut=[plays[2].execution_id])
    assert await found(store, after_s=journal.GRACE_S - 1) == []
    assert len(await found(store, after_s=journal.GRACE_S + 1)) == 1


async def test_an_attempt_is_overdue_only_where_no_wake_is_there() -> None:
    waiting = play(ASKING)
    assert await found(await kept(waiting)) == []
    lost = await kept(waiting, wakes=False)
    assert await found(lost, after_s=61) == [], "the attempt may be under way for longer"
    ((where, text),) = await found(lost)
    assert where == f"engine stream {EXECUTION_ID}"
    assert "its wait for attempt of node 'ask' was over" in text


async def test_a_parked_execution_waits_for_a_person() -> None:
    store = await kept(play(ASKING), wakes=False)
    (claim,) = store.shards()
    commit = ShardCommit(SHARD, claim.epoch, claim.next_seq, 1)
    commit.parked.append(ParkedMessage(EXECUTION_ID, 1, b"{}"))
    await store.commit([commit])
    assert await found(store) == []


async def test_what_went_on_while_the_others_were_read_is_not_told() -> None:
    plays = of_all_kinds()
    cut = [plays[2].execution_id]
    whole, damaged = await kept(*plays), await kept(*plays, cut=cut)

    class Moved(MemoryArchive):
        @property
        def store(self) -> MemoryStore:
            return whole

    told = await journal.streams(service, Moved(damaged), LATER)
    assert told.violations == []


async def test_a_child_whose_start_nobody_has_read_yet_is_not_waited_for_in_vain() -> None:
    made = Family({"parent": CALLING, "child": ADDING}, held=[NoteChildEnd])
    made.start("parent", {"n": 1})
    store = await kept(made.first)
    (claim,) = await store.claim([SHARD], "test")
    place, source = (service.commands_topic, 0), codec.source_of(service.name, SHARD)
    commit = ShardCommit(SHARD, claim.epoch, claim.next_seq, 1)
    commit.sent[place] = codec.number(claim.next_seq - 1, 1)
    await store.commit([commit])
    assert await found(store) == []
    (claim,) = await store.claim([SHARD], "test")
    commit = ShardCommit(SHARD, claim.epoch, claim.next_seq, 1)
    commit.heard[*place, source] = Heard(claim.sent[place])
    await store.commit([commit])
    ((_, text),) = await found(store)
    assert "never began" in text
