"""Rows that wait: made when they are written, gone when a newer one was written in their place."""

from perdure_common.decider import Later, Upsert
from perdure_common.shell.upserts import Upserts, Waiting, row_key

KEY = {"id": "a"}


def waiting(version: int, made: list[int]) -> Upsert:
    def make() -> dict[str, object]:
        made.append(version)
        return {"version": version, "text": f"v{version}"}

    return Upsert("t", KEY, set=Later({"version": version}, make), lazy=True, guard=("version",))


def written(version: int) -> Upsert:
    row = {"version": version, "text": "written"}
    return Upsert("t", KEY, set=row, guard=("version",))


def supersede(rows: Upserts, upsert: Upsert) -> None:
    rows.supersede(row_key(upsert), upsert)


def test_a_row_that_was_written_meanwhile_is_never_made() -> None:
    made: list[int] = []
    rows = Upserts()
    rows.add(waiting(1, made))
    supersede(rows, written(2))
    assert (rows.rows(), made) == ([], [])


def test_a_row_that_is_newer_than_the_one_written_goes_on_waiting() -> None:
    made: list[int] = []
    rows = Upserts()
    rows.add(waiting(3, made))
    supersede(rows, written(2))
    supersede(rows, Upsert("t", {"id": "b"}, set={"version": 9}, guard=("version",)))
    (left,) = rows.rows()
    assert made == []
    assert dict(left.set) == {"version": 3, "text": "v3"}


def test_rows_that_wait_are_merged_as_others_are_and_the_newest_wins() -> None:
    made: list[int] = []
    rows = Upserts()
    rows.extend([waiting(2, made), waiting(1, made)])
    (left,) = rows.rows()
    assert dict(left.set) == {"version": 2, "text": "v2"}


def test_a_row_waits_until_the_second_time_that_rows_are_written() -> None:
    made: list[int] = []
    lazy = Waiting(10)
    lazy.extend([waiting(1, made)], 12)
    assert lazy.due() == ([], 10)
    lazy.written(10)
    rows, seq = lazy.due()
    assert ([dict(row.set)["version"] for row in rows], seq) == ([1], 12)
    lazy.written(12)
    assert lazy.due() == ([], 12)


def test_what_waits_in_either_generation_is_superseded() -> None:
    made: list[int] = []
    lazy = Waiting()
    lazy.extend([waiting(1, made)], 1)
    lazy.written(0)
    lazy.extend([waiting(2, made)], 2)
    lazy.supersede(written(3))
    assert (lazy.all(), made) == (([], 2), [])


def test_an_older_row_goes_before_a_younger_one_of_the_same_key() -> None:
    made: list[int] = []
    lazy = Waiting()
    lazy.extend([waiting(1, made)], 1)
    lazy.written(0)
    lazy.extend([waiting(2, made)], 2)
    rows, seq = lazy.all()
    assert ([dict(row.set)["version"] for row in rows], seq) == ([1, 2], 2)
    lazy.written(seq)
    assert lazy.all() == ([], 2)


def test_rows_appended_while_older_ones_are_written_are_not_forgotten() -> None:
    log = Upsert("logs", {"id": 1}, set={"text": "a"}, new=True, lazy=True)
    lazy = Waiting()
    lazy.extend([log], 1)
    lazy.written(0)
    lazy.extend([Upsert("logs", {"id": 2}, set={"text": "b"}, new=True, lazy=True)], 2)
    assert lazy.due() == ([log], 1)
    lazy.written(1)
    rows, seq = lazy.due()
    assert ([row.key["id"] for row in rows], seq) == ([2], 2)


def test_a_row_that_was_written_by_itself_is_forgotten_and_a_younger_one_is_not() -> None:
    older, younger = waiting(1, []), waiting(2, [])
    log = Upsert("logs", {"id": 1}, set={"text": "a"}, new=True, lazy=True)
    lazy = Waiting()
    lazy.extend([older, log], 1)
    lazy.written(0)
    lazy.extend([younger], 2)
    for row in (older, log, younger):
        lazy.remove(row)
        lazy.remove(row)
    assert lazy.all() == ([], 2)
    lazy = Waiting()
    lazy.extend([older], 1)
    lazy.written(0)
    lazy.extend([younger], 2)
    lazy.remove(older)
    assert lazy.all() == ([younger], 2)
