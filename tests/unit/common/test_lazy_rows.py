"""Rows that wait: made when they are written, gone when a newer one was written in their place."""

from perdure_common.decider import Later, Upsert
from perdure_common.shell.shard import Upserts

KEY = {"id": "a"}


def waiting(version: int, made: list[int]) -> Upsert:
    def make() -> dict[str, object]:
        made.append(version)
        return {"version": version, "text": f"v{version}"}

    return Upsert("t", KEY, set=Later({"version": version}, make), lazy=True, guard=("version",))


def written(version: int) -> Upsert:
    row = {"version": version, "text": "written"}
    return Upsert("t", KEY, set=row, guard=("version",))


def test_a_row_that_was_written_meanwhile_is_never_made() -> None:
    made: list[int] = []
    rows = Upserts()
    rows.add(waiting(1, made))
    rows.supersede(written(2))
    assert (rows.rows(), made) == ([], [])


def test_a_row_that_is_newer_than_the_one_written_goes_on_waiting() -> None:
    made: list[int] = []
    rows = Upserts()
    rows.add(waiting(3, made))
    rows.supersede(written(2))
    rows.supersede(Upsert("t", {"id": "b"}, set={"version": 9}, guard=("version",)))
    (left,) = rows.rows()
    assert made == []
    assert dict(left.set) == {"version": 3, "text": "v3"}


def test_rows_that_wait_are_merged_as_others_are_and_the_newest_wins() -> None:
    made: list[int] = []
    rows = Upserts()
    rows.extend([waiting(2, made), waiting(1, made)])
    (left,) = rows.rows()
    assert dict(left.set) == {"version": 2, "text": "v2"}
