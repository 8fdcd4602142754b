"""A request while it is judged, and what an event says of it. Pure but for chance ids."""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson

from perdure_scheduler.match import fulfils, keys_of
from perdure_scheduler.slack_match import slack_fulfils

from .body import BadBody, Parsed, parse
from .reading import About, about_github, about_slack, text_of, unwrapped
from .reply import Refusal
from .routes import Route
from .verify import Headers, one

HEADERS_BYTES_MAX = 8 * 1024
"""How many bytes of headers an execution sees of its request."""

SECRET_HEADERS = frozenset(
    (
        *(b"authorization", b"cookie", b"proxy-authorization", b"x-api-key"),
        *(b"webhook-signature", b"x-hub-signature", b"x-hub-signature-256", b"x-slack-signature"),
    )
)
"""Headers that an execution does not see: they are or hold secrets, or prove something."""


@dataclass(slots=True)
class Asked:
    """A request while it is judged."""

    method: str
    path: str
    query: Sequence[tuple[str, str]]
    headers: Headers
    body: bytes = b""
    test: bool = False

    @property
    def source(self) -> str:
        """The source of its event: ids are unique within a path."""
        return ("/hooks-test" if self.test else "/hooks") + self.path

    @property
    def content_type(self) -> str:
        """What the body is said to be."""
        return one(self.headers, b"content-type").decode("latin-1")


def read(asked: Asked, bodies_url: str) -> Parsed:
    """Return the request's body as data.

    Raises:
        Refusal: It is not what its content type says.
    """
    try:
        return parse(asked.content_type, asked.body, asked.query, bodies_url)
    except BadBody as error:
        raise Refusal(400, "invalid_body", str(error)) from None


def read_payload(asked: Asked, bodies_url: str) -> Parsed:
    """Return a body of GitHub or Slack as data, out of its form where it is in one. As `read`."""
    try:
        parsed = parse(asked.content_type, asked.body, asked.query, bodies_url)
        return unwrapped(asked.content_type.partition(";")[0].strip().lower(), parsed)
    except BadBody as error:
        raise Refusal(400, "invalid_body", str(error)) from None


def webhook_ids(
    asked: Asked, config: Mapping[str, Any], parsed: Parsed
) -> tuple[str, tuple[str, ...]]:
    """Return the id of a webhook's event, and the ids under which it may come again."""
    auth = config["auth"]
    if auth == "github":
        return shared_ids(asked, about_github(asked.headers, parsed.data), slack=False)
    if auth == "slack":
        return shared_ids(asked, about_slack(parsed.data), slack=True)
    named = config.get("delivery_header")
    names = (named.encode(),) if named else (b"webhook-id", b"idempotency-key")
    for name in names:
        raw = one(asked.headers, name)
        if raw:
            delivery = text_of(raw)
            if not delivery:
                raise Refusal(
                    400,
                    "invalid_delivery_id",
                    f"{name.decode()} must have at most 255 printable ASCII characters",
                )
            return delivery, (delivery,)
    return str(uuid.uuid4()), ()


def shared_ids(asked: Asked, about: About, *, slack: bool) -> tuple[str, tuple[str, ...]]:
    """Return the id of an event of GitHub or Slack, and the ids under which it may come again.

    GitHub does not sign its delivery ids, so the body is what makes a delivery one.
    """
    if slack:
        if about.delivery and text_of(about.delivery.encode()):
            return about.delivery, (about.delivery,)
        return str(uuid.uuid4()), ()
    body = "sha256:" + hashlib.sha256(asked.body).hexdigest()
    return body, (about.delivery, body) if about.delivery else (body,)


def chosen(routes: Sequence[Route], about: About, parsed: Parsed) -> list[Route]:
    """Return the triggers whose key and filters the event fulfils."""
    if not about.subject:
        return []
    keys = keys_of(routes[0].subtype, about.subject)
    slack = routes[0].subtype == "SLACK"
    return [
        route
        for route in routes
        if route.index_key in keys
        and (
            slack_fulfils(route.config, parsed.data)
            if slack
            else fulfils(route.config, about.extensions, parsed.data)
        )
    ]


def http_text(asked: Asked) -> str:
    """Return what an execution may know of its request, as an extension."""
    headers: dict[str, str] = {}
    size = 0
    for name, values in asked.headers.items():
        if name in SECRET_HEADERS:
            continue
        value = b", ".join(values)
        size += len(name) + len(value)
        if size > HEADERS_BYTES_MAX:
            break
        headers[name.decode("latin-1")] = value.decode("latin-1")
    query: dict[str, list[str] | str] = {}
    for name, text in asked.query:
        before = query.get(name)
        if before is None:
            query[name] = text
        elif isinstance(before, list):
            before.append(text)
        else:
            query[name] = [before, text]
    said = {"method": asked.method, "path": asked.path, "query": query, "headers": headers}
    return orjson.dumps(said).decode()


def query_of(raw: bytes) -> list[tuple[str, str]]:
    """Return a query's fields in their order.

    Raises:
        Refusal: It has too many.
    """
    try:
        return parse_qsl(raw.decode("latin-1"), keep_blank_values=True, max_num_fields=1_000)
    except ValueError:
        raise Refusal(400, "invalid_query", "the query has too many fields") from None
