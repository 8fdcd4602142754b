"""TRIGGER CRON: a clock starts the workflow.

Five fields: minute, hour, day of the month, month, day of the week; or six, with the second first.
`@daily` and its like are known. The item has `scheduled_at`, `scheduled_local`, `timezone`,
`fired_at`, `missed_count` and `backfill`. How changes of clocks, lateness and overlapping runs are
dealt with is told in docs/trigger-cron.md; `perdure triggers next` shows the next firings. What the
expression means is checked when the workflow is deployed.
"""

from .base import NodeSpecification, Parameter

SPECIFICATION = NodeSpecification(
    node_type="TRIGGER",
    subtype="CRON",
    summary="A clock starts the workflow.",
    place="trigger",
    parameters=(
        Parameter("expression", "text", "When it fires, such as 0 9 * * 1-5.", optional=False),
        Parameter("timezone", "text", "The IANA time zone of the expression.", default="UTC"),
        Parameter(
            "gap",
            "text",
            "What becomes of times that the clocks leave out: later, or not at all.",
            default="shift",
            choices=("shift", "skip"),
        ),
        Parameter(
            "misfire",
            "text",
            "What becomes of firings missed by more than a minute: the last one, none, or all.",
            default="fire_once",
            choices=("fire_once", "skip", "fire_all"),
        ),
        Parameter(
            "overlap",
            "text",
            "What becomes of a firing while the execution before it is open.",
            default="skip",
            choices=("skip", "queue", "allow", "cancel_previous"),
        ),
        Parameter(
            "jitter_s",
            "integer",
            "The most seconds that a firing comes later than scheduled, by its id.",
            default=0,
            least=0,
        ),
    ),
    inputs=(),
    example={"expression": "0 9 * * 1-5", "timezone": "Europe/Berlin"},
)
