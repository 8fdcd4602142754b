"""What went wrong with a model or a limit, as the facts that recovery classifies by."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

from perdure_common.outbound import AddressError
from perdure_contracts.engine import RETRY_AFTER_S_MAX, ErrorFacts
from perdure_contracts.message import Json

from perdure_engine.runner.exchange import codes_of
from perdure_engine.runner.failures import facts_of

BODY_MAX = 300


class Stop(Exception):
    """The agent ends with a typed error; `voids` says that the model's last answers led nowhere."""

    def __init__(self, error: ErrorFacts, *, voids: bool = False) -> None:
        super().__init__(error.message)
        self.error = error
        self.voids = voids


def limit(code: str, message: str) -> Stop:
    """Return the end of an agent that reached a limit of its author's."""
    return Stop(ErrorFacts(type=code, message=message, stage="run", effect_state="done"))


def output_invalid(message: str, dependency: str, detail: Json = None, *codes: str) -> Stop:
    """Return the end of an agent whose model gave nothing that can be used."""
    error = ErrorFacts(
        type="output_invalid",
        message=message,
        retryable=True,
        codes=codes,
        stage="output",
        dependency=dependency,
        effect_state="done",
        detail=detail,
    )
    return Stop(error, voids=True)


def refusal(dependency: str, text: str) -> Stop:
    """Return the end of an agent whose model will not answer."""
    message = f"the model refused to answer: {text[:BODY_MAX]}" if text else (
        "the model's provider filtered the answer out"
    )  # fmt: skip
    error = ErrorFacts(
        type="model_refusal",
        message=message,
        codes=("refusal",),
        stage="run",
        dependency=dependency,
        effect_state="done",
    )
    return Stop(error, voids=True)


def of_model(error: Exception, dependency: str, timeout_s: float) -> ErrorFacts:
    """Return the facts of a call of a model that gave no answer."""
    from pydantic_ai import exceptions as theirs

    for each in _chain(error):
        if isinstance(each, AddressError):
            facts = facts_of(
                each, each.code, str(each), retryable=each.code == "dns_failed",
                dependency=dependency,
            )  # fmt: skip
            return facts
    if isinstance(error, TimeoutError | theirs.ModelTimeoutError | theirs.ModelRequestTimeout):
        text = f"the model did not answer within {timeout_s:g} s"
        return facts_of(
            error, "read_timeout", text, retryable=True, dependency=dependency,
            effect_state="unknown",
        )  # fmt: skip
    if isinstance(error, theirs.ModelConnectionError):
        if error.phase == "pool":  # the other side is innocent
            text = "all connections of this process to models are in use"
            return facts_of(error, "pool_timeout", text, retryable=True)
        sent = error.phase != "connect"
        code = "connection_reset" if sent else "connect_failed"
        if any(_is_about_tls(each) for each in _chain(error)):
            code = "tls_failed"
        text = f"the model cannot be reached: {_last(error)}"
        return facts_of(
            error, code, text, retryable=code != "tls_failed", dependency=dependency,
            effect_state="unknown" if sent else "not_sent",
        )  # fmt: skip
    unreadable = any(isinstance(each, ValueError) for each in _chain(error))
    if isinstance(error, theirs.ModelAPIError) and not unreadable:
        return _refused(error, dependency)
    text = f"the model's answer cannot be read: {' '.join(str(error).split())[:BODY_MAX]}"
    return facts_of(
        error, "output_invalid", text, retryable=True, dependency=dependency, effect_state="done"
    )


def _refused(error: Any, dependency: str) -> ErrorFacts:
    """Return the facts of an error that the provider told."""
    from pydantic_ai import exceptions as theirs

    kinds: tuple[tuple[type, str, bool], ...] = (
        (theirs.ModelRateLimitError, "rate_limit", True),
        (theirs.ModelQuotaExceededError, "quota_exhausted", False),
        (theirs.ModelUnavailableError, "dependency_down", True),
        (theirs.ModelServerError, "dependency_down", True),
        (theirs.ModelContextWindowExceededError, "context_length", False),
        (theirs.ModelAuthenticationError, "auth", False),
        (theirs.ModelNotFoundError, "data_missing", False),
        (theirs.ModelRequestRejectedError, "validation", False),
    )
    status: int | None = getattr(error, "status_code", None)
    known = next(((code, again) for kind, code, again in kinds if isinstance(error, kind)), None)
    code, retryable = known or ("api_error", status is None or status >= 500)
    body = error.body if isinstance(error.body, str) else json.dumps(error.body, default=str)
    told = [each for each in (error.provider_error_code, error.provider_error_type) if each]
    codes = tuple(dict.fromkeys([*told, *codes_of(body)]))
    if code == "validation" and _is_too_long(body):
        code = "context_length"
    if code == "validation" and "content_policy_violation" in codes:
        code = "model_refusal"
    where = f"answered {status}" if status is not None else "failed"
    facts = facts_of(
        error, code, f"the model's API {where}: {' '.join(_text(error.body).split())[:BODY_MAX]}",
        retryable=retryable, codes=codes, dependency=dependency,
        effect_state="unknown" if status is None or status >= 500 else "refused",
    )  # fmt: skip
    after_s = error.retry_after
    if after_s is not None:  # who answers writes what it likes
        after_s = min(RETRY_AFTER_S_MAX, max(0.0, after_s))
    return replace(facts, status_code=status, retry_after_s=after_s)


TOO_LONG = ("prompt is too long", "context length", "too many tokens")
"""What providers say of a prompt that does not fit, where they have no code for it."""


def _is_too_long(body: str) -> bool:
    return any(text in body.lower() for text in TOO_LONG)


def _is_about_tls(error: BaseException) -> bool:
    return any(word in str(error).lower() for word in ("ssl", "certificate"))


def _text(body: Any) -> str:
    """Return what the other side says, out of the body's envelope where there is one."""
    if isinstance(body, dict):
        fields = cast("dict[str, Any]", body)
        inner: Any = fields.get("error", fields)
        said: Any = cast("dict[str, Any]", inner).get("message") if isinstance(inner, dict) else 0
        return said if isinstance(said, str) else json.dumps(fields, default=str)
    return str(body if body is not None else "")


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or at.__context__


def _last(error: BaseException) -> str:
    *_, last = _chain(error)
    return str(last) or type(last).__name__
