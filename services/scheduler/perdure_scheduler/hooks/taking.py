"""Requests that have proved themselves become events, and are answered."""

import asyncio
import hashlib
import secrets as chance
from collections.abc import Callable, Sequence
from typing import Any, cast

import orjson
from perdure_contracts.message import Json
from perdure_expressions import Scope

from perdure_scheduler.filters import NAME as FILTER
from perdure_scheduler.filters import attributes, verdict
from perdure_scheduler.hook_event import nodes_text, versions_text
from perdure_scheduler.slack_match import CHALLENGE

from .asked import Asked, chosen, http_text, read, read_payload, shared_ids, webhook_ids
from .body import Parsed, kind_of
from .judging import in_turn
from .reading import about_github, about_slack
from .receipts import PROVED_BY, Entry, NotStored, Outcome, command_of, proved_by
from .reply import JSON_TYPE, Refusal, Reply, answered, told
from .routes import Route
from .tools import Tools

SLACK_S = 2.5
"""Slack gives up after 3 s."""

LARGE_BYTES = 64 * 1024

WATCHES = {"last_node": "result", "respond_node": "answer"}
"""What is waited for, by what the node says to respond."""

NOT_STORED = "the request cannot be stored now; send it again in a moment, with the same id"


async def take_webhook(tools: Tools, asked: Asked, route: Route) -> Reply:
    """Take a request for one WEBHOOK trigger; answer at once, or with what it answers."""
    config = route.config
    signed_as = config["auth"]
    parsed = await _parsed(tools, asked, read_payload if signed_as in ("github", "slack") else read)
    if signed_as == "slack" and (challenge := _challenge(parsed.data)) is not None:
        return challenge
    event_id, keys = webhook_ids(asked, config, parsed)
    watch = WATCHES.get(config.get("respond", ""), "")
    entry = Entry(
        source=asked.source,
        event_id=event_id,
        keys=keys,
        type="perdure.trigger.webhook",
        subject=asked.path,
        data=parsed.encoded,
        extensions={"http": http_text(asked)},
        node=None if FILTER in config else route.node,
        kept=parsed.kept,
    )
    waits = bool(watch) and _starts(tools, entry, route, parsed)
    token = chance.token_urlsafe(24) if waits else ""
    if waits:
        entry.extensions = {**entry.extensions, "watch": watch}
        entry.keys = keys or (event_id,)
        entry.node = route.node
        entry.token_sha256 = hashlib.sha256(token.encode()).hexdigest()
    outcome = await _put(tools, entry, (route,))
    if outcome.duplicate and not (waits and outcome.watched and len(outcome.executions) == 1):
        return _duplicate(outcome)
    if not waits:
        status = "ignored" if watch else "accepted"
        return told(202, status=status, **_first(outcome), event_id=outcome.event_id)
    (execution_id,) = outcome.executions  # of the first one, where this one came again
    answer = await tools.answers.wait(execution_id, float(config["deadline_s"]))
    if answer is not None:
        return answered(answer, execution_id)
    if outcome.duplicate:
        await _let_ask(tools, entry, execution_id)
    url = f"{tools.public_url}/hooks-status/{tools.tenant_id}/{execution_id}?token={token}"
    reply = told(202, status="running", execution_id=execution_id, status_url=url)
    return Reply(202, (*reply.headers, (b"location", url.encode())), reply.body)


async def _let_ask(tools: Tools, entry: Entry, execution_id: str) -> None:
    """Let who sent a request again ask by a token of its own: the first one's is not known.

    Raises:
        Refusal: That cannot be written down now.
    """
    assert entry.token_sha256 is not None
    try:
        await tools.intake.let_ask(entry, execution_id, entry.token_sha256)
    except NotStored:
        raise Refusal(503, "not_stored", NOT_STORED, {"retry-after": "5"}) from None


def _starts(tools: Tools, entry: Entry, route: Route, parsed: Parsed) -> bool:
    """Tell whether a request fulfils the filter: else there would be no answer to wait for.

    Its event goes the usual way all the same, so that a filter that fails shows on its trigger.
    """
    text = route.config.get(FILTER)
    if text is None or route.trial:  # a test URL starts whatever comes
        return True
    data: Json = orjson.loads(parsed.encoded) if parsed.kept else parsed.data
    event = attributes(command_of(tools.tenant_id, entry, data))
    return verdict(text, Scope(json=data, event=event)) is None


async def take_shared(tools: Tools, asked: Asked, routes: Sequence[Route]) -> Reply:
    """Take what GitHub or Slack sent, for all triggers that it proved itself to."""
    parsed = await _parsed(tools, asked, read_payload)
    slack = routes[0].subtype == "SLACK"
    if slack and (challenge := _challenge(parsed.data)) is not None:
        return challenge
    about = about_slack(parsed.data) if slack else about_github(asked.headers, parsed.data)
    fitting = chosen(routes, about, parsed)
    if not fitting:
        tools.metrics.ignored(routes[0].subtype)
        return _slack_ok() if slack else told(202, status="ignored", executions=[])
    fitting = in_turn(tools, asked, fitting)
    event_id, keys = shared_ids(asked, about, slack=slack)
    entry = Entry(
        source=asked.source,
        event_id=event_id,
        keys=keys,
        type=f"perdure.trigger.{routes[0].subtype.lower()}",
        subject=about.subject,
        data=parsed.encoded,
        extensions={**about.extensions, "http": http_text(asked)},
        kept=parsed.kept,
    )
    try:
        async with asyncio.timeout(SLACK_S if slack else None):
            outcomes = await _put_shared(tools, entry, fitting)
    except TimeoutError:
        raise Refusal(503, "not_stored", NOT_STORED) from None
    if slack:
        return _slack_ok()
    fresh = next((each for each in outcomes if not each.duplicate), None)
    if fresh is not None:
        return told(202, status="accepted", event_id=fresh.event_id)
    started = tuple(name for each in outcomes for name in each.executions)
    return _duplicate(Outcome(True, started, outcomes[0].event_id))


async def _put_shared(tools: Tools, entry: Entry, routes: Sequence[Route]) -> Sequence[Outcome]:
    """Make a request safe, once for each credential that it has proved itself by.

    The same bytes may be signed by others as well, a hook of a repository and one of its
    organisation, and then are for others: neither is what the other has sent.
    """
    if routes[0].trial or await _came_before(tools, entry):
        return (await _put(tools, entry, routes),)
    groups: dict[str, list[Route]] = {}
    for route in routes:
        groups.setdefault(str(route.config["credential"]), []).append(route)
    return await asyncio.gather(
        *(_put(tools, proved_by(entry, name), group) for name, group in groups.items())
    )


async def _came_before(tools: Tools, entry: Entry) -> bool:
    """Tell whether a request has a receipt that names no credential.

    Versions before wrote such: for a week after an upgrade, what comes again is known by them.
    """
    if not entry.keys:
        return False
    sources = [entry.source] * len(entry.keys)
    rows = await tools.store.run("receipts", tools.tenant_id, sources, list(entry.keys))
    return any(PROVED_BY not in row["event_id"] for row in rows)


async def _parsed(tools: Tools, asked: Asked, how: Callable[[Asked, str], Parsed]) -> Parsed:
    """Return a body as data; a large one is read in a thread, as the loop has other work."""
    try:
        if len(asked.body) <= LARGE_BYTES:
            return how(asked, tools.bodies_url)
        return await asyncio.to_thread(how, asked, tools.bodies_url)
    except Refusal:
        tools.metrics.bad_body(kind_of(asked.content_type))
        raise


async def _put(tools: Tools, entry: Entry, routes: Sequence[Route]) -> Outcome:
    """Make a request safe; a test URL starts its one execution itself."""
    if routes[0].trial:
        return await tools.trials.start(entry, routes[0])
    entry.extensions = {
        **entry.extensions,
        "nodes": nodes_text(route.node for route in routes),
        "versions": versions_text(route.version for route in routes),
    }
    try:
        outcome = await tools.intake.put(entry)
    except NotStored:
        raise Refusal(503, "not_stored", NOT_STORED, {"retry-after": "5"}) from None
    tools.metrics.stored(routes[0].subtype, duplicate=outcome.duplicate)
    return outcome


def _challenge(data: Any) -> Reply | None:
    """Return the answer to Slack's question whether the URL is ours, None if it is no such."""
    body = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
    if body.get("type") != CHALLENGE:
        return None
    challenge: Any = body.get("challenge")
    if not isinstance(challenge, str):
        raise Refusal(400, "invalid_body", "`challenge` must be a text")
    return told(200, challenge=challenge)


def _duplicate(outcome: Outcome) -> Reply:
    return told(
        200,
        status="duplicate",
        **_first(outcome),
        executions=outcome.executions,
        event_id=outcome.event_id,
    )


def _first(outcome: Outcome) -> dict[str, str]:
    return {"execution_id": outcome.executions[0]} if outcome.executions else {}


def _slack_ok() -> Reply:
    """Return what Slack wants to hear; a body would be shown as the answer to a command."""
    return Reply(200, (JSON_TYPE,), b"")
