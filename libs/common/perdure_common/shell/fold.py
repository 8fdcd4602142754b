"""A batch: commands become rows, marks and messages, in memory, one stream after another.

The batch collects what will be written (`commits`) and what leaves after the commit
(`sending`). Streams are changed in memory at once; a batch that is not written must be
followed by `forget`, which drops every stream that it touched.
"""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from perdure_contracts.message import NAMES
from perdure_contracts.shell import CommandRejected, DeadLettered

from perdure_common import fault
from perdure_common.decider import Decider, Due, Facts, Outgoing, Recorded, Rejected
from perdure_common.scrub import scrub_text
from perdure_common.service import Service
from perdure_common.shell import codec
from perdure_common.shell.deliveries import settled
from perdure_common.shell.effects import (
    destination,
    effects_of,
    events_partition,
    outbound_of,
    payloads_of,
)
from perdure_common.shell.intake import Link, Registry, Taken, hearing
from perdure_common.shell.part import (
    Counts,
    FactKey,
    NeedsFacts,
    Part,
    Poisoned,
    Seers,
    fact_key,
)
from perdure_common.shell.payloads import PAYLOAD_BYTES_MIN, lighten
from perdure_common.shell.ports import (
    Delivery,
    Headers,
    JournalRow,
    Record,
    ShardCommit,
    TopicPartition,
)
from perdure_common.shell.shard import Held, Sending, Shard

log = structlog.get_logger(__name__)

IDLE_WAKE = timedelta(seconds=1)
"""The least time until a wake that changed nothing fires again."""

KEPT_BYTES_MAX = 1_200_000
"""The largest record that a dead letter keeps whole: base64 makes 1.6 MB of it. A larger one
(a compressed batch may hold one) stays in its topic as long as that keeps it."""


def _kept(record: Record, reason: str) -> tuple[str, bytes, bytes | None, Headers]:
    """Return the reason, value, key and headers for a dead letter, cut to what can be sent."""
    value, key, headers = record.value, record.key, record.headers
    size = len(value) + len(key or b"") + sum(len(n) + len(raw) for n, raw in headers)
    if size <= KEPT_BYTES_MAX:
        return reason, value, key, headers
    reason = f"{reason}; of its {size:,} bytes only the first of its value are kept here"
    return reason, value[: KEPT_BYTES_MAX // 2], None, ()


def _trace_of(taken: Taken, held: Held) -> codec.Trace:
    """Return the trace that what a command leads to is part of; see `Decider`."""
    envelope = taken.envelope
    if held.decider is not None and held.decider.one_trace:
        return held.trace
    if envelope is None or envelope.traceparent is None:
        return codec.NO_TRACE
    return codec.trace_of(envelope.traceparent, envelope.tracestate)


def _decide(
    decider: Decider[Any, Any, Any],
    state: Any,
    command: object,
    facts: Facts,
    now: datetime,
    happen: Callable[[Any], Any],
) -> Rejected | None:
    """Let what the core decides happen, event by event; return its refusal, if it is one."""
    if decider.act is not None:
        return decider.act(state, command, facts, now, happen)
    decided = decider.decide(state, command, facts, now)
    if isinstance(decided, Rejected):
        return decided
    for event in decided:
        happen(event)
    return None


class Batch:
    """One batch over the shards of a lane."""

    def __init__(
        self,
        registry: Registry,
        *,
        tenant_id: str,
        partitions: int,
        clock_now: datetime,
        seers: Seers,
    ) -> None:
        self._registry = registry
        self._tenant_id = tenant_id
        self._service: Service = registry.service
        self._partitions = partitions
        self._clock_now = clock_now
        self._seers = seers
        self.parts: dict[str, Part] = {}
        self.counts = Counts()
        self.facts: MutableMapping[FactKey, Sequence[Mapping[str, Any]]] = {}
        self.delivered: dict[tuple[str, str, str], str] = {}
        self.came_again: list[tuple[Taken, str]] = []
        self._again = False
        self._trace = codec.NO_TRACE
        self._meta: tuple[str, int, codec.Trace, str] | None = None

    def part(self, shard: Shard) -> Part:
        """Return the batch's part for a shard, begun when it is first asked for.

        The instant of a shard's batch never precedes what its journal has already.
        """
        part = self.parts.get(shard.id)
        if part is None:
            commit = ShardCommit(shard.id, shard.epoch, shard.next_seq, shard.format)
            place = (self._service.events_topic, events_partition(shard.id, self._partitions))
            part = Part(shard, commit, max(self._clock_now, shard.recorded_at), place)
            self.parts[shard.id] = part
        return part

    def forget(self) -> None:
        """Drop every stream that the batch touched: it was not written."""
        for part in self.parts.values():
            part.shard.weight += part.weight
            part.shard.forget(part.touched)

    # Taking ------------------------------------------------------------------------

    def consume(self, part: Part, record: Record) -> None:
        """Move the mark of what was read behind the record."""
        place = (record.topic, record.partition)
        part.commit.consumed[place] = record.offset + 1

    def hears(self, part: Part, taken: Taken) -> bool:
        """Return whether a numbered message is to be taken, and remember how far we heard."""
        link = taken.link
        if link is None:
            return True
        key = (taken.record.topic, taken.record.partition, link.source)
        mine = part.commit.heard.get(key)
        if mine is not None and not mine.gap and link.prev <= mine.seq < link.number:
            mine.seq = link.number  # by far the most frequent case, without a new object
            return True
        known = mine or part.shard.heard.get(key)
        take, heard = hearing(known, link)
        if heard != known:
            part.commit.heard[key] = heard
        if not take:
            if link.number > heard.seq:
                self.counts.gaps += 1
            else:
                self.counts.duplicates += 1
        return take

    def hears_tail(self, part: Part, taken: Taken) -> None:
        """Note a gap when a source says that it has sent more than was heard."""
        assert taken.tail is not None and taken.envelope is not None
        key = (taken.record.topic, taken.record.partition, taken.envelope.source)
        known = part.commit.heard.get(key) or part.shard.heard.get(key)
        link = Link(taken.envelope.source, taken.tail.last + 1, taken.tail.last)
        _, heard = hearing(known, link)
        if (known.seq if known else 0) < taken.tail.last:
            heard.gap = max(known.gap if known else 0, taken.tail.last)
            part.commit.heard[key] = heard

    def repeated(self, taken: Taken) -> bool:
        """Return whether an outsider's message was delivered before."""
        key = taken.outsider
        if key is None:
            return False
        kept = self.delivered.get(key)
        if kept is None:
            return False
        self.counts.duplicates += 1
        self.came_again.append((taken, kept))
        return True

    # Folding -----------------------------------------------------------------------

    def apply(self, part: Part, taken: Taken, held: Held) -> None:
        """Let the core decide on a command and record what it says.

        Raises:
            NeedsFacts: Rows must be looked up first; nothing was changed.
            Poisoned: The core failed; the batch must be dropped and go without the item.
        """
        try:
            if held.broken is not None:
                raise held.broken
            fault.point("while_deciding")
            self._trace = _trace_of(taken, held)
            self._apply(part, taken, held)
            self._trace = codec.NO_TRACE
        except NeedsFacts:
            raise
        except Exception as error:
            part.touched.add(taken.stream)
            raise Poisoned(taken, error) from error

    def _apply(self, part: Part, taken: Taken, held: Held) -> None:
        decider = held.decider or taken.decider
        assert decider is not None
        command = taken.command
        if held.decider is None or not held.tenant_id:
            held.tenant_id = taken.envelope.tenant_id if taken.envelope else self._tenant_id
        new = held.decider is None
        if new:  # what it is at first: another decider may have refused before
            held.state = decider.initial
        if taken.decider is not decider:
            text = (
                f"{taken.stream!r} is the stream of a {decider.name}, which takes nothing of that"
            )
            self.refuse(part, taken, held, Rejected(text, "other_stream"))
            return
        facts = self._facts(decider, held, command)
        cause = taken.envelope.id if taken.envelope is not None else f"wake/{taken.stream}"
        self._again = held.cause == cause and taken.envelope is not None
        part.touched.add(taken.stream)
        decided: list[Any] = []

        def happen(event: Any) -> Any:
            decided.append(event)
            self.record(part, taken.stream, held, event, cause)
            return held.state

        refused = _decide(decider, held.state, command, facts, part.now, happen)
        self.counts.commands += 1
        if refused is not None:
            self.refuse(part, taken, held, refused)
            return
        if new and decided and decider.one_trace:
            held.trace = self._trace
        held.decider = decider
        if decided:
            held.cause = cause
        self._wake(part, taken.stream, held)
        nothing = not decided and taken.record.topic in self._service.foreign
        if taken.outsider is not None and not nothing:  # what matched nothing may match later
            fields = {
                "stream": taken.stream,
                "version": held.version,
                "events": [NAMES[type(event)] for event in decided],
            }
            self.deliver(part, taken, fields)

    def _facts(self, decider: Decider[Any, Any, Any], held: Held, command: object) -> Facts:
        lookups = decider.facts(held.state, command)
        if not lookups:
            return {}
        keys = {name: fact_key(held.tenant_id, lookup) for name, lookup in lookups.items()}
        missing = {n: lookups[n] for n, key in keys.items() if key not in self.facts}
        if missing:
            raise NeedsFacts(missing)
        return {name: self.facts[key] for name, key in keys.items()}

    def deliver(self, part: Part, taken: Taken, fields: Mapping[str, object]) -> None:
        """Remember an outsider's message and what became of it."""
        outsider = taken.outsider
        assert outsider is not None
        tenant_id, source, message_id = outsider
        text = settled(fields, taken.record)
        part.commit.deliveries.append(Delivery(tenant_id, source, message_id, text))
        self.delivered[outsider] = text  # in every shard of the batch

    def record(self, part: Part, stream: str, held: Held, event: Any, cause: str) -> None:
        """Write one event down: its row, its state, its rows of tables, its messages."""
        commit = part.commit
        version = held.version = held.version + 1
        tenant_id = held.tenant_id = held.tenant_id or self._tenant_id
        name = NAMES[type(event)]
        body = codec.encode_body(event)
        size = len(body)
        held.weight += size
        part.weight += size
        recorded = Recorded(event, tenant_id, stream, version, part.now)
        messages, upserts, published = effects_of(self._registry, held, recorded)
        for upsert in upserts:
            (part.lazy if upsert.lazy else commit.upserts).append(upsert)
        self.counts.events += 1
        if type(event) in self._seers:
            part.seen.append(event)
        seq = commit.next_seq + len(commit.rows)
        if not (published or messages or self._again or size > PAYLOAD_BYTES_MIN):
            meta = self._silent(cause, commit.epoch)
            commit.rows.append(
                JournalRow(
                    commit.shard, seq, stream, version, tenant_id, name, body.decode(), meta,
                    part.now,
                )
            )  # fmt: skip
            return
        places = self._places(part, name, messages, published)
        meta = self._number(part, seq, places, messages, published, cause)
        if size > PAYLOAD_BYTES_MIN:
            body, meta.payloads, texts = lighten(self._service.heavy, event, body)
            commit.payloads.extend(payloads_of(tenant_id, stream, meta.payloads, texts))
        row = JournalRow(
            commit.shard, seq, stream, version, tenant_id, name, body.decode(),
            codec.encode_meta(meta), part.now,
        )  # fmt: skip
        commit.rows.append(row)
        if places:
            records = outbound_of(
                self._service, row, meta, published, messages, body, places, commit.payloads
            )
            part.sending.extend([Sending(seq, record) for record in records])

    def _silent(self, cause: str, epoch: int) -> str:
        """Return the meta of an event of which nothing leaves: those of a command share it."""
        known, trace = self._meta, self._trace
        if known is None or known[0] != cause or known[1] != epoch or known[2] != trace:
            meta = codec.Meta(cause, 1, (), trace[0], trace[1], epoch=epoch)
            known = self._meta = (cause, epoch, trace, codec.encode_meta(meta))
        return known[3]

    def _places(
        self, part: Part, name: str, messages: Sequence[Outgoing], published: bool
    ) -> list[TopicPartition]:
        """Return where what leaves because of an event goes, the event itself first."""
        places = [part.events] if published else []
        if messages:
            places += [destination(m, self._partitions) for m in messages]
            if len(places) + (not published) > codec.FAN_OUT_MAX:
                raise codec.TooLarge(f"{name} would send {len(places):,} messages at once")
        return places

    def _number(
        self,
        part: Part,
        seq: int,
        places: Sequence[TopicPartition],
        messages: Sequence[Outgoing],
        published: bool,
        cause: str,
    ) -> codec.Meta:
        """Number what leaves because of an event, and return the numbers before."""
        sent, before = part.commit.sent, part.shard.sent
        first = 0 if published else 1
        prev: list[int] = []
        for k, place in enumerate(places, first):
            message = messages[k - 1] if k else None
            if message is not None and message.raw is not None:
                prev.append(0)  # a foreign record has no number to chain to
                continue
            last = sent.get(place)
            prev.append(before.get(place, 0) if last is None else last)
            sent[place] = codec.number(seq, k)
        again, self._again = self._again, False
        (parent, state), epoch = self._trace, part.commit.epoch
        return codec.Meta(cause, first, tuple(prev), parent, state, epoch=epoch, again=again)

    def _wake(self, part: Part, stream: str, held: Held) -> None:
        """Write the stream's next instant down if it comes earlier than the one that stands.

        Later ones are left alone: the wake that fires too early finds the right one.
        """
        assert held.decider is not None
        at = held.decider.wake_at(held.state)
        stands = part.commit.wakes.get(stream, part.shard.wakes.get(stream))
        if at is None:
            if stands is not None:
                part.commit.wakes[stream] = None
        elif stands is None or at < stands:
            part.commit.wakes[stream] = at

    def wake(self, part: Part, taken: Taken, held: Held) -> None:
        """Fire a stream's wake if it is due, otherwise write down when it is."""
        assert held.decider is not None
        stream = taken.stream
        at = held.decider.wake_at(held.state)
        if at is None or at > part.now:
            part.commit.wakes[stream] = at
            return
        part.commit.wakes[stream] = None
        taken.command, taken.decider = Due(stream), held.decider
        version = held.version
        self.apply(part, taken, held)
        again = part.commit.wakes.get(stream)
        if held.version == version and again is not None and again <= part.now:
            # It changed nothing, and would at once be due again: not faster than once a second.
            part.commit.wakes[stream] = part.now + IDLE_WAKE
            log.warning("wake_changed_nothing", stream=stream, decider=held.decider.name)

    # Refusing and burying ------------------------------------------------------------

    def refuse(self, part: Part, taken: Taken, held: Held, rejected: Rejected) -> None:
        """Journal a refusal on the command's stream, and answer it."""
        self.counts.rejected += 1
        part.touched.add(taken.stream)
        if rejected.dead_letter and taken.envelope is not None:
            self.bury(part, taken, rejected)
        elif taken.envelope is not None:
            event = CommandRejected(
                command_id=taken.envelope.id,
                command=NAMES[type(taken.command)],
                code=rejected.code,
                reason=scrub_text(rejected.reason),
            )
            self.record(part, taken.stream, held, event, taken.envelope.id)
        if taken.outsider is not None:
            refusal = {"code": rejected.code, "reason": scrub_text(rejected.reason)}
            self.deliver(part, taken, {"stream": taken.stream, "rejected": refusal})

    def bury(self, part: Part, taken: Taken, rejected: Rejected, stream: str = "") -> None:
        """Keep a record as a dead letter; its neighbours go on."""
        self.counts.dead_letters += 1
        record = taken.record
        reason, value, key, headers = _kept(record, scrub_text(rejected.reason))
        event = DeadLettered(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            code=rejected.code,
            reason=reason,
            value=value,
            key=key,
            headers=headers,
            stream=stream,
            received_ms=record.timestamp_ms,
        )
        # A stream for each: wakes have no offset, and offsets come again in a topic made anew.
        place = f"dead-letter/{part.commit.shard}/{part.commit.next_seq + len(part.commit.rows)}"
        envelope, mine = taken.envelope, taken.tenant_id or self._tenant_id
        held = Held(None, None, 0, envelope.tenant_id if envelope else mine)
        self._trace = _trace_of(taken, held)
        self.record(part, place, held, event, envelope.id if envelope else "")
        self._trace = codec.NO_TRACE
