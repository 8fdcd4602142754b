"""What is generated is what the contracts say, and the same every time."""

import json
from pathlib import Path

import pytest
from perdure_contracts import schemas, topology
from perdure_contracts.message import TYPES


def test_generating_twice_gives_the_same_files() -> None:
    assert schemas.generate() == schemas.generate()


def test_every_message_has_a_schema_with_its_required_fields() -> None:
    files = schemas.generate()
    for name in TYPES:
        owner, _, rest = name.partition(".")
        assert json.loads(files[f"{owner}/{rest}.json"])["title"] == name
    task = json.loads(files["engine/node-task.v1.json"])
    assert "token" in task["required"]
    assert "attempt" not in task["required"]
    letter = json.loads(files["shell/dead-lettered.v1.json"])
    assert letter["properties"]["value"]["contentEncoding"] == "base64"


def test_every_reference_of_the_asyncapi_documents_leads_somewhere() -> None:
    files = schemas.generate()
    for service in topology.SERVICES:
        document = json.loads(files[f"asyncapi/{service}.json"])
        assert document["asyncapi"] == "3.0.0"
        for message in document["components"]["messages"].values():
            reference = message["payload"]["schema"]["$ref"]
            assert reference.removeprefix("../") in files
        for operation in document["operations"].values():
            assert operation["channel"]["$ref"].rpartition("/")[2] in document["channels"]
        for channel in document["channels"].values():
            for name in channel["messages"]:
                assert name in document["components"]["messages"]


def test_check_fails_with_a_diff_until_the_files_are_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert schemas.main(["--check", str(tmp_path)]) == 1
    assert "make schemas" in capsys.readouterr().err
    assert schemas.main([str(tmp_path)]) == 0
    assert schemas.main(["--check", str(tmp_path)]) == 0
    (tmp_path / "topology.json").write_text("{}\n")
    (tmp_path / "engine" / "gone.v1.json").write_text("{}\n")
    assert schemas.main(["--check", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert "schemas/engine/gone.v1.json" in shown
    assert "+++ contracts/topology.json" in shown
    assert schemas.main([str(tmp_path)]) == 0
    assert not (tmp_path / "engine" / "gone.v1.json").exists()


def test_commands_and_events_find_their_topics() -> None:
    assert topology.topic_of("engine.cancel-execution.v1", "engine").endswith("commands.v1")
    assert topology.topic_of("engine.node-failed.v1", "engine").endswith("events.v1")
    assert topology.topic_of("engine.node-task.v1", "engine") == "perdure.engine.tasks.v1"
    with pytest.raises(LookupError, match="neither a command"):
        topology.topic_of("engine.blue-thing.v1", "engine")


def test_internal_topics_have_n_partitions_and_foreign_ones_their_own() -> None:
    own = {topic.name for topic in topology.TOPICS if not topic.internal}
    assert own == {"perdure.triggers.v1"}
    for topic in topology.TOPICS:
        assert topic.dead_letters == (f"{topic.name}.dlt" in topology.BY_NAME)


def test_the_prefix_replaces_the_first_word_of_our_own_names_only() -> None:
    assert topology.physical("perdure.triggers.v1", "acme") == "acme.triggers.v1"
    assert topology.physical("orders.v1", "acme") == "orders.v1"
    assert topology.physical("perdure", "acme") == "perdure"
