"""The parameter by which nodes name a credential instead of having a secret in them."""

import re
from collections.abc import Iterable

from .base import Fault, Parameter, Parameters

HANDLE = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
"""What a credential may be called."""

CREDENTIAL = "credential"


def credential(fields: str) -> Parameter:
    """Return the parameter; `fields` says what the credential must have.

    It takes no expressions: data that passes through must not choose whose secret is used.
    """
    return Parameter(
        CREDENTIAL,
        "text",
        f"The name of a credential with {fields}; `perdure credentials set` makes one.",
    )


def handle_faults(parameters: Parameters) -> Iterable[Fault]:
    """Find a name that no credential can have."""
    handle = parameters.get(CREDENTIAL)
    if isinstance(handle, str) and "{{" not in handle and not HANDLE.fullmatch(handle):
        yield Fault(
            "invalid_parameter",
            CREDENTIAL,
            f"{handle[:80]!r} cannot be a credential's name; use small letters, digits, `.`, `_` "
            "and `-`",
        )


def secret_faults(parameters: Parameters, *names: str) -> Iterable[Fault]:
    """Find that a secret is missing, or given twice: in a parameter and by a credential."""
    yield from handle_faults(parameters)
    written = [name for name in names if parameters.get(name) is not None]
    if parameters.get(CREDENTIAL) is None and not written:
        text = f"needs `{CREDENTIAL}`" + "".join(f" or `{name}`" for name in names)
        yield Fault("missing_parameter", CREDENTIAL, f"the node {text}")
    if parameters.get(CREDENTIAL) is not None and written:
        text = f"`{written[0]}` is given by the credential; take one of them away"
        yield Fault("invalid_parameter", written[0], text)
