"""MEMORY STORE: reads, writes, searches or forgets in a memory.

What `read` and `search` find leaves on `main`, an item for each; `write` and `forget` say what they
did. The service `memory` does it: a write is known by its node run, and a second one is none.
`search` and `forget` need `query` or `user`, `write` needs `content`; `budget_tokens` bounds what
`read` puts together for a prompt. Where no such service answers, `perdure executions why` says so,
and after `timeout_s` the node fails.
"""

from collections.abc import Iterable

from .base import Fault, NodeSpecification, Parameter, Parameters
from .each import needs

TYPES = (
    "conversation_buffer",
    "conversation_summary",
    "entity",
    "episodic",
    "knowledge",
    "graph",
    "document",
    "vector",
)
OPERATIONS = ("read", "write", "search", "forget")
TIMEOUT_S = 60.0


def _check(parameters: Parameters) -> Iterable[Fault]:
    yield from needs(parameters, {"write": ["content"], "search": ["query"]})
    if parameters.get("operation") == "forget" and not any(
        parameters.get(name) is not None for name in ("query", "user")
    ):
        yield Fault("missing_parameter", "query", "`forget` needs `query` or `user`")


SPECIFICATION = NodeSpecification(
    node_type="MEMORY",
    subtype="STORE",
    summary="Reads, writes, searches or forgets in a memory.",
    place="inline",
    parameters=(
        Parameter("memory_type", "text", "Which memory.", optional=False, choices=TYPES),
        Parameter("operation", "text", "What to do.", optional=False, choices=OPERATIONS),
        Parameter("query", "text", "What is looked for.", expressions=True),
        Parameter("collection", "text", "In which collection.", expressions=True),
        Parameter("user", "text", "Whose memory; by default everybody's.", expressions=True),
        Parameter("limit", "integer", "The most that is found.", default=10, least=1, most=1_000),
        Parameter("budget_tokens", "integer", "The most tokens of what is read.", least=1),
        Parameter("content", "any", "What is written.", expressions=True),
        Parameter(
            "timeout_s",
            "number",
            "How long its answer is waited for, in seconds.",
            default=TIMEOUT_S,
            least=1,
            most=3_600,
        ),
    ),
    check=_check,
    handled=True,
    example={
        "memory_type": "knowledge",
        "operation": "search",
        "query": "{{ $json.question }}",
        "limit": 5,
    },
    errors=("memory_failed", "memory_timeout", "memory_content_too_large"),
)
