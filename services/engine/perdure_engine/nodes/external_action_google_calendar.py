"""EXTERNAL_ACTION GOOGLE_CALENDAR: makes, changes or deletes an event for each item.

`create_event` and `update_event` answer the event, `delete_event` answers `{id, deleted}`.
`start` and `end` are ISO 8601: a date is a whole day, and an event of whole days ends on the
day after its last.

Every operation may be repeated: a new event's id follows from the idempotency key, so a second
attempt finds the event that the first one made, and what is deleted already stays deleted.
"""

import re
from collections.abc import Iterable

from .base import Fault, NodeSpecification, Parameter, Parameters
from .credential import secret_faults
from .each import needs
from .services import BY_CREDENTIAL, ERRORS, TIMEOUT, TOKEN, attempt_timeout_s, effect_of, length

OPERATIONS = ("create_event", "update_event", "delete_event")

INSTANT = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d.*)?")
"""A date, or a date and a time."""


def _check(parameters: Parameters) -> Iterable[Fault]:
    wanted = {
        "create_event": ["summary", "start", "end"],
        "update_event": ["event_id"],
        "delete_event": ["event_id"],
    }
    yield from secret_faults(parameters, "token")
    yield from needs(parameters, wanted)
    for name in ("start", "end"):
        value = parameters.get(name)
        fixed = isinstance(value, str) and "{{" not in value
        if fixed and not INSTANT.fullmatch(str(value)):
            text = f"`{name}` is {str(value)[:80]!r}; write 2026-01-31 or 2026-01-31T12:00:00Z"
            yield Fault("invalid_parameter", name, text)


SPECIFICATION = NodeSpecification(
    node_type="EXTERNAL_ACTION",
    subtype="GOOGLE_CALENDAR",
    summary="Makes, changes or deletes an event for each item.",
    place="runner",
    parameters=(
        Parameter("operation", "text", "What to do.", optional=False, choices=OPERATIONS),
        BY_CREDENTIAL,
        TOKEN,
        Parameter(
            "calendar_id",
            "text",
            "Whose calendar; `primary` is the token's own.",
            default="primary",
            expressions=True,
        ),
        Parameter("event_id", "text", "The event that is changed or deleted.", expressions=True),
        Parameter("summary", "text", "The event's title.", expressions=True),
        Parameter("description", "text", "What it is about.", expressions=True),
        Parameter("location", "text", "Where it is.", expressions=True),
        Parameter("start", "text", "When it begins.", expressions=True),
        Parameter("end", "text", "When it ends.", expressions=True),
        Parameter("zone", "text", "The time zone of instants without offset.", expressions=True),
        Parameter("attendees", "list", "The guests' addresses.", expressions=True, most=200),
        Parameter(
            "send_updates",
            "text",
            "Which guests get a mail.",
            default="none",
            choices=("all", "externalOnly", "none"),
        ),
        TIMEOUT,
    ),
    effect=effect_of(dict.fromkeys(OPERATIONS, "keyed")),
    attempt_timeout_s=attempt_timeout_s,
    length=length,
    check=_check,
    example={
        "operation": "create_event",
        "credential": "calendar",
        "summary": "Delivery of order {{ $json.id }}",
        "start": "{{ $json.slot.start }}",
        "end": "{{ $json.slot.end }}",
        "zone": "Europe/Berlin",
        "attendees": ["{{ $json.email }}"],
    },
    errors=ERRORS,
)
