"""What is counted in tables for Prometheus: every status that a row can have."""

import re
from pathlib import Path

from perdure_recovery.api import ROWS

SCHEMA = Path(__file__).parents[3] / "migrations/recovery/schema.sql"


def statuses_of(table: str) -> set[str]:
    """Return the statuses that the database allows in a table."""
    described = SCHEMA.read_text("utf-8").split(f"\nTABLE {table}\n")[1].split("\n\n")[0]
    found = re.search(r"CONSTRAINT valid_status CHECK .*ARRAY\[(.*)\]", described)
    assert found is not None
    return set(re.findall(r"'(\w+)'::text", found[1]))


def test_attempts_are_counted_in_every_status_that_they_can_have() -> None:
    (counted,) = (row for row in ROWS if row.table == "recovery_attempts")
    assert len(counted.values) == len(set(counted.values))
    assert {"parked", "waiting_approval", "running", "expired"} < set(counted.values)
    assert set(counted.values) == statuses_of("recovery_attempts")
