"""What may have happened is looked for before it is done again, and not done where it has."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from answering_server import Asked, Server, answering_server, as_json, parsed
from perdure_common.outbound import AllowList
from perdure_contracts.engine import NodeTask
from perdure_engine.nodes.registry import find
from perdure_engine.runner.clients import Clients
from perdure_engine.runner.github import PAGE, PAGES_MAX
from perdure_engine.runner.perform import perform
from perdure_engine.runner.tools import Tools

SINCE = "2026-01-01T12:00:00+00:00"
MARK = "<!-- perdure: key-0 -->"
ISSUE = {"id": 11, "number": 7, "html_url": "u", "state": "open", "title": "T"}
POST = {
    "method": "POST",
    "json": {"order": 4},
    "auth": {"kind": "bearer", "token": "t"},
}


class Stage:
    """A server, and a runner that does tasks there."""

    def __init__(self, server: Server, port: int, clients: Clients) -> None:
        self.server = server
        self.url = f"http://127.0.0.1:{port}"
        allowed = AllowList.parse(["127.0.0.0/8"])
        self.tools = Tools(clients, allowed, github_url=self.url)

    def answers(self, *answers: bytes) -> None:
        """Answer one request after the other so, the last one for ever."""
        waiting = list(answers)
        self.server.answer = lambda asked: waiting.pop(0) if len(waiting) > 1 else waiting[0]

    async def do(self, subtype: str, parameters: Mapping[str, Any], again: str = SINCE) -> Any:
        """Do one item once more; return its answer, or its error."""
        specification = find("EXTERNAL_ACTION", subtype)
        assert specification is not None
        assert specification.effect(parameters) == "verify_first"
        task = NodeTask(
            token="t", execution_id="e", workflow_id="w", node_id="n",
            node_type="EXTERNAL_ACTION", node_subtype=subtype, parameters=[parameters],
            items=[{}], effect="verify_first", length="short",
            deadline="2099-01-01T00:00:00+00:00", idempotency_key="key", again=again,
        )  # fmt: skip
        result: Any = await perform(self.tools, task, "r")
        return result.error or result.ports["main"][0]["json"]

    def post(self, **more: Any) -> dict[str, Any]:
        verify = {"url": f"{self.url}/orders/4", **more.pop("verify", {})}
        return {**POST, "url": f"{self.url}/orders", "verify": verify, **more}

    @property
    def asked(self) -> list[Asked]:
        return [parsed(each) for each in self.server.asked]

    @property
    def lines(self) -> list[str]:
        return [f"{each.method} {each.path}" for each in self.asked]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with answering_server() as (server, port), Clients(1) as clients:
        yield Stage(server, port, clients)


async def test_the_first_attempt_is_made_without_looking(stage: Stage) -> None:
    stage.answers(as_json({"made": True}))
    made = await stage.do("HTTP_REQUEST", stage.post(), again="")
    assert made["body"] == {"made": True}
    assert "verified" not in made
    assert stage.lines == ["POST /orders"]


async def test_what_has_happened_is_the_answer_and_is_not_done_again(stage: Stage) -> None:
    stage.answers(as_json({"id": 4}))
    made = await stage.do("HTTP_REQUEST", stage.post())
    assert (made["body"], made["verified"]) == ({"id": 4}, True)
    assert stage.lines == ["GET /orders/4"]
    assert stage.asked[0].headers["authorization"] == "Bearer t"


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone"])
async def test_what_is_not_there_has_not_happened_and_is_done(stage: Stage, status: str) -> None:
    stage.answers(as_json({}, status), as_json({"made": True}))
    made = await stage.do("HTTP_REQUEST", stage.post())
    assert made["body"] == {"made": True}
    assert "verified" not in made
    assert stage.lines == ["GET /orders/4", "POST /orders"]


@pytest.mark.parametrize("nothing", [[], None, False, 0, ""])
async def test_where_the_answer_says_so_nothing_has_happened(stage: Stage, nothing: Any) -> None:
    stage.answers(as_json({"data": {"orders": nothing}}), as_json({"made": True}))
    verify = {"found": "data.orders", "query": {"reference": "a b"}}
    made = await stage.do("HTTP_REQUEST", stage.post(verify=verify))
    assert made["body"] == {"made": True}
    assert dict(stage.asked[0].query) == {"reference": "a b"}
    stage.answers(as_json({"data": {"orders": [{"id": 4}]}}))
    made = await stage.do("HTTP_REQUEST", stage.post(verify=verify))
    assert made["verified"] is True


@pytest.mark.parametrize(
    ("status", "kind"),
    [("503 Service Unavailable", "http_status"), ("401 Unauthorized", "http_status")],
)
async def test_where_nobody_can_tell_nothing_is_done(stage: Stage, status: str, kind: str) -> None:
    stage.answers(as_json({}, status))
    error = await stage.do("HTTP_REQUEST", stage.post())
    assert (error.type, error.effect_state, error.stage) == (kind, "unknown", "verify")
    assert "not known whether the effect has happened" in error.message
    assert stage.lines == ["GET /orders/4"]


async def test_a_compensation_looks_for_nothing(stage: Stage) -> None:
    stage.answers(as_json({}))
    await stage.do("HTTP_REQUEST", {**stage.post(), "undoes": True})
    assert stage.lines == ["POST /orders"]


async def test_a_compensations_key_is_its_own(stage: Stage) -> None:
    stage.answers(as_json({}))
    parameters = {**stage.post(), "undoes": True, "idempotency_header": "Idempotency-Key"}
    specification = find("EXTERNAL_ACTION", "HTTP_REQUEST")
    assert specification is not None
    assert specification.effect(parameters) == "keyed"
    task = NodeTask(
        token="t", execution_id="e", workflow_id="w", node_id="n", node_type="EXTERNAL_ACTION",
        node_subtype="HTTP_REQUEST", parameters=[parameters], items=[{}], effect="keyed",
        length="short", deadline="2099-01-01T00:00:00+00:00", idempotency_key="key",
    )  # fmt: skip
    await perform(stage.tools, task, "r")
    assert stage.asked[0].headers["idempotency-key"] == "key-0-undo"


# GitHub ------------------------------------------------------------------------------------


def filing(operation: str = "create_issue", **more: Any) -> dict[str, Any]:
    common = {"token": "tok", "repository": "acme/shop", "body": "B", "title": "T", "number": 7}
    return {"operation": operation, **common, **more}


async def test_an_issue_is_known_by_its_mark_and_not_filed_twice(stage: Stage) -> None:
    stage.answers(as_json([{"body": None}, {**ISSUE, "body": f"B\n\n{MARK}"}]))
    made = await stage.do("GITHUB", filing())
    assert made == {
        "id": 11,
        "url": "u",
        "number": 7,
        "state": "open",
        "title": "T",
        "verified": True,
    }
    (asked,) = stage.asked
    assert asked.path == "/repos/acme/shop/issues"
    query = dict(asked.query)
    assert (query["state"], query["direction"]) == ("all", "desc")
    assert query["since"] == "2026-01-01T11:50:00Z", "clocks differ"


async def test_an_issue_that_is_not_there_is_filed_with_its_mark(stage: Stage) -> None:
    stage.answers(as_json([{"body": "another <!-- perdure: key-1 -->"}]), as_json(ISSUE))
    made = await stage.do("GITHUB", filing())
    assert "verified" not in made
    assert stage.asked[1].json["body"] == f"B\n\n{MARK}"
    assert stage.lines == ["GET /repos/acme/shop/issues", "POST /repos/acme/shop/issues"]


async def test_a_comment_is_looked_for_where_it_would_stand(stage: Stage) -> None:
    stage.answers(as_json([{"id": 5, "html_url": "c", "body": MARK}]))
    made = await stage.do("GITHUB", filing("comment"))
    assert made == {"id": 5, "url": "c", "verified": True}
    assert stage.lines == ["GET /repos/acme/shop/issues/7/comments"]
    stage.answers(as_json([]), as_json({"id": 6, "html_url": "d"}))
    assert await stage.do("GITHUB", filing("comment", body=None)) == {"id": 6, "url": "d"}
    assert stage.asked[-1].json == {"body": MARK}


async def test_an_issue_that_is_among_too_many_to_look_through_is_left_to_people(
    stage: Stage,
) -> None:
    stage.answers(as_json([{"body": "x"}] * PAGE))
    error = await stage.do("GITHUB", filing())
    assert (error.type, error.effect_state) == ("effect_unknown", "unknown")
    assert stage.lines == ["GET /repos/acme/shop/issues"] * PAGES_MAX


@pytest.mark.parametrize("repository", ["acme/..", "../acme", "acme/shop/../other", "", None])
async def test_what_is_no_repository_is_not_looked_into(stage: Stage, repository: Any) -> None:
    stage.answers(as_json([]))
    error = await stage.do("GITHUB", filing(repository=repository))
    assert (error.type, stage.asked) == ("invalid_parameters", [])
    assert "owner/name" in error.message


@pytest.mark.parametrize("answer", [as_json({}), as_json({"message": "no"}, "403 Forbidden")])
async def test_an_answer_that_is_no_list_files_nothing(stage: Stage, answer: bytes) -> None:
    stage.answers(answer)
    error = await stage.do("GITHUB", filing())
    assert error.effect_state == "unknown"
    assert len(stage.asked) == 1
