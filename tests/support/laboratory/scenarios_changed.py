"""What waiting does not mend: another model, less input, a better question, new credentials."""

import asyncio
from typing import Any
from urllib.parse import parse_qs

from definitions_for_tests import Definition, chain, edge, node, request
from model_server import fails, finishes, refuses, says
from perdure_common.credentials import PostgresCredentials, Seal
from perdure_common.settings import DEFAULT_TENANT, credentials_keys

from laboratory.outside import Asked, Reply, fine, half, status
from laboratory.scenario import Case, Expected, Scenario, cured

MODEL, OTHER, SHOP = "model", "other model", "shop"
UNDO, LOOK, ISSUER = "where it is undone", "where it is seen", "issuer"

SCHEMA = {
    "type": "object",
    "properties": {"team": {"enum": ["billing", "other"]}},
    "required": ["team"],
    "additionalProperties": False,
}
OLD, NEW = "token-of-yesterday", "token-of-today"
LONG = "The customer writes: " + "it does not work. " * 400
LONGEST = 4_000
"""Characters that the small model reads."""


def _node(case: Case, **more: Any) -> Definition:
    given = {
        "model": f"{case.mark}-large",
        "base_url": case.url(MODEL, "/v1"),
        "prompt": "Whose ticket is this?",
        "request_timeout_s": 3,
        **more,
    }
    return node("sort", "AI_AGENT.AGENT", **given)


def _with_another(case: Case) -> Definition:
    """Have another provider's model, which may answer instead."""
    other = {
        "provider": "anthropic",
        "model": f"{case.mark}-other",
        "base_url": case.url(OTHER, ""),
    }
    return chain(case.mark, _node(case, fallbacks=[other]))


def _long(case: Case) -> Definition:
    return chain(case.mark, _node(case, prompt=LONG))


def _strict(case: Case) -> Definition:
    """Take nothing but what holds to a schema, and do not ask twice by itself."""
    return chain(case.mark, _node(case, output_schema=SCHEMA, output_retries=0))


def _with_port(case: Case) -> Definition:
    """Have a way for what fails."""
    post = {
        **request("post", case.url(SHOP), json={"n": 1}, timeout_s=2),
        "error_handling": "CONTINUE_ERROR_OUTPUT_ON_ERROR",
    }
    made = chain(case.mark, post)
    made["nodes"].append(node("undo", "FLOW.NOOP"))
    made["connections"].append({**edge("post", "undo"), "connection_type": "ERROR"})
    return made


def _with_credential(case: Case) -> Definition:
    given = {"credential": case.mark, "auth": {"kind": "bearer"}, "json": {"n": 1}}
    return chain(case.mark, request("post", case.url(SHOP), timeout_s=2, **given))


def _undone(case: Case) -> Definition:
    """Say how what was sent is undone; there is no key against doubles."""
    undo = {"method": "DELETE", "url": case.url(UNDO, "/orders/7")}
    given = {"method": "POST", "url": case.url(SHOP), "json": {"n": 1}, "timeout_s": 2}
    return chain(case.mark, node("post", "EXTERNAL_ACTION.HTTP_REQUEST", **given, compensate=undo))


def _looked_for(case: Case) -> Definition:
    """Say where it is seen whether what was sent has arrived; there is no key against doubles."""
    look = {"url": case.url(LOOK, "/orders"), "found": "orders"}
    given = {"method": "POST", "url": case.url(SHOP), "json": {"n": 1}, "timeout_s": 2}
    return chain(case.mark, node("post", "EXTERNAL_ACTION.HTTP_REQUEST", **given, verify=look))


async def _renewable(case: Case) -> None:
    """Keep an old token with what its issuer gives another one for."""
    form = {"refresh_token": "refresh-of-yesterday", "client_id": "perdure"}
    await _keep_token(case, OLD, **form, token_url=case.url(ISSUER, "/token"))


async def _renewed(case: Case) -> None:
    """The issuer was asked once, in its own words, and nobody put the new token there by hand."""
    (asked,) = case.servers[ISSUER].asked
    form = parse_qs(asked.body.decode())
    assert form["grant_type"] == ["refresh_token"]
    assert form["refresh_token"] == ["refresh-of-yesterday"]


async def _undone_once(case: Case) -> None:
    (asked,) = case.servers[UNDO].asked
    assert (asked.method, asked.path) == ("DELETE", "/orders/7")


async def _keep_token(case: Case, token: str, **more: str) -> None:
    keys = credentials_keys(case.stage.settings)
    kept = PostgresCredentials(case.stage.ground.database_url, Seal(keys))
    try:
        await kept.set(DEFAULT_TENANT, case.mark, {"token": token, **more})
    finally:
        await kept.close()


async def _old_token(case: Case) -> None:
    await _keep_token(case, OLD)


async def _new_token(case: Case) -> None:
    """Keep a new token once the old one was refused."""
    while not case.servers[SHOP].asked:
        await asyncio.sleep(0.02)
    await _keep_token(case, NEW)


def wants(token: str, then: Reply) -> Reply:
    """Let in only who shows a token."""

    async def reply(asked: Asked) -> bytes | None:
        if asked.headers.get("authorization") == f"Bearer {token}":
            return await then(asked)
        return await status(401, {"error": {"code": "token_expired"}})(asked)

    return reply


def reads_at_most(characters: int, then: Reply) -> Reply:
    """Read only so much, and say so."""

    async def reply(asked: Asked) -> bytes | None:
        if len(asked.body) > characters:
            told = "This model's maximum context length is 1,000 tokens"
            return await fails(400, "context_length_exceeded", told)(asked)
        return await then(asked)

    return reply


DOWN = fails(503, "server_error", "The engine is currently overloaded")
QUOTA = fails(429, "insufficient_quota", "You exceeded your current quota")
UNKNOWN_MODEL = fails(404, "model_not_found", "The model does not exist")
WRONG = finishes({"team": "sales"})
RIGHT = finishes({"team": "billing"})

SCENARIOS = (
    Scenario(
        "one provider of models is down, and another works",
        "models",
        _with_another,
        [cured("dependency_down", "fallback_model", calls={MODEL: 1, OTHER: 1})],
        {MODEL: [DOWN], OTHER: [says("billing")]},
    ),
    Scenario(
        "a model's account is out of money, and there is another",
        "models",
        _with_another,
        [cured("quota_exhausted", "fallback_model", calls={MODEL: 1, OTHER: 1})],
        {MODEL: [QUOTA], OTHER: [says("billing")]},
    ),
    Scenario(
        "a model refuses, and there is another",
        "models",
        _with_another,
        [cured("model_refusal", "fallback_model", calls={MODEL: 1, OTHER: 1})],
        {MODEL: [refuses("I cannot help with that")], OTHER: [says("billing")]},
    ),
    Scenario(
        "a model does not exist, and there is another",
        "models",
        _with_another,
        [cured("data_missing", "fallback_model", calls={MODEL: 1, OTHER: 1})],
        {MODEL: [UNKNOWN_MODEL], OTHER: [says("billing")]},
    ),
    Scenario(
        "a prompt is too long for its model",
        "models",
        _long,
        [
            cured("context_length", "reduce_input"),
            cured("context_length", "reduce_input", "reduce_input"),
        ],
        {MODEL: [reads_at_most(LONGEST, says("billing"))]},
    ),
    Scenario(
        "a model's answer does not hold to its schema, once",
        "models",
        _strict,
        [cured("output_invalid", "reprompt", calls={MODEL: 2})],
        {MODEL: [WRONG, RIGHT]},
    ),
    Scenario(
        "a model's answer never holds to its schema",
        "models",
        _strict,
        [
            Expected(
                "ERROR",
                ["output_invalid"] * 4,
                ["reprompt", "backoff", "backoff", "backoff"],
                "refused:caps",
                {MODEL: 4},
            )
        ],
        {MODEL: [WRONG]},
    ),
    Scenario(
        "a token has expired, and a new one is kept meanwhile",
        "http",
        _with_credential,
        [cured("auth", "refresh_credentials", calls={SHOP: 2})],
        {SHOP: [wants(NEW, fine())]},
        before=_old_token,
        during=_new_token,
    ),
    Scenario(
        "a token has expired, and its issuer gives another",
        "http",
        _with_credential,
        [cured("auth", "refresh_credentials", calls={SHOP: 2, ISSUER: 1})],
        {SHOP: [wants(NEW, fine())], ISSUER: [fine({"access_token": NEW, "expires_in": 3600})]},
        before=_renewable,
        after=_renewed,
    ),
    Scenario(
        "an answer is lost, and what may have been done must not be doubled: it is undone",
        "http",
        _undone,
        [Expected("ERROR", ["network"], ["skip_compensate"], "handled", {SHOP: 1, UNDO: 1})],
        {SHOP: [half()], UNDO: [status(204)]},
        after=_undone_once,
    ),
    Scenario(
        "a compensation fails once",
        "http",
        _undone,
        [
            Expected(
                "ERROR",
                ["network", "dependency_down"],
                ["skip_compensate", "skip_compensate"],
                "handled",
                {SHOP: 1, UNDO: 2},
            )
        ],
        {SHOP: [half()], UNDO: [status(503), status(204)]},
    ),
    Scenario(
        "an answer is lost, and what was sent has arrived: it is found, and not sent again",
        "http",
        _looked_for,
        [cured("network", "retry_now", calls={SHOP: 1, LOOK: 1})],
        {SHOP: [half()], LOOK: [fine({"orders": [7]})]},
    ),
    Scenario(
        "an answer is lost, and what was sent has not arrived: it is sent again",
        "http",
        _looked_for,
        [cured("network", "retry_now", calls={SHOP: 2, LOOK: 1})],
        {SHOP: [half(), fine()], LOOK: [fine({"orders": []})]},
    ),
    Scenario(
        "what fails for good has a way of its own",
        "work",
        _with_port,
        [Expected("SUCCESS", ["validation"], ["skip_compensate"], "handled", {SHOP: 1})],
        {SHOP: [status(422)]},
    ),
)
