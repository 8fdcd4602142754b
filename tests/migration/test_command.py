"""`perdure migrate` on servers of somebody's own: schema and topics, once."""

from pathlib import Path

from command_line import perdure
from perdure_common import migrate
from perdure_common.embedded import Addresses
from perdure_contracts.topology import TOPICS, physical


def test_migrate_makes_schema_and_topics_and_then_has_nothing_to_do(
    database: str, topic_prefix: str, servers: Addresses, tmp_path: Path
) -> None:
    env = {
        "PERDURE_HOME": str(tmp_path),
        "PERDURE_DATABASE_URL": database,
        "PERDURE_KAFKA_BOOTSTRAP": servers.kafka_bootstrap,
        "PERDURE_TOPIC_PREFIX": topic_prefix,
        "PERDURE_PARTITIONS": "2",
    }
    said = perdure("migrate", "--json", env=env)
    assert said.code == 0, said.err
    assert set(said.json["topics"]) == {physical(topic.name, topic_prefix) for topic in TOPICS}
    assert all(said.json[service] for service in migrate.services())
    again = perdure("migrate", env=env)
    assert (again.code, again.out) == (0, "the schema is up to date, and every topic is there\n")
    wrong = perdure("migrate", env=env | {"PERDURE_PARTITIONS": "3"})
    assert wrong.code == 1
    assert "must all have 3 partitions" in wrong.err
