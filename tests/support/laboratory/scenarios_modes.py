"""How much recovery may do: the same failure in workspaces of every mode.

Each scenario has a workspace of its own, so its mode binds nobody else.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from definitions_for_tests import Definition, chain, request
from perdure_common.ids import derived
from perdure_contracts.deciding import NoteAnswer
from perdure_contracts.failures import RecoveryMode
from perdure_contracts.recovery import SetMode

from laboratory.outside import fine, status
from laboratory.scenario import Case, Expected, Scenario

SHOP = "shop"


def _workspace(case: Case) -> str:
    return derived("laboratory", case.mark)


def _post(case: Case) -> Definition:
    post = request("post", case.url(SHOP), json={"n": 1}, timeout_s=2)
    return {**chain(case.mark, post), "workspace_id": _workspace(case)}


def _mode(mode: RecoveryMode) -> Callable[[Case], Awaitable[None]]:
    async def set_(case: Case) -> None:
        workspace = _workspace(case)
        message = SetMode(workspace_id=workspace, mode=mode, set_by="ann", reason="laboratory")
        await case.stage.ask("recovery", f"{workspace}/mode", message)

    return set_


def _says(port: str) -> Callable[[Case], Awaitable[None]]:
    """Return what a person does who is asked: reads the explanation first, then answers."""

    async def answer(case: Case) -> None:
        async def asked() -> Any:
            return await case.stage.rows(
                "select a.recovery_context->>'interaction_id' as asked_as, e.* "
                "from recovery.recovery_attempts a join recovery.recovery_explanations e "
                "on e.recovery_attempt_id = a.id "
                "where a.execution_id = $1 and a.status = 'waiting_approval'",
                await case.started(),
            )

        (told,) = await case.stage.until(asked, "somebody to be asked")
        assert told["complete"], "whoever approves has read why"
        assert "503" in told["failure_summary"]
        message = NoteAnswer(
            execution_id=case.execution_id,
            interaction_id=told["asked_as"],
            outcome="answered",
            port=port,
            by="ann",
        )
        await case.stage.ask("recovery", case.execution_id, message)

    return answer


async def _explained(case: Case) -> None:
    (told,) = await case.stage.rows(
        "select * from recovery.recovery_explanations where execution_id = $1", case.execution_id
    )
    assert told["recovery_strategy"] == "backoff"
    assert "only observes" in told["retry_decision"]


async def _pattern_alone(case: Case) -> None:
    rows = await case.stage.rows(
        "select occurrence_count as n from recovery.failure_patterns where workspace_id = $1",
        _workspace(case),
    )
    assert [row["n"] for row in rows] == [1]


async def _agreed(case: Case) -> None:
    (row,) = await case.stage.rows(
        "select recovery_reason from recovery.recovery_attempts where execution_id = $1",
        case.execution_id,
    )
    assert row["recovery_reason"].startswith("ann agreed"), row


SCENARIOS = (
    Scenario(
        "a server says 503 where recovery only observes",
        "platform",
        _post,
        [Expected("ERROR", ["dependency_down"], ["backoff"], "refused:mode", {SHOP: 1})],
        {SHOP: [status(503), fine()]},
        before=_mode("observe"),
        after=_explained,
    ),
    Scenario(
        "a server says 503 where recovery is off",
        "platform",
        _post,
        [Expected("ERROR", [], [], "", {SHOP: 1})],
        {SHOP: [status(503), fine()]},
        before=_mode("off"),
        after=_pattern_alone,
    ),
    Scenario(
        "a server says 503 where recovery asks first, and a person agrees",
        "platform",
        _post,
        [Expected("SUCCESS", ["dependency_down"], ["backoff"], "recovered", {SHOP: 2})],
        {SHOP: [status(503), fine()]},
        before=_mode("approve"),
        during=_says("approved"),
        after=_agreed,
    ),
    Scenario(
        "a server says 503 where recovery asks first, and a person says no",
        "platform",
        _post,
        [Expected("ERROR", ["dependency_down"], ["backoff"], "refused:person", {SHOP: 1})],
        {SHOP: [status(503), fine()]},
        before=_mode("approve"),
        during=_says("rejected"),
    ),
)
