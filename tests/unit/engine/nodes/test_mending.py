"""How an agent is changed for another attempt, and how verdicts are applied to it."""

from typing import Any

from perdure_engine.executions.overriding import bad_overrides, overridden, unfit_overrides
from perdure_engine.nodes.mending import (
    KEPT_MIN,
    agents_again,
    agents_fallbacks,
    agents_less,
    shortened,
)
from playing import Play

AGENT: dict[str, Any] = {
    "provider": "openai",
    "model": "m",
    "prompt": "a" * 5_000 + "b" * 5_000,
    "fallbacks": [
        {"model": "m2"},
        {"provider": "anthropic", "model": "c", "credential": "k"},
        {"provider": "openai", "model": "m", "base_url": "http://elsewhere"},
    ],
}


def test_only_another_provider_or_place_is_a_fallback() -> None:
    found = agents_fallbacks(AGENT)
    assert [(each["provider"], each["model"], each["base_url"]) for each in found] == [
        ("anthropic", "c", ""),
        ("openai", "m", "http://elsewhere"),
    ]
    there = agents_fallbacks({**AGENT, **found[0]})
    assert [each["model"] for each in there] == ["m2", "m"]


def test_the_middle_of_a_long_prompt_is_left_out() -> None:
    less = agents_less(AGENT, 0.25)
    prompt = less["prompt"]
    assert prompt.startswith("a" * 1_250)
    assert prompt.endswith("b" * 1_250)
    assert "7500 characters left out" in prompt
    assert less["reduced_to"] == 0.25
    assert shortened("x" * KEPT_MIN, 0.01) == "x" * KEPT_MIN


def test_an_agent_is_told_what_was_wrong() -> None:
    again = agents_again(AGENT, ["`n` is no number"])
    assert again["prompt"].startswith(AGENT["prompt"])
    assert "- `n` is no number" in again["prompt"]


def agent() -> Any:
    play = Play(
        {
            "name": "w",
            "nodes": [
                {"node_id": "start", "node_type": "TRIGGER", "node_subtype": "MANUAL",
                 "name": "start", "parameters": {}},
                {"node_id": "a", "node_type": "AI_AGENT", "node_subtype": "AGENT", "name": "a",
                 "parameters": {"model": "m", "prompt": "p"}},
                {"node_id": "n", "node_type": "FLOW", "node_subtype": "NOOP", "name": "n",
                 "parameters": {}},
            ],
            "connections": [],
        }
    )  # fmt: skip
    return play.workflow.by_id


def test_a_verdict_changes_what_its_node_can_change() -> None:
    nodes = agent()
    changed = overridden(
        nodes["a"], AGENT, {"parameters": {"model": "z"}, "reduce": 0.5, "reprompt": ["no"]}
    )
    assert changed["model"] == "z"
    assert changed["reduced_to"] == 0.5
    assert "- no" in changed["prompt"]
    assert overridden(nodes["a"], AGENT, None) is AGENT
    refused = unfit_overrides(nodes["n"], {"reduce": 0.5})
    assert refused is not None
    assert "cannot reduce" in refused.reason
    for wrong in ({"reduce": 1.5}, {"reprompt": "no"}, {"avoid": 3}, {"else": 1}):
        assert bad_overrides(wrong) is not None
