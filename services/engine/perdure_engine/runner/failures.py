"""An exception as facts: what recovery and people are told about a failure."""

import traceback
from collections.abc import Iterator
from dataclasses import dataclass

from perdure_common.scrub import scrub_text
from perdure_contracts.engine import EffectState, ErrorFacts

MESSAGE_MAX = 1_000


@dataclass(frozen=True)
class Failed:
    """One item failed."""

    error: ErrorFacts


CAUSES_MAX = 5


def class_name(cls: type) -> str:
    """Return a class as `package.Class`: the top-level package says whose it is."""
    package = cls.__module__.partition(".")[0]
    return f"{package}.{cls.__qualname__}"


def _mro(error: BaseException) -> tuple[str, ...]:
    return tuple(class_name(c) for c in type(error).__mro__ if c not in (object, BaseException))


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen = {id(error)}
    cause = error.__cause__ or error.__context__
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def facts_of(
    error: BaseException,
    code: str,
    message: str,
    *,
    retryable: bool,
    codes: tuple[str, ...] = (),
    dependency: str = "",
    effect_state: EffectState = "not_sent",
) -> ErrorFacts:
    """Return what is known of `error`, its texts scrubbed of secrets."""
    causes = tuple(name for cause in list(_causes(error))[:CAUSES_MAX] for name in _mro(cause)[:1])
    return ErrorFacts(
        type=code,
        message=scrub_text(message)[:MESSAGE_MAX],
        retryable=retryable,
        classes=_mro(error),
        causes=causes,
        codes=codes,
        stage="run",
        dependency=dependency,
        effect_state=effect_state,
    )


def bug_of(error: BaseException) -> ErrorFacts:
    """Return the facts of an exception that no node should raise: a defect of perdure."""
    frames = tuple(
        (frame.filename.rpartition("/")[2], frame.name)
        for frame in traceback.extract_tb(error.__traceback__)[-5:]
    )
    return ErrorFacts(
        type="code_bug",
        message=scrub_text(f"{type(error).__name__}: {error}")[:MESSAGE_MAX],
        classes=_mro(error),
        frames=frames,
        stage="run",
        effect_state="unknown",
    )
