"""Providers of models: throttled, out of money, down, confused, unwilling."""

from typing import Any

from definitions_for_tests import Definition, chain, edge, node
from model_server import asks_for, cuts, fails, garbles, refuses, says

from laboratory import canary
from laboratory.outside import fine, silence, status
from laboratory.scenario import Case, Expected, Scenario, cured, told

MODEL, OTHER, SHOP = "model", "other model", "shop"


def _node(case: Case, **more: Any) -> Definition:
    given = {
        "model": f"{case.mark}-large",
        "base_url": case.url(MODEL, "/v1"),
        "prompt": "Whose ticket is this?",
        "request_timeout_s": 3,
        **more,
    }
    return node("sort", "AI_AGENT.AGENT", **given)


def _agent(case: Case) -> Definition:
    return chain(case.mark, _node(case))


def _claude(case: Case) -> Definition:
    url = case.url(MODEL, "")
    return chain(case.mark, _node(case, provider="anthropic", base_url=url))


def _limited(case: Case) -> Definition:
    return _using(case, agent={"steps_max": 2})


def _using(case: Case, agent: dict[str, Any] | None = None, **tool: Any) -> Definition:
    """Let an agent use a tool."""
    made = chain(case.mark, _node(case, **(agent or {})))
    arguments = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}
    given = {
        "name": "look",
        "description": "Looks an order up.",
        "url": case.url(SHOP, "/look"),
        "arguments": arguments,
        "timeout_s": 2,
        **tool,
    }
    made["nodes"].append(node("look", "TOOL.HTTP", **given))
    made["connections"].append({**edge("look", "sort"), "connection_type": "AI_TOOL"})
    return made


def _looks(case: Case) -> Definition:
    return _using(case)


def _orders(case: Case) -> Definition:
    return _using(case, method="POST")


LIMIT = fails(429, "rate_limit_exceeded", "Rate limit reached", "retry-after: 2\r\n", "tokens")
QUOTA = fails(429, "insufficient_quota", "You exceeded your current quota")
KEY = fails(401, "invalid_api_key", f"Incorrect API key provided, {canary.KEY.text}")
UNKNOWN_MODEL = fails(404, "model_not_found", "The model does not exist")

SCENARIOS = (
    Scenario(
        "a model is throttled and says when to come back",
        "models",
        _agent,
        [cured("rate_limit", "backoff", calls={MODEL: 2})],
        {MODEL: [LIMIT, says("billing")]},
    ),
    Scenario(
        "a model is throttled and says no more",
        "models",
        _agent,
        [cured("rate_limit", "backoff", calls={MODEL: 2})],
        {MODEL: [fails(429, "rate_limit_exceeded", "Slow down"), says("billing")]},
    ),
    Scenario(
        "a model's account is out of money, and there is no other",
        "models",
        _agent,
        [told("quota_exhausted", {MODEL: 1})],
        {MODEL: [QUOTA]},
    ),
    Scenario(
        "a model's provider answers 500 and 503",
        "models",
        _agent,
        [cured("dependency_down", "backoff", "backoff", calls={MODEL: 3})],
        {
            MODEL: [
                fails(500, "server_error", "The server had an error"),
                fails(503, "server_error", "The engine is currently overloaded"),
                says("billing"),
            ]
        },
    ),
    Scenario(
        "another provider is overloaded",
        "models",
        _claude,
        [cured("dependency_down", "backoff", calls={MODEL: 2})],
        {MODEL: [fails(529, "overloaded_error", "Overloaded"), says("billing")]},
    ),
    Scenario(
        "a model does not answer in time",
        "models",
        _agent,
        [cured("timeout", "backoff", calls={MODEL: 2})],
        {MODEL: [silence(), says("billing")]},
    ),
    Scenario(
        "a model's connection is cut",
        "models",
        _agent,
        [cured("network", "retry_now", calls={MODEL: 2})],
        {MODEL: [cuts(), says("billing")]},
    ),
    Scenario(
        "a model's provider answers with half a JSON",
        "models",
        _agent,
        [cured("output_invalid", "retry_now", calls={MODEL: 2})],
        {MODEL: [garbles(), says("billing")]},
    ),
    Scenario(
        "a model's key is wrong",
        "models",
        _agent,
        [told("auth", {MODEL: 1})],
        {MODEL: [KEY]},
    ),
    Scenario(
        "a model does not exist, and there is no other",
        "models",
        _agent,
        [told("data_missing", {MODEL: 1})],
        {MODEL: [UNKNOWN_MODEL]},
    ),
    Scenario(
        "a model refuses, and there is no other",
        "models",
        _agent,
        [told("model_refusal", {MODEL: 1})],
        {MODEL: [refuses("I cannot help with that")]},
    ),
    Scenario(
        "a model comes to no end within its author's limit",
        "models",
        _limited,
        [Expected("ERROR", ["resource_exhausted"], ["escalate_human"], "escalated", {MODEL: 2})],
        {MODEL: [asks_for(("look", {"id": "7"}))], SHOP: [fine()]},
    ),
    Scenario(
        "a tool fails, and the model goes on without it",
        "models",
        _looks,
        [Expected("SUCCESS", [], [], "", {MODEL: 2, SHOP: 1})],
        {MODEL: [asks_for(("look", {"id": "7"})), says("other")], SHOP: [status(500)]},
    ),
    Scenario(
        "a model fails after its tool was called, and the call is not made twice",
        "models",
        _orders,
        [cured("dependency_down", "backoff", calls={MODEL: 3, SHOP: 1})],
        {
            MODEL: [
                asks_for(("look", {"id": "7"})),
                fails(503, "server_error", "overloaded"),
                says("other"),
            ],
            SHOP: [fine()],
        },
    ),
)
