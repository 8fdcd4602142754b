"""Checks that what was read was applied, had before, or is a dead letter (I10).

Each topic is walked up to the mark of its reader. What a record had to lead to follows from
the record alone: a numbered one is behind what was heard of its source, an outsider's has a
delivery, an answer and a first message of a stream stand in the journal, and what cannot be
read is a dead letter.
"""

from collections.abc import Mapping, Sequence

from perdure_common.service import Service
from perdure_common.shell import codec
from perdure_common.shell.intake import Intake, NewerType, Registry, Taken
from perdure_common.shell.ports import Record, TopicPartition
from perdure_common.verify.archive import Archive, Marks, Purged, Topics
from perdure_common.verify.finding import Findings
from perdure_common.verify.traces import Traces


async def consumed(
    service: Service,
    archive: Archive,
    topics: Topics,
    marks: Sequence[Marks],
    *,
    tenant_id: str,
    partitions: int,
) -> Findings:
    """Check every place that the service reads, up to its mark."""
    found, registry = Findings(), Registry(service)
    purged = await archive.purged()
    intake = Intake(registry, tenant_id=tenant_id, partitions=partitions)
    for mark in marks:
        look = _Look(service, archive, mark, found, purged.get(mark.shard))
        for place, offset in sorted(mark.consumed.items()):
            begin, end = await topics.bounds(place)
            if begin > offset:
                text = f"read up to {offset}, but the topic begins at {begin}"
                found.add("I10", look.at(place), text, "what was in between is lost; raise "
                          "the topic's retention")  # fmt: skip
            async for page in topics.records(place, begin, min(offset, end)):
                await look.see(place, [_taken(intake, record) for record in page])
    return found


def _taken(intake: Intake, record: Record) -> Taken:
    try:
        return intake.take(record)
    except NewerType as error:
        return Taken(record, passed_over=str(error))


class _Look:
    """What one shard has read."""

    def __init__(
        self,
        service: Service,
        archive: Archive,
        mark: Marks,
        found: Findings,
        purged: Purged | None,
    ) -> None:
        self._service = service
        self._archive = archive
        self._mark = mark
        self._traces = Traces(archive, mark.shard)
        self._found = found
        self._purged_ms = -1.0 if purged is None else purged.before.timestamp() * 1000

    def at(self, place: TopicPartition) -> str:
        """Return where a finding is."""
        return f"{self._service.name} shard {self._mark.shard}, {place[0]}/{place[1]}"

    async def see(self, place: TopicPartition, page: Sequence[Taken]) -> None:
        """Look at some records of a place."""
        self._found.checked["records"] += len(page)
        outsiders = [t.outsider for t in page if t.outsider is not None]
        answers = await self._archive.store.deliveries(outsiders)
        lost: dict[int, str] = {}
        doubtful: dict[int, str] = {}  # unless they are dead letters
        traced: list[Taken] = []
        for taken in page:
            text = self._lost(place, taken, answers)
            if text is not None:
                known = doubtful if taken.bad is not None and taken.link is None else lost
                known[taken.record.offset] = text
            elif self._leaves_trace(taken):
                traced.append(taken)
        doubtful.update(await self._untraced(traced))
        buried = await self._traces.buried(place, doubtful)
        lost.update((offset, text) for offset, text in doubtful.items() if offset not in buried)
        for offset, text in sorted(lost.items()):
            self._found.add("I10", self.at(place), f"offset {offset} was read, but {text}")

    def _lost(
        self, place: TopicPartition, taken: Taken, answers: Mapping[tuple[str, str, str], str]
    ) -> str | None:
        """Return what is missing of a record, None if nothing is as far as marks tell."""
        if taken.passed_over or taken.tail or taken.resend or taken.unpark:
            return None
        link = taken.link
        if link is not None:
            heard = self._mark.heard.get((*place, link.source))
            if heard is not None and link.number <= max(heard.seq, heard.gap):
                return None
            known = heard.seq if heard is not None else 0
            return f"{link.source} is heard up to {known} only, not to {link.number}"
        if taken.bad is not None:
            if taken.record.topic.endswith(codec.DEAD_LETTERS):
                return None
            return f"it is no dead letter although {taken.bad.code}"
        foreign = taken.record.topic in self._service.foreign
        if taken.outsider is not None and taken.outsider not in answers and not foreign:
            return f"there is no delivery of {taken.outsider[2]!r} from {taken.outsider[1]!r}"
        return None

    def _leaves_trace(self, taken: Taken) -> bool:
        """Return whether a record must have left something in the journal of its stream."""
        if taken.command is None or taken.bad is not None or taken.passed_over:
            return False
        if taken.record.timestamp_ms <= self._purged_ms:
            return False  # its stream may be purged
        if isinstance(taken.command, self._service.by_token):
            return not isinstance(taken.command, self._service.news)
        creates = taken.decider.creates if taken.decider is not None else ()
        foreign = taken.record.topic in self._service.foreign
        if taken.link is not None and self._in_gap(taken):
            return False
        return isinstance(taken.command, creates) and not foreign

    def _in_gap(self, taken: Taken) -> bool:
        link, record = taken.link, taken.record
        assert link is not None
        heard = self._mark.heard.get((record.topic, record.partition, link.source))
        return heard is None or link.number > heard.seq

    async def _untraced(self, traced: Sequence[Taken]) -> dict[int, str]:
        """Return what is missing of records in their streams, by offset."""
        wanted: dict[str, set[str]] = {}
        begun: set[str] = set()
        for taken in traced:
            assert taken.envelope is not None
            if isinstance(taken.command, self._service.by_token):
                wanted.setdefault(taken.stream, set()).add(taken.envelope.id)
            else:
                begun.add(taken.stream)
        lacking = await self._traces.lacking(wanted)
        missing = await self._traces.not_begun(begun)
        found: dict[int, str] = {}
        for taken in traced:
            assert taken.envelope is not None
            by_token = isinstance(taken.command, self._service.by_token)
            asked = (taken.stream, taken.envelope.id)
            if asked in lacking if by_token else taken.stream in missing:
                text = f"the journal of {taken.stream} knows nothing of {taken.envelope.id}"
                found[taken.record.offset] = text
        return found
