"""What a process tells about itself: metrics read off a running owner, and log lines."""

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from perdure_common.ids import partition_of
from perdure_common.observe import Metrics, configure_logging, positions, unsent_s
from perdure_common.shell.codec import instant
from perdure_common.shell.ports import Outbound
from perdure_common.shell.shard import Sending
from prometheus_client.parser import text_string_to_metric_families
from tally import LEDGER, TALLY, Add, in_memory

BOUND_LABELS = {"service", "topic", "shard", "status", "generation"}


async def figures(metrics: Metrics) -> dict[str, float]:
    """Return every sample by name, of topics and shards by `name topic`."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families((await metrics.text()).decode()):
        for sample in family.samples:
            of = sample.labels.get("topic") or sample.labels.get("shard", "")
            found[f"{sample.name} {of}".strip()] = sample.value
            assert set(sample.labels) <= BOUND_LABELS, "a label without bounds"
    return found


async def test_what_the_shell_has_done_is_read_off_it() -> None:
    stage = in_memory().stage()
    async with stage.running(TALLY) as owner, stage.running(LEDGER):
        metrics = Metrics("tally", owner=owner, bounds=owner.bus.bounds)
        await stage.ask(Add(account="a", amount=0), id="refused")
        await stage.ask(Add(account="a", amount=5), id="1")
        await stage.ask(Add(account="a", amount=5), id="1")
        await stage.ask(Add(account="a", amount=7), id="2")
        await stage.until("ledger", "entries", 2)

        async def acknowledged() -> bool:
            return owner.publisher.unsent() == 0 and bool(owner.lanes)

        await stage.eventually(acknowledged)
        found = await figures(metrics)
    assert found["perdure_batch_commands_total"] == 3
    assert found["perdure_batch_events_total"] == 3, "a refusal is an event too"
    assert found["perdure_rejected_total"] == 1
    assert found["perdure_duplicates_total"] == 1
    assert found["perdure_commit_seconds_count"] == found["perdure_batches_total"] >= 1
    assert found["perdure_published_total"] == 5
    assert found["perdure_shards_owned"] == 2
    assert found["perdure_unpublished"] == 0
    assert found["perdure_oldest_unsent_seconds"] == 0
    assert found["perdure_consumer_lag perdure.tally.commands.v1"] == 0


async def test_a_parked_stream_and_its_dead_letter_are_counted() -> None:
    stage = in_memory().stage()
    async with stage.running(TALLY) as owner:
        await stage.ask(Add(account="bad", amount=13), id="1")

        async def parked() -> bool:
            return any(shard.parked for shard in owner.shards.values())

        await stage.eventually(parked)
        found = await figures(Metrics("tally", owner=owner))
    assert found["perdure_parked_streams"] == 1
    assert found["perdure_dead_letters_total"] == 1
    assert found["perdure_poisoned_total"] >= 1


async def test_what_nobody_has_consumed_yet_is_lag() -> None:
    stage = in_memory().stage()
    async with stage.running(TALLY) as owner:
        await stage.ask(Add(account="a", amount=1), id="1")
        await stage.until("tally", "tallies", 1)
        for shard in owner.shards.values():
            for place in shard.consumed:
                shard.consumed[place] = 0
        found = await figures(Metrics("tally", owner=owner, bounds=owner.bus.bounds))
    assert found["perdure_consumer_lag perdure.tally.commands.v1"] == 1
    at = partition_of("a", 2)
    assert (found[f"perdure_shard_lag {at}"], found[f"perdure_shard_lag {1 - at}"]) == (1, 0)


async def test_when_kafka_does_not_answer_the_other_metrics_are_there() -> None:
    memory = in_memory()
    stage = memory.stage()
    async with stage.running(TALLY) as owner:
        metrics = Metrics("tally", owner=owner, bounds=owner.bus.bounds)
        await figures(metrics)
        memory.broker.reachable = False
        found = await figures(metrics)
        memory.broker.reachable = True
    assert "perdure_shards_owned" in found
    assert not any(name.startswith("perdure_consumer_lag") for name in found)


async def test_the_age_of_the_oldest_unsent_message_is_known() -> None:
    stage = in_memory().stage()
    async with stage.running(TALLY) as owner:
        await stage.ask(Add(account="a", amount=1), id="1")
        await stage.until("tally", "tallies", 1)
        shard = next(iter(owner.shards.values()))
        written = datetime(2026, 1, 1, tzinfo=UTC)
        headers = (("ce_time", instant(written).encode()),)
        shard.unsent.append(Sending(1, Outbound("t", 0, b"", None, headers)))
        assert unsent_s(shard, written + timedelta(seconds=90)) == 90
        assert unsent_s(shard, written - timedelta(seconds=1)) == 0
        shard.unsent.clear()
        places = positions(owner)
    assert set(places) == {("perdure.tally.commands.v1", 0), ("perdure.tally.commands.v1", 1)}


async def test_a_process_without_shards_still_has_metrics() -> None:
    found = await figures(Metrics("runner"))
    assert "process_resident_memory_bytes" in found


@pytest.fixture
def log_settings() -> Iterator[None]:
    """Give back how logging was set, whatever the test does."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("log_settings")
def test_a_log_line_is_one_json_object_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("engine")
    structlog.get_logger("perdure.test").warning(
        "sent", url="postgresql://me:hunter2@db/x", count=3
    )
    logging.getLogger("library").error("it said %s", "no")
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger("perdure.test").exception("failed")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["sent", "it said no", "failed"]
    assert all(line["process"] == "engine" for line in lines)
    assert [line["logger"] for line in lines] == ["perdure.test", "library", "perdure.test"]
    assert [line["level"] for line in lines] == ["warning", "error", "error"]
    assert lines[0]["count"] == 3
    assert "hunter2" not in lines[0]["url"]
    assert "ValueError: broken" in lines[2]["exception"]


@pytest.mark.usefixtures("log_settings")
def test_people_get_lines_to_read_and_only_what_matters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("engine", format="console", level="WARNING")
    structlog.get_logger("perdure.test").info("quiet")
    structlog.get_logger("perdure.test").warning("loud", shard=3)
    text = capsys.readouterr().err
    assert "quiet" not in text
    assert "loud" in text and "shard=3" in text
