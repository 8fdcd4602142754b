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

SHORT_NAMES: tuple[str, ...] = (
    "one provider of models is down, and another works",
    "a prompt is too long for its model",
    "a model's answer does not hold to its schema, once",
    "a token has expired, and a new one is kept meanwhile",
    "an answer is lost, and what may have been done must not be doubled: it is undone",
    "a server answers 503 twice",
    "a server says 429 and when to come back",
    "an answer does not come in time",
    "a connection breaks off in the middle of an answer",
    "nobody listens for a moment",
    "a post without a key may have happened",
    "a token may not do what is asked",
    "what is sent is refused as wrong",
    "somebody else changed the same thing",
    "two transactions wait for each other",
    "a row was changed after it was looked at",
    "a table is not there",
    "code has a defect",
    "data is not what an expression needs",
    "recovery is told of a failure three times",
    "a server says 503 where recovery only observes",
    "a server says 503 where recovery asks first, and a person agrees",
)
"""Some of every group, and of what recovery does: none of which waits longer than a few seconds."""

SHORT: tuple[Scenario, ...] = tuple(each for each in SCENARIOS if each.name in SHORT_NAMES)
"""What a short look runs."""
