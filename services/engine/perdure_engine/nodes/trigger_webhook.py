"""TRIGGER WEBHOOK: an HTTP request to a path starts the workflow.

The item is the body: JSON as it is, a form as an object, XML as objects, text as `{text}`, bytes as
`{base64, …}`, what is too large as `{payload: {url, …}}`; without a body it is the query. Method,
query and headers are in `$execution.trigger.http`. `auth` must be written when the workflow is
deployed: `none` lets everybody start it. docs/trigger-webhook.md tells the rest.
"""

from collections.abc import Iterable

from .base import Fault, NodeSpecification, Parameter, Parameters
from .credential import credential, handle_faults
from .hook_limits import LIMITS

PATH_LENGTH_MAX = 255
"""Characters of a path; it is the key that requests are looked up by."""


def _check(parameters: Parameters) -> Iterable[Fault]:
    path = parameters.get("path")
    if isinstance(path, str) and (
        not path.strip("/ ") or len(path) > PATH_LENGTH_MAX or any(sign in path for sign in "?# ")
    ):
        yield Fault(
            "invalid_parameter",
            "path",
            f"`path` is {path[:80]!r}; write the path alone, such as '/orders/new', "
            f"at most {PATH_LENGTH_MAX} characters",
        )
    yield from handle_faults(parameters)


SPECIFICATION = NodeSpecification(
    node_type="TRIGGER",
    subtype="WEBHOOK",
    summary="Starts on an HTTP request to its path.",
    place="trigger",
    parameters=(
        Parameter("path", "text", "The path, such as /orders/new.", optional=False),
        Parameter("methods", "any", "HTTP methods, one or a list; POST if left out."),
        Parameter(
            "auth",
            "text",
            "How a request proves where it comes from.",
            choices=("standard", "github", "slack", "hmac", "bearer", "basic", "none"),
        ),
        credential("`secret` (bearer: `token`, basic: `username`, `password`)"),
        Parameter("signature_header", "text", "hmac: the header with the signature."),
        Parameter("algorithm", "text", "hmac: the hash; sha256.", choices=("sha256", "sha512")),
        Parameter("encoding", "text", "hmac: hex or base64; hex.", choices=("hex", "base64")),
        Parameter("prefix", "text", "hmac: what stands before the signature, such as sha256=."),
        Parameter("timestamp_header", "text", "hmac: the header with a time that is signed too."),
        Parameter("delivery_header", "text", "The header with the id of a delivery."),
        Parameter(
            "respond",
            "text",
            "What is answered: at once, the result, or what a RESPOND node says.",
            default="immediate",
            choices=("immediate", "last_node", "respond_node"),
        ),
        Parameter("deadline_s", "integer", "How long an answer is waited for.", least=1, most=300),
        *LIMITS,
    ),
    inputs=(),
    example={"path": "/orders/new", "auth": "standard", "credential": "orders"},
    check=_check,
)
