"""The listener: what others send to `/hooks/<tenant>/<path>`, judged in one order and answered.

404 path, 405 method, 429 rate, 413 size, 400 truncated, 503 secret missing, 400 repeated header,
401 signature or time, 400 syntax, Slack's challenge, then 200 duplicate or 202; 503 when the event
cannot be stored. Where triggers share a path, each one's own size and rate count when the request
has proved itself to it. Of a request that is refused nothing is kept but a line in the log.

It is an ASGI application without a framework: this is the path that senders wait on.
"""

import asyncio
import hashlib
import time

import structlog
from perdure_common.shell.ports import Unreachable

from perdure_scheduler.hook_settings import path_key

from .asked import Asked, query_of
from .files import Send, send_file
from .judging import (
    Gone,
    Message,
    Receive,
    candidates,
    most_bytes,
    nobody,
    proved,
    small_enough,
    whole_body,
)
from .reply import BODILESS, Refusal, Reply, answered, told
from .taking import NOT_STORED, take_shared, take_webhook
from .tools import Tools

log = structlog.get_logger(__name__)


class Listener:
    """The ASGI application."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        tenant = tools.tenant_id
        self._hooks = f"/hooks/{tenant}/"
        self._tests = f"/hooks-test/{tenant}/"
        self._status = f"/hooks-status/{tenant}/"

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        began = time.perf_counter()
        subtype = "none"
        try:
            reply, subtype = await self._reply(scope, receive)
        except Refusal as refusal:
            reply = refusal.reply()
            self._audit(scope, refusal.status, refusal.code)
        except Gone:
            self._audit(scope, 400, "hung_up")
            return
        except Unreachable as error:
            log.warning("hook_unanswered", error=str(error))
            reply = Refusal(503, "not_stored", NOT_STORED, {"retry-after": "5"}).reply()
        except asyncio.CancelledError:  # the server stops: it gives no more time than to say so
            log.warning("hook_unanswered", error="the service stops")
            reply = Refusal(503, "not_stored", NOT_STORED, {"retry-after": "5"}).reply()
        except Exception:
            log.exception("hook_failed", path=scope["path"][:300])
            reply = Refusal(500, "internal_error", "something failed here that should not").reply()
        self._tools.metrics.answered(subtype, reply.status, time.perf_counter() - began)
        if reply.file is not None and scope["method"] != "HEAD":
            await send_file(self._tools.files, reply, send)
            return
        length = (b"content-length", b"%d" % len(reply.body))
        headers = list(reply.headers) if reply.status in BODILESS else [*reply.headers, length]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else reply.body
        await send({"type": "http.response.body", "body": body})

    def refused(self, status: int, code: str, client: str) -> None:
        """Note what was refused before it was a request."""
        log.info("hook_refused", status=status, code=code, client=client)
        self._tools.metrics.answered("none", status, 0.0)

    def _audit(self, scope: Message, status: int, code: str) -> None:
        client = scope.get("client")
        log.info(
            "hook_refused",
            status=status,
            code=code,
            method=scope["method"],
            path=scope["path"][:300],
            client=client[0] if client else "",
        )

    async def _reply(self, scope: Message, receive: Receive) -> tuple[Reply, str]:
        path: str = scope["path"]
        if "\0" in path:  # PostgreSQL has no such text, and would refuse what is asked with it
            raise nobody()
        if path.startswith(self._hooks):
            rest, test = path[len(self._hooks) - 1 :], False
        elif path.startswith(self._tests):
            rest, test = path[len(self._tests) - 1 :], True
        elif path.startswith(self._status):
            return await self._how_it_stands(scope, path[len(self._status) :]), "status"
        else:
            raise nobody()
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name, []).append(value)
        raw: bytes = scope["query_string"]
        query = query_of(raw) if raw else ()
        asked = Asked(scope["method"], path_key(rest), query, headers, test=test)
        routes = await candidates(self._tools, asked)
        asked.body = await whole_body(scope, receive, headers, most_bytes(self._tools, routes))
        right = small_enough(self._tools, asked, await proved(self._tools, asked, routes))
        subtype = right[0].subtype
        if subtype == "WEBHOOK":
            return await take_webhook(self._tools, asked, right[0]), subtype
        return await take_shared(self._tools, asked, right), subtype

    async def _how_it_stands(self, scope: Message, execution_id: str) -> Reply:
        """Answer a status URL: what the execution answered, or that it still runs."""
        if scope["method"] != "GET":
            raise Refusal(405, "method_not_allowed", "send GET to this path", {"allow": "GET"})
        token = dict(query_of(scope["query_string"])).get("token", "")
        hashed = hashlib.sha256(token.encode()).hexdigest()
        store = self._tools.store
        if not await store.run("is_token", store.tenant_id, execution_id[:100], hashed):
            raise nobody()
        answer = await self._tools.answers.now(execution_id)
        if answer is None:
            return told(202, status="running", execution_id=execution_id)
        return answered(answer, execution_id)
