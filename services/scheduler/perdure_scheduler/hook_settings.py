"""What WEBHOOK, GITHUB and SLACK nodes may say about HTTP, checked when they are deployed. Pure.

What is kept of a node is its `config`: the filters, and how requests to its path are judged and
answered. Secrets are never in it, only the name of the credential that has them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from perdure_contracts.message import Json
from perdure_contracts.topology import FIRST_WORD

PATH_LENGTH_MAX = 255
HANDLE_EXAMPLE = "hooks"

FIELDS: Mapping[str, tuple[str, ...]] = {
    "standard": ("secret",),
    "github": ("secret",),
    "slack": ("secret",),
    "hmac": ("secret",),
    "bearer": ("token",),
    "basic": ("username", "password"),
    "none": (),
}
"""How a request proves where it comes from, and the fields of a credential that this takes."""

PREVIOUS = "previous_"
"""What the field of a second secret begins with, which is taken too while senders change over."""

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
ALGORITHMS = ("sha256", "sha512")
ENCODINGS = ("hex", "base64")
RESPONDS = ("immediate", "last_node", "respond_node")
DEADLINE_S = 30
DEADLINE_S_MAX = 300

RATE_MAX = 60_000
"""Requests a minute that a trigger may ask for in any installation."""

BODY_BYTES = (1, 64 * 1024 * 1024)
"""The least and the most that a trigger may say of its bodies in any installation."""

LIMITS: Mapping[str, tuple[int, int]] = {
    "rate_per_minute": (1, RATE_MAX),
    "body_bytes_max": BODY_BYTES,
}
"""The limits that a trigger may have of its own, each with the least and the most."""

HMAC_ONLY = ("signature_header", "algorithm", "encoding", "prefix", "timestamp_header")
WEBHOOK = (
    *("path", "methods", "auth", "credential", "respond", "deadline_s", "delivery_header"),
    *LIMITS,
    *HMAC_ONLY,
)

DEFAULT_PATHS: Mapping[str, str] = {"GITHUB": "/github", "SLACK": "/slack"}
"""Where these triggers listen unless their node has a path; several may share one."""


class Parameters(Protocol):
    """The part of `definition.Parameters` that is needed here."""

    @property
    def values(self) -> Mapping[str, Any]:
        """Return what the node says."""
        ...

    def refuse(self, code: str, reason: str) -> None:
        """Note a problem of the node."""
        ...

    def text(self, name: str, example: str) -> str:
        """Return a text that must be there."""
        ...

    def words(self, name: str, example: str) -> list[str]:
        """Return a list of texts."""
        ...


def path_key(path: str) -> str:
    """Return a webhook's path as it is looked up: one leading slash, none at the end."""
    return "/" + path.strip("/")


def read_path(parameters: Parameters, default: str = "") -> str:
    """Return the node's path as it is looked up."""
    if default and "path" not in parameters.values:
        return default
    path = path_key(parameters.text("path", default or "/orders"))
    if any(sign in path for sign in "?#% ") or len(path) > PATH_LENGTH_MAX:
        parameters.refuse(
            "invalid_parameter",
            f"`path` is {path!r}; write the path alone, such as '/orders/new'",
        )
    return path


def read_webhook(parameters: Parameters) -> dict[str, Json]:
    """Return the settings of a WEBHOOK node, without those that are as they are by default."""
    config: dict[str, Json] = {"path": read_path(parameters)}
    config |= _auth(parameters)
    methods = [word.upper() for word in parameters.words("methods", "POST")]
    _choices(parameters, "methods", methods, METHODS)
    if methods and methods != ["POST"]:
        config["methods"] = methods
    _respond(parameters, config)
    if "delivery_header" in parameters.values:
        config["delivery_header"] = _header(parameters, "delivery_header", "X-Delivery-Id")
    return config | _limits(parameters)


def _limits(parameters: Parameters) -> dict[str, Json]:
    """Return how many requests a trigger asks for, and how large, where it says so."""
    return {
        name: _whole(parameters, name, bounds)
        for name, bounds in LIMITS.items()
        if name in parameters.values
    }


def read_shared(parameters: Parameters, subtype: str) -> dict[str, Json]:
    """Return the settings of a GITHUB or SLACK node, empty if it does not listen on HTTP.

    It does if it names a credential: GitHub and Slack sign what they send.
    """
    if "credential" not in parameters.values:
        if subtype == "SLACK" or any(name in parameters.values for name in ("path", *LIMITS)):
            parameters.refuse(
                "missing_parameter",
                f"`credential` must name a credential with `secret`, such as {HANDLE_EXAMPLE!r}: "
                "requests are signed with it",
            )
        return {}
    path = read_path(parameters, DEFAULT_PATHS[subtype])
    config: dict[str, Json] = {"path": path, "auth": subtype.lower()}
    return config | {"credential": _credential(parameters)} | _limits(parameters)


def _auth(parameters: Parameters) -> dict[str, Json]:
    auth: Any = parameters.values.get("auth")
    if not isinstance(auth, str) or auth not in FIELDS:
        given = "is not there" if auth is None else f"is {str(auth)[:40]!r}"
        parameters.refuse(
            "missing_auth" if auth is None else "invalid_parameter",
            f"`auth` {given}; write one of {', '.join(FIELDS)}: `none` lets everybody start "
            "the workflow, so it must be written",
        )
        return {}
    config: dict[str, Json] = {"auth": auth}
    if FIELDS[auth]:
        config["credential"] = _credential(parameters)
    elif "credential" in parameters.values:
        parameters.refuse("invalid_parameter", "`credential` is not used with `auth: none`")
    _hmac(parameters, auth, config)
    return config


def _hmac(parameters: Parameters, auth: str, config: dict[str, Json]) -> None:
    given = [name for name in HMAC_ONLY if name in parameters.values]
    if auth != "hmac":
        if given:
            parameters.refuse(
                "invalid_parameter", f"`{given[0]}` is for `auth: hmac`, not for {auth}"
            )
        return
    config["signature_header"] = _header(parameters, "signature_header", "X-Signature")
    for name, known in (("algorithm", ALGORITHMS), ("encoding", ENCODINGS)):
        value = parameters.values.get(name, known[0])
        _choices(parameters, name, [value], known)
        config[name] = value
    prefix = parameters.values.get("prefix", "")
    if not isinstance(prefix, str) or len(prefix) > 50 or not prefix.isascii():
        parameters.refuse("invalid_parameter", "`prefix` must be a short text, such as 'sha256='")
    config["prefix"] = prefix
    if "timestamp_header" in parameters.values:
        config["timestamp_header"] = _header(parameters, "timestamp_header", "X-Timestamp")


def _respond(parameters: Parameters, config: dict[str, Json]) -> None:
    respond = parameters.values.get("respond", "immediate")
    _choices(parameters, "respond", [respond], RESPONDS)
    deadline = parameters.values.get("deadline_s")
    if deadline is not None and (
        not isinstance(deadline, int)
        or isinstance(deadline, bool)
        or not 0 < deadline <= DEADLINE_S_MAX
        or respond == "immediate"
    ):
        parameters.refuse(
            "invalid_parameter",
            f"`deadline_s` must be 1 to {DEADLINE_S_MAX}, with `respond: last_node` or "
            "`respond: respond_node`",
        )
    if respond != "immediate":
        config["respond"] = respond
        config["deadline_s"] = deadline or DEADLINE_S


def _credential(parameters: Parameters) -> str:
    return parameters.text("credential", HANDLE_EXAMPLE)


def _header(parameters: Parameters, name: str, example: str) -> str:
    text = parameters.text(name, example).lower()
    if text and not (text.isascii() and all(sign.isalnum() or sign in "-_" for sign in text)):
        parameters.refuse("invalid_parameter", f"`{name}` must be a header, such as {example!r}")
    return text


def _whole(parameters: Parameters, name: str, bounds: tuple[int, int]) -> int:
    value: Any = parameters.values[name]
    least, most = bounds
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    text = f"`{name}` must be a whole number from {least} to {most:,}; without it the setting holds"
    parameters.refuse("invalid_parameter", text)
    return least


def _choices(
    parameters: Parameters, name: str, given: Iterable[object], known: tuple[str, ...]
) -> None:
    for value in given:
        if value not in known:
            parameters.refuse(
                "invalid_parameter",
                f"`{name}` is {str(value)[:40]!r}; it may be {', '.join(known)}",
            )


# What a deployment asks of these settings -------------------------------------------


def secrets_of(config: Json) -> tuple[str, tuple[str, ...]] | None:
    """Return the credential that a trigger's requests are judged by, and the fields it takes."""
    settings = _mapping(config)
    handle = settings.get("credential")
    if not isinstance(handle, str) or not handle:
        return None
    return handle, FIELDS.get(str(settings.get("auth")), ())


def asked_of(config: Json, name: str) -> int | None:
    """Return a limit that a trigger asks for, None if it asks for none."""
    asked = _mapping(config).get(name)
    return asked if isinstance(asked, int) else None


@dataclass(frozen=True)
class HookCaps:
    """The most that triggers of this installation may ask for; a rate of 0 is any.

    `topic_prefix` is what perdure's own topics begin with: nobody may ask for those.
    """

    rate_per_minute: int = 0
    body_bytes: int = BODY_BYTES[1]
    topic_prefix: str = FIRST_WORD

    def rate_of(self, config: Json) -> int | None:
        """Return how many requests a minute a trigger takes, None if it says nothing."""
        asked = asked_of(config, "rate_per_minute")
        if asked is None or not self.rate_per_minute:
            return asked
        return min(asked, self.rate_per_minute)

    def body_bytes_of(self, config: Json) -> int | None:
        """Return how large its bodies may be, None if it says nothing."""
        asked = asked_of(config, "body_bytes_max")
        return None if asked is None else min(asked, self.body_bytes)


UNCAPPED = HookCaps()
"""Of an installation that has no caps: where nobody says which there are."""


def methods_of(config: Json) -> tuple[str, ...]:
    """Return the methods with which requests to a trigger may come."""
    return tuple(_mapping(config).get("methods") or ("POST",))


def path_of(config: Json) -> str | None:
    """Return the path under which a trigger listens on HTTP, None if it does not."""
    path = _mapping(config).get("path")
    return path if isinstance(path, str) else None


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
