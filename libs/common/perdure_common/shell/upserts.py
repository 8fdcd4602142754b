"""Rows that are to be written: merged row by row, and kept for a while when they are lazy."""

from collections.abc import Iterable

from perdure_common.decider import Upsert

RowKey = tuple[object, ...]


def row_key(upsert: Upsert) -> RowKey:
    """Return what makes an upsert's row one row: its table, and the values of its key.

    All upserts of a table name their rows by the same columns, in the same order.
    """
    return (upsert.table, *upsert.key.values())


def merged(first: Upsert, then: Upsert) -> Upsert:
    """Return the one upsert that does what two for the same row do one after the other."""
    if then.guard and any(c in first.set for c in then.guard):
        was = tuple(first.set.get(c) for c in then.guard)
        comes = tuple(then.set.get(c) for c in then.guard)
        if None not in was and comes < was:  # type: ignore[operator]
            then, first = first, then
    if then.lazy == first.lazy and then.kind == first.kind and then.kind and not then.add:
        return then  # all of its columns are set anew
    added = dict(first.add)
    for column, amount in then.add.items():
        added[column] = added.get(column, 0) + amount
    return Upsert(
        table=then.table,
        key=then.key,
        set={**first.set, **then.set},
        add=added,
        new=first.new,
        lazy=first.lazy and then.lazy,
        guard=then.guard or first.guard,
    )


class Upserts:
    """Upserts merged row by row, in the order in which they came."""

    def __init__(self) -> None:
        self._rows: dict[RowKey, Upsert] = {}
        self._appended: list[Upsert] = []

    def add(self, upsert: Upsert) -> None:
        """Merge one more upsert in."""
        if upsert.new and upsert.lazy:
            self._appended.append(upsert)
            return
        key = row_key(upsert)
        known = self._rows.get(key)
        self._rows[key] = upsert if known is None else merged(known, upsert)

    def extend(self, upserts: Iterable[Upsert]) -> None:
        """Merge more upserts in, oldest first."""
        for upsert in upserts:
            self.add(upsert)

    def remove(self, upsert: Upsert) -> None:
        """Forget a row's upsert, if it is here."""
        if upsert.new and upsert.lazy:
            self._appended = [each for each in self._appended if each is not upsert]
            return
        key = row_key(upsert)
        if self._rows.get(key) is upsert:
            del self._rows[key]

    def supersede(self, key: RowKey, upsert: Upsert) -> None:
        """Forget what waits for a row that was written with all its columns, unless it is newer."""
        known = self._rows.get(key)
        if known is not None and known.guard == upsert.guard:
            waits = tuple(known.set[column] for column in known.guard)
            if waits <= tuple(upsert.set[column] for column in upsert.guard):  # type: ignore[operator]
                del self._rows[key]

    def rows(self) -> list[Upsert]:
        """Return one upsert for each row."""
        return [*self._rows.values(), *self._appended]

    def __len__(self) -> int:
        return len(self._rows) + len(self._appended)


class Waiting:
    """The lazy rows of a shard, in two generations; `seq` is the last number that led to one.

    Rows of runs that are under way are written when they have waited for a second or two. Most
    are over by then: the row of their end supersedes what waited, and it is never written.
    """

    def __init__(self, seq: int = 0) -> None:
        self.seq = seq
        self._older, self._older_seq = Upserts(), seq
        self._younger = Upserts()

    def extend(self, upserts: Iterable[Upsert], seq: int) -> None:
        """Let more rows wait, oldest first, of events up to a number."""
        self._younger.extend(upserts)
        self.seq = seq

    def supersede(self, upsert: Upsert) -> None:
        """Forget what waits for a row that was written with all its columns, unless it is newer."""
        if upsert.guard and (self._younger or self._older):
            key = row_key(upsert)
            self._younger.supersede(key, upsert)
            self._older.supersede(key, upsert)

    def due(self) -> tuple[list[Upsert], int]:
        """Return the older rows, and the number up to which all rows are written with them."""
        return self._older.rows(), self._older_seq

    def all(self) -> tuple[list[Upsert], int]:
        """Return all rows, the older ones first, and the last number that led to one."""
        return [*self._older.rows(), *self._younger.rows()], self.seq

    def written(self, seq: int) -> None:
        """Forget the rows that were written up to a number; what is left is older from now on."""
        left = self._younger if seq < self.seq else Upserts()
        self._older, self._older_seq = left, self.seq
        self._younger = Upserts()

    def remove(self, upsert: Upsert) -> None:
        """Forget a row that was written by itself, or refused."""
        for rows in (self._older, self._younger):
            rows.remove(upsert)
