"""How a command asks and how it looks: commands and triggers out by topic, answers in by HTTP.

A command is a CloudEvent from outside: it has an id of its own, and the service that takes it
keeps what became of it under that id, where this client waits for it.
"""

import asyncio
import getpass
import os
import time
import uuid
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, BinaryIO
from urllib.parse import quote

import httpx
from perdure_common.adapters.kafka import KafkaBus
from perdure_common.ids import partition_of
from perdure_common.settings import Settings
from perdure_common.shell import codec
from perdure_common.shell.ports import Outbound
from perdure_contracts.cloudevents import CloudEvent, encode
from perdure_contracts.message import NAMES
from perdure_contracts.publish import TRIGGERS, make_event
from prometheus_client.parser import text_string_to_metric_families

from perdure_cli import platform
from perdure_cli.errors import CommandError

Row = dict[str, Any]
"""A row of a table, as the API shows it."""

ANSWER_S = 20.0
"""How long the answer to a command is waited for."""

LOOK_S = (0.01, 0.25)
"""How long to wait between two looks: at first, and at most."""

REQUEST_S = 15.0
POST_S = 60.0
"""How long an answer is waited for: to what only reads, and to what is sent on by Kafka. The
service itself gives that half a minute to be written, and ten seconds to be carried out."""
PAGE = 500
CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True)
class Answer:
    """What became of a command: its stream, and the events that it led to."""

    stream: str
    events: tuple[str, ...]

    def has(self, event: type) -> bool:
        """Return whether the command led to such an event."""
        return NAMES[event] in self.events

    def count(self, event: type) -> int:
        """Return how many such events the command led to."""
        return self.events.count(NAMES[event])


@dataclass(frozen=True)
class Sent:
    """A trigger event that is safely on its topic; both names together are unique."""

    source: str
    id: str


@dataclass(frozen=True)
class Counted:
    """How many rows there are; if it is not `exact`, more than so many."""

    count: int
    exact: bool = True

    def __str__(self) -> str:
        """Return `3,000`, or `100,000+` where they are more."""
        return f"{self.count:,}{'' if self.exact else '+'}"


def user() -> str:
    """Return who types, as rows and sources name him."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name
        return f"uid-{os.getuid()}"


class Client:
    """Talks to one platform; an async context manager.

    `answer_s` is how long answers are waited for, in seconds.
    """

    def __init__(self, running: platform.Running, *, answer_s: float = ANSWER_S) -> None:
        env = {
            **os.environ,
            "PERDURE_DATABASE_URL": running.database_url,
            "PERDURE_KAFKA_BOOTSTRAP": running.kafka_bootstrap,
        }
        self.running = running
        self.settings = Settings.read("cli", env)
        self.source = f"/cli/{user()}"
        self.answer_s = answer_s
        self._bus: KafkaBus | None = None
        self._http: Any = None

    async def __aenter__(self) -> "Client":
        """Open; connections are made when they are needed."""
        self._http = httpx.AsyncClient(timeout=REQUEST_S, trust_env=False)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close every connection."""
        await self._http.aclose()
        if self._bus is not None:
            await self._bus.close()

    # Looking --------------------------------------------------------------------------

    def url(self, service: str) -> str:
        """Return where a service answers.

        Raises:
            CommandError: It does not run here.
        """
        found = self.running.urls.get(service)
        if found is None:
            raise CommandError(
                f"the service {service!r} is not part of the platform that runs; start it with "
                f"`perdure up`, or set PERDURE_{service.upper()}_URL",
                code="not_running",
            )
        return found

    def urls(self, service: str) -> list[str]:
        """Return where each process of a service answers, the first one first. Raises as `url`."""
        kinds = self.running.urls.items()
        others = [url for name, url in kinds if platform.kind_of(name) == service != name]
        return [self.url(service), *others]

    async def get(
        self, service: str, path: str, parameters: Sequence[tuple[str, str]] = ()
    ) -> httpx.Response:
        """Ask a service's API and return what it answers, problems too.

        Where a service has several processes, any of them answers.

        Raises:
            CommandError: None does.
        """
        *first, last = self.urls(service)
        for url in first:
            try:
                return await self._http.get(f"{url}{path}", params=list(parameters))
            except httpx.ConnectError:
                continue
        try:
            return await self._http.get(f"{last}{path}", params=list(parameters))
        except httpx.HTTPError as error:
            raise CommandError(
                f"{service} does not answer at {last} ({type(error).__name__}); `perdure status` "
                f"shows what runs, {platform.home() / 'logs'} has its log",
                code="unreachable",
            ) from error

    async def download(self, service: str, path: str, into: BinaryIO) -> int:
        """Write what a service's API answers as it comes, and return how many bytes it was.

        Raises:
            CommandError: It does not answer, breaks off, or has a problem.
        """
        size = 0
        try:
            async with self._http.stream("GET", f"{self.url(service)}{path}") as response:
                if not response.is_success:
                    await response.aread()
                    told(response, service)
                async for chunk in response.aiter_raw():
                    into.write(chunk)
                    size += len(chunk)
        except httpx.HTTPError as error:
            raise CommandError(
                f"{service} does not give it out ({type(error).__name__}); try again",
                code="unreachable",
            ) from error
        return size

    async def post(self, service: str, path: str, body: Any) -> httpx.Response:
        """Send a service's API something and return what it answers, problems too.

        Raises:
            CommandError: It does not answer.
        """
        url = self.url(service)
        try:
            return await self._http.post(f"{url}{path}", json=body, timeout=POST_S)
        except httpx.HTTPError as error:
            raise CommandError(
                f"{service} does not answer at {url} ({type(error).__name__}); `perdure status` "
                "shows what runs",
                code="unreachable",
            ) from error

    async def upload(
        self, service: str, path: str, source: BinaryIO, name: str, mime_type: str
    ) -> Row:
        """Send a service's API a file as it is read, and return what it answers.

        Raises:
            CommandError: It does not answer, breaks off, or refuses the file.
        """

        async def chunks() -> AsyncIterator[bytes]:
            while chunk := await asyncio.to_thread(source.read, CHUNK_BYTES):
                yield chunk

        try:
            response = await self._http.post(
                f"{self.url(service)}{path}",
                params={"file_name": name},
                content=chunks(),
                headers={"content-type": mime_type},
            )
        except httpx.HTTPError as error:
            raise CommandError(
                f"{service} does not take {name!r} ({type(error).__name__}); try again",
                code="unreachable",
            ) from error
        return told(response, service)

    async def page(
        self,
        service: str,
        table: str,
        /,
        *,
        limit: int = 50,
        cursor: str | None = None,
        **equal: str | Sequence[str],
    ) -> tuple[list[Row], str | None]:
        """Return rows of a table, and the cursor of the next page if there is one.

        Raises:
            CommandError: The service refuses, or does not answer.
        """
        parameters = [("limit", str(limit))]
        if cursor:
            parameters.append(("cursor", cursor))
        parameters.extend(_parameters(equal))
        body = told(await self.get(service, f"/v1/{table}", parameters), service)
        return body["items"], body["next"]

    async def rows(
        self, service: str, table: str, /, *, most: int = PAGE, **equal: str | Sequence[str]
    ) -> list[Row]:
        """Return up to `most` rows of a table, the API's first ones first. Raises as `page`."""
        found: list[Row] = []
        cursor: str | None = None
        while len(found) < most:
            limit = min(PAGE, most - len(found))
            rows, cursor = await self.page(service, table, limit=limit, cursor=cursor, **equal)
            found.extend(rows)
            if cursor is None:
                break
        return found

    async def count(self, service: str, table: str, /, **equal: str | Sequence[str]) -> Counted:
        """Return how many rows of a table there are. Raises as `page`."""
        path = f"/v1/count/{table}"
        found = told(await self.get(service, path, _parameters(equal)), service)
        return Counted(found["count"], found["exact"])

    async def row(self, service: str, table: str, key: str) -> Row | None:
        """Return one row of a table, None if there is none. Raises as `page`."""
        response = await self.get(service, f"/v1/{table}/{quote(key, safe='')}")
        if response.status_code == 404 or _code(response) == "invalid_value":
            return None
        return told(response, service)

    # Asking ---------------------------------------------------------------------------

    async def command(self, service: str, stream: str, message: object) -> Answer:
        """Send a command and wait for what becomes of it.

        Raises:
            CommandError: It is refused (`code` is the refusal's), or not answered in time.
            Unreachable: Kafka does not answer.
        """
        sent = await self.tell(service, stream, message)
        found = await self.answer(service, sent)
        if found is None:
            raise await self._unanswered(service, NAMES[type(message)], sent)
        return found

    async def tell(self, service: str, stream: str, message: object) -> Sent:
        """Send a message to a service's commands and return when it is safely written.

        Raises:
            CommandError: It is too large.
            Unreachable: Kafka does not answer.
        """
        name = NAMES[type(message)]
        event = CloudEvent(
            id=str(uuid.uuid4()),
            source=self.source,
            type=name,
            subject=stream,
            time=datetime.now(UTC).isoformat(),
            datacontenttype="application/json",
            data=codec.encode_body(message),
        )
        if len(event.data) > codec.MESSAGE_BYTES_MAX:
            raise CommandError(
                f"{name} has {len(event.data):,} bytes, at most {codec.MESSAGE_BYTES_MAX:,} can "
                "be sent; make it smaller",
                exit_code=2,
                code="too_large",
            )
        topic = f"perdure.{service}.commands.v1"
        await self._send(topic, partition_of(stream, self.settings.partitions), event, stream)
        return Sent(event.source, event.id)

    async def trigger(
        self,
        type: str,
        subject: str,
        data: Any,
        *,
        id: str | None = None,
        extensions: Mapping[str, str] | None = None,
    ) -> Sent:
        """Publish a trigger event and return when it is safely written.

        Raises:
            CommandError: An attribute cannot be used.
            Unreachable: Kafka does not answer.
        """
        try:
            event = make_event(type, subject, data, id=id, source=self.source)
        except ValueError as error:
            raise CommandError(str(error), exit_code=2, code="invalid_event") from None
        event = replace(event, extensions=dict(extensions or {}))
        partitions = await self._opened().partitions(TRIGGERS)
        partition = zlib.crc32(subject.encode()) % partitions
        await self._send(TRIGGERS, partition, event, subject)
        return Sent(event.source, event.id)

    async def answer(self, service: str, sent: Sent) -> Answer | None:
        """Wait for what became of a message, None if nothing did in time.

        Raises:
            CommandError: It was refused; the text is the refusal's reason.
        """
        deadline = time.monotonic() + self.answer_s
        pause_s = LOOK_S[0]
        while True:
            found = await self.look(service, sent)
            if found is not None or time.monotonic() > deadline:
                return found
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.15, LOOK_S[1])

    async def look(self, service: str, sent: Sent) -> Answer | None:
        """Return what became of a message, None if nothing is known yet. Raises as `answer`."""
        parameters = (("source", sent.source), ("id", sent.id))
        response = await self.get(service, "/v1/answers", parameters)
        if response.status_code == 404 and _code(response) == "not_answered":
            return None
        fields = told(response, service)["answer"]
        if (rejected := fields.get("rejected")) is not None:
            raise CommandError(rejected["reason"], code=rejected["code"])
        if "parked" in fields:
            raise CommandError(
                f"{fields['stream']} waits for a person, and this behind it: `perdure "
                "dead-letters list` shows why, `redrive` lets it go on",
                code="parked",
            )
        return Answer(fields["stream"], tuple(fields["events"]))

    async def lag(self, service: str, topic: str) -> int | None:
        """Return how many records of a topic a service has not consumed yet, None if unknown."""
        response = await self.get(service, "/metrics")
        if not response.is_success:
            return None
        for family in text_string_to_metric_families(response.text):
            for sample in family.samples:
                if sample.name == "perdure_consumer_lag" and sample.labels["topic"] == topic:
                    return int(sample.value)
        return None

    async def buried(self, sent: Sent) -> Row | None:
        """Return the dead letter that a message became, None if it is not among the newest."""
        rows = await self.rows("recovery", "dead_letters", most=PAGE, source=sent.source)
        return next((row for row in rows if row["headers"].get("ce_id") == sent.id), None)

    async def _unanswered(self, service: str, name: str, sent: Sent) -> CommandError:
        letter = await self.buried(sent) if "recovery" in self.running.urls else None
        if letter is not None:
            return CommandError(
                f"{service} could not take the {name}: {letter['error']} "
                f"(dead letter {letter['id']})",
                code="dead_letter",
            )
        return CommandError(
            f"{service} has not answered the {name} within {self.answer_s:.0f} s; it may still "
            "be carried out: `perdure status` says what is behind",
            code="not_answered",
        )

    async def _send(self, topic: str, partition: int, event: CloudEvent, key: str) -> None:
        headers, value = encode(event)
        record = Outbound(topic, partition, value, key.encode(), headers)
        (error,) = await self._opened().send([record])
        if error is not None:
            raise CommandError(
                f"Kafka did not take the {event.type} on {topic}/{partition} ({error!r}); "
                "`perdure status` says how the servers are",
                code="not_sent",
            )

    def _opened(self) -> KafkaBus:
        if self._bus is None:
            prefix = self.settings.topic_prefix
            self._bus = KafkaBus(self.running.kafka_bootstrap, "perdure-cli", prefix)
        return self._bus


def _parameters(equal: Mapping[str, str | Sequence[str]]) -> list[tuple[str, str]]:
    several = {name: [each] if isinstance(each, str) else each for name, each in equal.items()}
    return [(name, value) for name, values in several.items() for value in values]


def told(response: httpx.Response, service: str) -> Any:
    """Return an answer's body.

    Raises:
        CommandError: It is a problem; its detail is told.
    """
    if response.is_success:
        return response.json()
    try:
        problem: Any = response.json()
        detail, code = str(problem["detail"]), str(problem["code"])
    except (ValueError, KeyError, TypeError):
        detail, code = f"HTTP {response.status_code}", "http_error"
    raise CommandError(f"{service}: {detail}", code=code)


def _code(response: httpx.Response) -> str:
    try:
        problem: Any = response.json()
        return str(problem["code"]) if not response.is_success else ""
    except (ValueError, KeyError, TypeError):
        return ""
