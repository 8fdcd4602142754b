"""What kind of failure it is, and how we know. Pure; the tables are beside it.

Asked in this order, the first that says something wins: the node's own override, codes of
the other side, SQLSTATE, the engine's typed codes, the class along its bases, the causes,
the HTTP status, words of the message; then what is weak because it is broad.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

from perdure_contracts.engine import ErrorFacts
from perdure_contracts.patterns import FailureType, PatternSource

from . import classification_tables as tables
from .classification_classes import CLASSES, CLASSES_WEAK, GENERIC, NO_ERROR, ROOT_CAUSE
from .signature import text_of

_GROUPS = ("ExceptionGroup", "BaseExceptionGroup")

Found: TypeAlias = tuple[FailureType, str]
"""A failure type, and the id of the rule that found it: `status:503`, `class:httpx.ReadError`."""


@dataclass(frozen=True, slots=True)
class Classification:
    """The kind of a failure. `rule_id` names what decided; `source` fills pattern_source.

    With `own_limit` the workflow ran into a limit that its people set; `throttled` asks for
    longer waits; `fallback_allowed` says that another model or provider might do.
    """

    failure_type: FailureType
    rule_id: str
    root_cause_category: str
    source: PatternSource = "rule"
    own_limit: bool = False
    throttled: bool = False
    fallback_allowed: bool = False


def classify(error: ErrorFacts, override: FailureType | None = None) -> Classification:
    """Return the kind of `error`; `override` is what the node's author says it is.

    What the platform itself has found about a node (its worker is lost, a limit is reached, an
    effect is in doubt) is no author's to say.
    """
    override = None if error.type in tables.NOT_OVERRIDDEN else override
    failure_type, rule_id = (override, "override") if override else _found(error)
    model_is_missing = failure_type == "data_missing" and error.dependency.startswith("llm:")
    return Classification(
        failure_type=failure_type,
        rule_id=rule_id,
        root_cause_category=_root_cause(failure_type, error),
        source="override" if override else "rule",
        own_limit=error.type in tables.OWN_LIMITS,
        throttled=failure_type == "rate_limit"
        or error.status_code in (429, 529)
        or error.sqlstate == "53300",
        fallback_allowed=failure_type in ("dependency_down", "quota_exhausted", "model_refusal")
        or model_is_missing,
    )


def _found(error: ErrorFacts) -> Found:
    strong = (
        _of_codes(error)
        or _of_sqlstate(error)
        or _of_engine(error)
        or _of_classes(error.classes)
        or _of_causes(error)
        or _of_status(error)
    )
    if strong is not None:
        return _sharpened(strong, error)
    return _of_message(error) or _of_what_is_broad(error) or ("unknown", "unknown")


def _of_codes(error: ErrorFacts) -> Found | None:
    for code in error.codes:
        if code in tables.CODES:
            return tables.CODES[code], f"code:{code}"
    return None


def _of_sqlstate(error: ErrorFacts) -> Found | None:
    state = error.sqlstate
    if not state or len(state) != 5 or state[:2] in ("00", "01"):  # these are no failures
        return None
    if state == "57014" and "user request" in error.message:
        return "cancelled", "sqlstate:57014"
    if state in tables.SQLSTATES:
        return tables.SQLSTATES[state], f"sqlstate:{state}"
    return tables.SQLSTATE_CLASSES.get(state[:2], "code_bug"), f"sqlstate:{state[:2]}"


def _of_engine(error: ErrorFacts) -> Found | None:
    if error.type in tables.ENGINE_CODES:
        return tables.ENGINE_CODES[error.type], f"engine:{error.type}"
    return None


def _of_classes(classes: Sequence[str]) -> Found | None:
    """Look up each base in turn; once a package's own table answered, built-ins are silent."""
    known = False
    for package, name in _named(classes):
        if package == "builtins" and known:
            return None
        says = CLASSES.get((package, name))
        known = known or says is not None or (package, name) in CLASSES_WEAK
        if says is not None and says not in (GENERIC, NO_ERROR):
            return cast("FailureType", says), f"class:{package}.{name}"
    return None


def _of_causes(error: ErrorFacts) -> Found | None:
    """Let the causes speak for a class that says nothing; a group must be of one mind."""
    if not error.causes:
        return None
    if not any(name in _GROUPS for _, name in _named(error.classes)):
        found = _of_classes(error.causes)
        return (found[0], f"cause:{found[1]}") if found else None
    leaves = [leaf for cause in error.causes if (leaf := _of_classes([cause]))]
    one_mind = len({failure_type for failure_type, _ in leaves}) == 1
    return (leaves[0][0], "cause:group") if one_mind else None


def _of_status(error: ErrorFacts) -> Found | None:
    status = error.status_code
    if status is None or not 300 <= status <= 599 or status in tables.STATUSES_WEAK:
        return None
    says: FailureType = "dependency_down" if status >= 500 else "validation"
    if status in tables.VERSIONED_STATUSES and _speaks_of_version(error):
        says = "conflict"
    return tables.STATUSES.get(status, says), f"status:{status}"


def _speaks_of_version(error: ErrorFacts) -> bool:
    text = " ".join((error.message[: tables.TEXT_MAX], *error.codes)).lower()
    return any(word in text for word in ("version", "etag", "if-match", "precondition", "revision"))


def _of_message(error: ErrorFacts) -> Found | None:
    text = text_of(error)[: tables.TEXT_MAX]
    for rule_id, failure_type, pattern in tables.PATTERNS:
        if pattern.search(text):
            return failure_type, rule_id
    return None


def _of_what_is_broad(error: ErrorFacts) -> Found | None:
    for code in error.codes:
        if code in tables.CODES_WEAK:
            return tables.CODES_WEAK[code], f"code:{code}"
    for package, name in _named(error.classes):
        if (package, name) in CLASSES_WEAK:
            return cast("FailureType", CLASSES_WEAK[package, name]), f"class:{package}.{name}"
    status = error.status_code
    if status in tables.STATUSES_WEAK:
        return tables.STATUSES_WEAK[status], f"status:{status}"
    return None


def _sharpened(found: Found, error: ErrorFacts) -> Found:
    """Say more than `network` where a cause or the message knows more."""
    if found[0] != "network":
        return found
    for package, name in _named(error.causes):
        if CLASSES.get((package, name)) == "auth":
            return "auth", f"cause:{package}.{name}"
    for rule_id, failure_type, pattern in tables.PATTERNS:
        if rule_id in tables.SHARPENING and pattern.search(error.message[: tables.TEXT_MAX]):
            return failure_type, rule_id
    return found


def _root_cause(failure_type: FailureType, error: ErrorFacts) -> str:
    if error.type == "stalled":
        return "platform"
    if failure_type == "output_invalid" and not error.dependency.startswith("llm:"):
        return "provider"
    return ROOT_CAUSE[failure_type]


def _named(classes: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Split `httpx.ReadError` and `asyncpg.exceptions.DataError` into (package, class)."""
    for entry in classes:
        package, _, name = entry.rpartition(".")
        yield package.partition(".")[0] or "builtins", name
