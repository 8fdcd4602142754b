"""EXTERNAL_ACTION GITHUB: files, changes or comments an issue for each item.

`create_issue` and `update_issue` answer `{id, number, url, state, title}`, `comment` answers
`{id, url}`. A pull request is an issue here too.

GitHub has no key against doubles. So a new issue or comment ends with a mark that people do not
see, and before one that may have been made is made again, it is looked for by its mark. An update
may be repeated. When GitHub's limit is reached, the instant at
which it is lifted is waited for.
"""

import re
from collections.abc import Iterable, Mapping

from perdure_contracts.engine import EffectClass

from .base import Fault, NodeSpecification, Parameter, Parameters
from .credential import secret_faults
from .each import needs
from .services import BY_CREDENTIAL, ERRORS, TIMEOUT, TOKEN, attempt_timeout_s, effect_of, length

OPERATIONS = ("create_issue", "update_issue", "comment")

EFFECTS: Mapping[str, EffectClass] = {
    "create_issue": "verify_first",
    "update_issue": "keyed",
    "comment": "verify_first",
}
"""What it costs to do an operation again."""

REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
"""`owner/name`."""


def _check(parameters: Parameters) -> Iterable[Fault]:
    wanted = {
        "create_issue": ["title"],
        "update_issue": ["number"],
        "comment": ["number", "body"],
    }
    yield from secret_faults(parameters, "token")
    yield from needs(parameters, wanted)
    repository = parameters.get("repository")
    fixed = isinstance(repository, str) and "{{" not in repository
    if fixed and not REPOSITORY.fullmatch(str(repository)):
        text = f"`repository` is {str(repository)[:80]!r}; write it as owner/name"
        yield Fault("invalid_parameter", "repository", text)


SPECIFICATION = NodeSpecification(
    node_type="EXTERNAL_ACTION",
    subtype="GITHUB",
    summary="Files, changes or comments an issue for each item.",
    place="runner",
    parameters=(
        Parameter("operation", "text", "What to do.", optional=False, choices=OPERATIONS),
        BY_CREDENTIAL,
        TOKEN,
        Parameter("repository", "text", "owner/name.", optional=False, expressions=True),
        Parameter("number", "any", "The issue's number.", expressions=True),
        Parameter("title", "text", "The issue's title.", expressions=True),
        Parameter("body", "text", "What the issue or the comment says.", expressions=True),
        Parameter("labels", "list", "The issue's labels.", expressions=True, most=100),
        Parameter("assignees", "list", "Who is to do it.", expressions=True, most=10),
        Parameter("state", "text", "Whether the issue is open.", choices=("open", "closed")),
        TIMEOUT,
    ),
    effect=effect_of(EFFECTS),
    attempt_timeout_s=attempt_timeout_s,
    length=length,
    check=_check,
    example={
        "operation": "create_issue",
        "credential": "github",
        "repository": "acme/shop",
        "title": "Checkout fails for {{ $json.customer }}",
        "body": "{{ $json.report }}",
        "labels": ["bug"],
    },
    errors=(*ERRORS, "effect_unknown"),
)
