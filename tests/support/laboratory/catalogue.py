"""All scenarios, in the order of the table in docs/laboratory.md."""

from laboratory import (
    scenarios_changed,
    scenarios_databases,
    scenarios_http,
    scenarios_models,
    scenarios_modes,
    scenarios_platform,
    scenarios_work,
)
from laboratory.scenario import Scenario

KILLED: tuple[Scenario, ...] = scenarios_platform.KILLED
"""What a worker is killed in, before the others begin."""

SCENARIOS: tuple[Scenario, ...] = (
    *scenarios_models.SCENARIOS,
    *scenarios_changed.SCENARIOS,
    *scenarios_http.SCENARIOS,
    *scenarios_databases.SCENARIOS,
    *scenarios_work.SCENARIOS,
    *scenarios_platform.SCENARIOS,
    *scenarios_modes.SCENARIOS,
)

LONG_NAMES = frozenset({
    "a model is throttled and says when to come back",
    "a model is throttled and says no more",
    "a model's provider answers 500 and 503",
    "another provider is overloaded",
    "a model's answer never holds to its schema",
    "a post without a key is refused by a limit",
})  # fmt: skip
"""Those that wait for long by their nature: a model's provider or a limit gives the time."""

SHORT: tuple[Scenario, ...] = tuple(each for each in SCENARIOS if each.name not in LONG_NAMES)
"""What a short look runs: all others."""
