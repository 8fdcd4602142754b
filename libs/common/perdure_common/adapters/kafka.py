"""The bus on Kafka, through aiokafka: reading by hand, writing in batches, groups for shards.

Read next: kafka_reader.py, kafka_sender.py, kafka_group.py, one each.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import UnknownTopicOrPartitionError

from perdure_common.adapters.kafka_clients import Client, Names, reaching, settings
from perdure_common.adapters.kafka_group import Membership
from perdure_common.adapters.kafka_members import is_gone, seats
from perdure_common.adapters.kafka_reader import Reader
from perdure_common.adapters.kafka_sender import DELIVERY_S, Sender
from perdure_common.settings import SESSION_S
from perdure_common.shell.ports import Member, OnChange, Outbound, Record, TopicPartition

LOOK_S = 15.0
"""How long a question about topics may take."""


class KafkaBus:
    """The port `Bus` on a Kafka cluster. Make it, and close it, in a running event loop.

    Connections are made when they are first needed. `topic_prefix` replaces the first word
    of topics and groups. `delivery_s` bounds `send`; a member of a group that gives no sign of life
    for `session_s` has left it.
    """

    def __init__(
        self,
        bootstrap: str,
        client_id: str,
        topic_prefix: str = "perdure",
        *,
        delivery_s: float = DELIVERY_S,
        session_s: float = SESSION_S,
    ) -> None:
        self._session_s = session_s
        self._names = Names(topic_prefix)
        self._settings = settings(bootstrap, client_id)
        self._reader = Reader(bootstrap, client_id, self._names, self.bounds)
        self._sender = Sender(bootstrap, client_id, self._names, delivery_s)
        self._members: list[Membership] = []
        self._looker: Client = None
        self._looking = asyncio.Lock()

    @property
    def out_of_range(self) -> int:
        """How many positions lay outside a log and went to its nearer end."""
        return self._reader.out_of_range

    @property
    def unreadable(self) -> int:
        """How many records had bytes that could not be understood."""
        return self._reader.unreadable

    def let_wait(self, busy: Callable[[], bool]) -> None:
        """Ask for more records a little later while `busy` says that none could be taken."""
        self._reader.busy = busy

    async def partitions(self, topic: str) -> int:
        """See `Bus.partitions`.

        Raises:
            LookupError: The topic does not exist; create topics first.
            Unreachable: No broker answers.
        """
        name = self._names.physical(topic)
        async with reaching(f"the partitions of {name} are unknown", LOOK_S):
            looker = await self._look()
            # All topics are asked for: asking by name can create one.
            found = (await looker._client.fetch_all_metadata()).partitions_for_topic(name)
        if not found:
            raise LookupError(f"topic {name} does not exist; create the topics first")
        return len(found)

    async def join(self, group: str, topic: str, assigned: OnChange, revoked: OnChange) -> Member:
        """See `Bus.join`. `assigned` may be called before this returns.

        Raises:
            LookupError: The topic does not exist.
            Unreachable: The group cannot be joined now.
        """
        await self.partitions(topic)
        member = Membership(
            self._settings,
            self._names.group(group),
            self._names.physical(topic),
            assigned,
            revoked,
            self._session_s,
        )
        await member.start()
        self._members.append(member)
        return member

    async def members(self, group: str) -> Sequence[str]:
        """Return the names of the clients that are in a group.

        Raises:
            Unreachable: No broker answers.
        """
        found = await seats(self._settings["bootstrap_servers"], self._names.group(group))
        return [seat.client_id for seat in found if not is_gone(seat.client_id)]

    async def bounds(
        self, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, tuple[int, int]]:
        """See `Bus.bounds`.

        Raises:
            LookupError: A topic or partition does not exist.
            Unreachable: No broker answers.
        """
        if not partitions:
            return {}
        places = {KafkaPartition(self._names.physical(t), p): (t, p) for t, p in partitions}
        async with reaching("the ends of logs are unknown", LOOK_S):
            looker = await self._look()
            await _know(looker, {tp.topic for tp in places})
            asked: list[Client] = [
                looker.beginning_offsets(list(places)),
                looker.end_offsets(list(places)),
            ]
            try:
                begins, ends = await asyncio.gather(*asked)
            except UnknownTopicOrPartitionError as error:
                raise LookupError(f"a topic or partition does not exist: {error}") from error
        return {place: (begins[tp], ends[tp]) for tp, place in places.items()}

    def read(self, positions: Mapping[TopicPartition, int]) -> None:
        """See `Bus.read`."""
        self._reader.read(positions)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """See `Bus.seek`; a partition that is not being read is passed over."""
        self._reader.seek(partition, offset)

    def pause(self, topics: Sequence[str]) -> None:
        """See `Bus.pause`."""
        self._reader.pause(topics)

    async def fetch(self, records_max: int, wait_s: float) -> Sequence[Record]:
        """See `Bus.fetch`."""
        return await self._reader.fetch(records_max, wait_s)

    async def send(self, records: Sequence[Outbound]) -> Sequence[BaseException | None]:
        """See `Bus.send`.

        Raises:
            Unreachable: No broker answers; nothing was written.
        """
        return await self._sender.send(records)

    async def close(self) -> None:
        """See `Bus.close`."""
        await asyncio.gather(*(member.leave() for member in self._members))
        self._members = []
        await self._reader.close()
        await self._sender.close()
        looker, self._looker = self._looker, None
        if looker is not None:
            await looker.stop()

    async def _look(self) -> Client:
        """Return a consumer that reads nothing: its questions wait behind no long poll."""
        async with self._looking:
            if self._looker is None:
                looker: Client = AIOKafkaConsumer(**self._settings, group_id=None)
                try:
                    await looker.start()
                except BaseException:
                    await looker.stop()
                    raise
                self._looker = looker
            return self._looker


async def _know(looker: Client, topics: set[str]) -> None:
    """Get the metadata of topics, all at once, before aiokafka asks for them one by one.

    Raises:
        LookupError: One does not exist.
    """
    client = looker._client
    if missing := topics - client.cluster.topics(exclude_internal_topics=False):
        for topic in missing:
            client.add_topic(topic)
        await client.force_metadata_update()
        if missing := topics - client.cluster.topics(exclude_internal_topics=False):
            raise LookupError(f"there are no topics {sorted(missing)}; create the topics first")
