"""Workflows, their people and their code: bugs, bad data, cancels, deadlines."""

from definitions_for_tests import Definition, chain, node, request
from perdure_contracts.engine import CancelExecution

from laboratory.outside import fine, status
from laboratory.scenario import Case, Expected, Scenario, told

SHOP = "shop"


def _bug(case: Case) -> Definition:
    code = "def price(row):\n    return row['cents'] / 100\n\nreturn {'price': price(item)}"
    return chain(case.mark, node("code", "ACTION.CODE", language="python", code=code))


def _loop(case: Case) -> Definition:
    code = "while True:\n    pass"
    return chain(case.mark, node("code", "ACTION.CODE", language="python", code=code, timeout_s=1))


def _bad_data(case: Case) -> Definition:
    values = {"when": "{{ $json.when.toUpperCase() }}"}
    return chain(case.mark, node("set", "ACTION.SET", values=values))


def _waits(case: Case) -> Definition:
    return chain(case.mark, request("post", case.url(SHOP), json={"n": 1}, timeout_s=2))


def _short_of_time(case: Case) -> Definition:
    return {**_waits(case), "settings": {"execution_timeout": 20}}


def _alone(case: Case, max_retries: int = 0) -> Definition:
    made = _waits(case)
    for each in made["nodes"]:
        if each["node_id"] == "post":
            each |= {"max_retries": max_retries, "retry_wait_time": 1}
    return {**made, "settings": {"recovery": "off"}}


def _own_retries(case: Case) -> Definition:
    return _alone(case, 2)


async def _cancel(case: Case) -> None:
    """Stop the execution while it waits for its next try."""
    await case.until_decided(1)
    command = CancelExecution(execution_id=case.execution_id, reason="not wanted any more")
    await case.stage.ask("engine", case.execution_id, command)


LATER = status(429, more="retry-after: 45\r\n")

SCENARIOS = (
    Scenario(
        "code has a defect",
        "work",
        _bug,
        [told("code_bug")],
        data={"euros": 3},
    ),
    Scenario(
        "code does not come to an end",
        "work",
        _loop,
        [Expected("ERROR", ["resource_exhausted"], ["escalate_human"], "escalated")],
    ),
    Scenario(
        "data is not what an expression needs",
        "work",
        _bad_data,
        [told("validation")],
        data={"when": 5},
    ),
    Scenario(
        "somebody cancels what waits for its next try",
        "work",
        _waits,
        [Expected("CANCELED", ["rate_limit"], ["backoff"], "superseded", {SHOP: 1})],
        {SHOP: [LATER, fine()]},
        during=_cancel,
    ),
    Scenario(
        "the next try would come after the deadline",
        "work",
        _short_of_time,
        [Expected("ERROR", ["rate_limit"], ["escalate_human"], "escalated", {SHOP: 1})],
        {SHOP: [LATER]},
    ),
    Scenario(
        "recovery is off for a workflow",
        "work",
        _alone,
        [Expected("ERROR", ["dependency_down"], ["backoff"], "refused:wanted", {SHOP: 1})],
        {SHOP: [status(503)]},
    ),
    Scenario(
        "a workflow that tries again by itself needs nobody",
        "work",
        _own_retries,
        [Expected("SUCCESS", [], [], "", {SHOP: 3})],
        {SHOP: [status(503), status(503), fine()]},
    ),
)
