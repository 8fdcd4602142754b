"""Where each kind of node takes what its credential has."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

from perdure_engine.nodes.external_action_http_request import AUTH_KINDS
from perdure_engine.runner.failures import Failed
from perdure_engine.runner.secrets import lacking

Parameters: TypeAlias = Mapping[str, Any]
Put: TypeAlias = Callable[[Parameters, Mapping[str, str]], Parameters | Failed]


def with_secrets(
    kind: tuple[str, str], parameters: Parameters, fields: Mapping[str, str]
) -> Parameters | Failed:
    """Return the parameters of one item with what its credential has in their places."""
    return PUT[kind](parameters, fields)


def _auth(parameters: Parameters, fields: Mapping[str, str]) -> Parameters | Failed:
    """HTTP_REQUEST: the credential gives what the kind of authentication needs."""
    auth = parameters.get("auth")
    given = cast("dict[str, Any]", auth) if isinstance(auth, dict) else {"kind": "bearer"}
    needed = [name for name in AUTH_KINDS[given["kind"]] if given.get(name) is None]
    failed = lacking(parameters["credential"], fields, *needed)
    if failed is not None:
        return failed
    return {**parameters, "auth": {**given, **{name: fields[name] for name in needed}}}


def _needing(*names: str) -> Put:
    def put(parameters: Parameters, fields: Mapping[str, str]) -> Parameters | Failed:
        failed = lacking(parameters["credential"], fields, *names)
        if failed is not None:
            return failed
        return {**parameters, **{name: fields[name] for name in names}}

    return put


PUT: Mapping[tuple[str, str], Put] = {
    ("EXTERNAL_ACTION", "HTTP_REQUEST"): _auth,
    ("EXTERNAL_ACTION", "SQL"): _needing("url"),
    ("EXTERNAL_ACTION", "SEND_EMAIL"): _needing("url"),
    ("EXTERNAL_ACTION", "SLACK"): _needing("token"),
    ("EXTERNAL_ACTION", "GITHUB"): _needing("token"),
    ("EXTERNAL_ACTION", "GOOGLE_CALENDAR"): _needing("token"),
}
