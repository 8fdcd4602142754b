"""TRIGGER GITHUB: what happens in a repository starts the workflow.

The repository is `owner/name`, `owner/*`, `owner`, or `*` for all. A filter is one text or a
list; an event must fit all filters that are there. docs/trigger-github.md tells the rest.
"""

import re
from collections.abc import Iterable

from .base import Fault, NodeSpecification, Parameter, Parameters
from .credential import credential, handle_faults
from .hook_limits import LIMITS
from .word_filters import filter_faults

REPOSITORY = re.compile(r"\*|[A-Za-z0-9_.-]+(/([A-Za-z0-9_.-]+|\*))?")
"""What is listened to: `owner/name`, `owner/*`, `owner`, or `*` for all."""

FILTERS = {"events": "issues", "actions": "opened", "branches": "main", "paths": "docs/*"}
"""The filters, each with an example."""


def _check(parameters: Parameters) -> Iterable[Fault]:
    repository = parameters.get("repository")
    if isinstance(repository, str) and not REPOSITORY.fullmatch(repository.strip()):
        yield Fault(
            "invalid_parameter",
            "repository",
            f"`repository` is {repository[:80]!r}; write 'owner/name', 'owner/*', 'owner' or '*'",
        )
    yield from filter_faults(parameters, FILTERS)
    yield from handle_faults(parameters)


SPECIFICATION = NodeSpecification(
    node_type="TRIGGER",
    subtype="GITHUB",
    summary="Starts on an event of a GitHub repository.",
    place="trigger",
    parameters=(
        Parameter("repository", "text", "What is listened to: owner/name.", optional=False),
        Parameter("events", "any", "Names of events, such as issues or push; none is all."),
        Parameter("actions", "any", "Actions of the event, such as opened; none is all."),
        Parameter("branches", "any", "Branches, with * for any text; none is all."),
        Parameter("paths", "any", "Paths of changed files, with * for any text; none is all."),
        credential("`secret`, which GitHub signs with; without it events come by topic only"),
        Parameter("path", "text", "Where GitHub sends to; /github if left out."),
        *LIMITS,
    ),
    inputs=(),
    check=_check,
    example={"repository": "acme/shop", "events": ["issues"], "actions": ["opened"]},
)
