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
