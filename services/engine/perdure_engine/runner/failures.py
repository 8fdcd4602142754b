"""An exception as facts: what recovery and people are told about a failure."""

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from perdure_common.scrub import scrub_json, scrub_text
from perdure_contracts.engine import RETRY_AFTER_S_MAX, EffectState, ErrorFacts

import perdure_engine

MESSAGE_MAX = 1_000


@dataclass(frozen=True)
class Failed:
    """One item failed."""

    error: ErrorFacts


CAUSES_MAX = 5
CODES_MAX = 8
CODE_MAX = 80


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


def _names(error: BaseException) -> tuple[str, ...]:
    """Return the classes of what led to an error; of a group, those of its leaves."""
    if isinstance(error, BaseExceptionGroup):
        leaves = dict.fromkeys(class_name(type(each)) for each in _leaves(cast("Any", error)))
        return tuple(leaves)[:CAUSES_MAX]
    return tuple(class_name(type(cause)) for cause in list(_causes(error))[:CAUSES_MAX])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    inner: Sequence[BaseException] = getattr(error, "exceptions", ())
    if not inner:
        yield error
    for each in inner:
        yield from _leaves(each)


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
    return ErrorFacts(
        type=code,
        message=scrub_text(message)[:MESSAGE_MAX],
        retryable=retryable,
        classes=_mro(error),
        causes=_names(error),
        codes=codes,
        stage="run",
        dependency=dependency,
        effect_state=effect_state,
    )


FRAMES_MAX = 5
OURS = Path(perdure_engine.__file__).parent


def bug_of(error: BaseException) -> ErrorFacts:
    """Return the facts of an exception that no node should raise: a defect of perdure.

    Where it happened stands in `detail`: `frames` are for code of users, and that of a library
    would change the failure's signature with its next release.
    """
    places = [
        f"{Path(frame.filename).stem}:{frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(OURS)
    ]
    return ErrorFacts(
        type="code_bug",
        message=scrub_text(f"{type(error).__name__}: {error}")[:MESSAGE_MAX],
        classes=_mro(error),
        causes=_names(error),
        stage="run",
        effect_state="unknown",
        detail={"places": list(places[-FRAMES_MAX:])},
    )


def whole(text: str) -> str:
    """Return a text that can be sent: half a surrogate pair, which is no character, becomes `?`."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def told(error: ErrorFacts) -> ErrorFacts:
    """Return what may leave the runner of a failure: every text scrubbed, all of bounded length.

    Each answer passes here, so no performer can forget it.
    """
    wait_s = error.retry_after_s
    return replace(
        error,
        message=whole(scrub_text(error.message))[:MESSAGE_MAX],
        codes=tuple(whole(scrub_text(code))[:CODE_MAX] for code in error.codes[:CODES_MAX]),
        retry_after_s=None if wait_s is None else min(max(0.0, wait_s), RETRY_AFTER_S_MAX),
        frames=error.frames[-FRAMES_MAX:],
        stage=error.stage or "run",
        detail=scrub_json(error.detail),
    )
