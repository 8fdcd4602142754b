"""Every failure has a type, for a reason that can be named."""

import builtins
import importlib
import json
from types import ModuleType
from typing import get_args

import aiosmtplib.errors
import anthropic
import anthropic.types
import asyncpg
import httpcore
import httpx
import httpx2
import openai
import openai.types.responses
import pydantic.errors
import pydantic.warnings
import pydantic_ai.exceptions
import pydantic_core
import pytest
import slack_sdk.errors
from openai.types.beta.session_turn_error import SessionTurnError
from perdure_contracts.engine import ErrorFacts
from perdure_contracts.patterns import FailureType
from perdure_contracts.recovery import AttemptOrdered, AttemptRefused, FailureNoted
from perdure_recovery.classification_classes import CLASSES, CLASSES_WEAK, ROOT_CAUSE
from perdure_recovery.classification_tables import (
    CODES,
    CODES_WEAK,
    ENGINE_CODES,
    OWN_LIMITS,
    SQLSTATE_CLASSES,
    SQLSTATES,
)
from perdure_recovery.classify import classify
from recovery_story import Story, failed

AIOKAFKA = importlib.import_module("aiokafka.errors")  # has no type stubs
CATEGORIES = {
    *("provider", "network", "configuration", "credentials", "input"),
    *("model", "code", "capacity", "platform"),
}


def error(**facts: object) -> ErrorFacts:
    return ErrorFacts(**{"type": "http_status", "message": "", **facts})  # pyright: ignore


def exceptions_of(module: ModuleType) -> list[type[BaseException]]:
    return [
        cls
        for cls in list(vars(module).values())  # some libraries load more when asked
        if isinstance(cls, type) and issubclass(cls, BaseException)
    ]


def names(cls: type[BaseException]) -> tuple[str, ...]:
    return tuple(f"{base.__module__}.{base.__qualname__}" for base in cls.__mro__)


MODULES = (
    *(builtins, json, httpx, httpcore, asyncpg, AIOKAFKA, aiosmtplib.errors),
    *(pydantic_core, pydantic.errors, pydantic.warnings, openai, anthropic),
    *(slack_sdk.errors, pydantic_ai.exceptions),
    *map(
        importlib.import_module,
        (
            *("httpx2", "httpcore2", "asyncio", "socket", "ssl", "anyio", "sniffio"),
            *("jsonschema", "jsonschema.exceptions", "referencing.exceptions", "yaml", "xmltodict"),
            *("xml.parsers.expat", "xml.etree.ElementTree", "xml.sax", "re2", "re", "msgspec"),
            *("py_mini_racer", "selectolax.lexbor", "cryptography.exceptions", "orjson"),
            *("cryptography.fernet", "perdure_expressions", "psutil", "concurrent.futures"),
            *("concurrent.futures.process", "concurrent.futures.thread", "multiprocessing"),
            *("subprocess", "zlib", "lzma"),
            *("gzip", "zipfile", "tarfile", "binascii", "csv", "struct", "email.errors"),
            *("decimal", "zoneinfo", "tomllib", "configparser", "statistics", "pickle", "queue"),
            *("shutil", "urllib.error", "http.client", "http.cookies", "sqlite3"),
        ),
    ),
)
CODES_OF_MODELS = sorted(
    {
        *get_args(anthropic.types.ErrorType),
        *get_args(openai.types.responses.ResponseError.model_fields["code"].annotation),
        *get_args(SessionTurnError.model_fields["code"].annotation),
    }
)
EXCEPTIONS = sorted(
    {c for m in MODULES for c in exceptions_of(m) if not c.__name__.startswith("_")},
    key=lambda c: names(c)[0],
)
"""Without those that a library keeps to itself."""


def test_hundreds_of_classes_are_asked() -> None:
    assert len(EXCEPTIONS) > 900


@pytest.mark.parametrize("cls", EXCEPTIONS, ids=lambda cls: names(cls)[0])
def test_every_class_of_the_libraries_is_known_on_purpose(cls: type[BaseException]) -> None:
    package = cls.__module__.partition(".")[0]
    own = [
        (base.__module__.partition(".")[0], base.__name__)
        for base in cls.__mro__
        if base.__module__.partition(".")[0] == package
    ]
    assert any(name in CLASSES or name in CLASSES_WEAK for name in own), (
        f"say in classification_classes.py what {names(cls)[0]} means"
    )


def test_the_libraries_of_models_say_their_codes() -> None:
    assert len(CODES_OF_MODELS) > 50


@pytest.mark.parametrize("code", CODES_OF_MODELS)
def test_every_code_that_the_libraries_of_models_know_is_typed(code: str) -> None:
    assert code in CODES or code in CODES_WEAK, f"say in classification_tables.py what {code} means"
    made = classify(error(codes=(code,)))
    assert (made.failure_type != "unknown", made.rule_id) == (True, f"code:{code}")


MIRRORS = (AIOKAFKA, httpx, openai, anthropic, slack_sdk.errors, pydantic_ai.exceptions)


@pytest.mark.parametrize(
    "cls",
    [cls for module in MIRRORS for cls in exceptions_of(module)],
    ids=lambda cls: names(cls)[0],
)
def test_classes_without_codes_are_listed_by_their_own_name(cls: type[BaseException]) -> None:
    package = cls.__module__.partition(".")[0]
    name = (package, cls.__name__)
    assert package == "builtins" or name in CLASSES or name in CLASSES_WEAK


@pytest.mark.parametrize(
    "cls",
    [c for c in exceptions_of(asyncpg) if (getattr(c, "sqlstate", None) or "00") >= "02"],
    ids=lambda cls: cls.__name__,
)
def test_an_sqlstate_and_the_class_that_stands_for_it_agree(cls: type[BaseException]) -> None:
    state = str(vars(cls).get("sqlstate") or getattr(cls, "sqlstate", ""))
    by_state = classify(error(sqlstate=state)).failure_type
    by_class = classify(error(classes=names(cls))).failure_type
    assert by_class == by_state or (by_class, state) == ("unknown", "57014")


@pytest.mark.parametrize("code", sorted(ENGINE_CODES))
def test_every_code_of_the_engine_is_typed(code: str) -> None:
    made = classify(error(type=code))
    assert (made.failure_type, made.rule_id) == (ENGINE_CODES[code], f"engine:{code}")
    assert made.own_limit == (code in OWN_LIMITS)


@pytest.mark.parametrize("status", range(300, 600))
def test_every_status_of_failure_has_a_type(status: int) -> None:
    made = classify(error(status_code=status))
    assert made.failure_type != "unknown"
    assert made.rule_id == f"status:{status}"


CASES: list[tuple[dict[str, object], str, str]] = [
    ({"type": "mail_refused", "codes": ("smtp_535",)}, "auth", "code:smtp_535"),
    ({"type": "mail_refused", "codes": ("smtp_451",)}, "dependency_down", "code:smtp_451"),
    ({"type": "sql_failed", "sqlstate": "40P01"}, "conflict", "sqlstate:40P01"),
    ({"type": "sql_failed", "sqlstate": "25006"}, "dependency_down", "sqlstate:25006"),
    ({"type": "api_error", "codes": ("ratelimited",)}, "rate_limit", "code:ratelimited"),
    ({"type": "api_error", "codes": ("not_in_channel",)}, "permission", "code:not_in_channel"),
    (
        {"status_code": 403, "codes": ("rateLimitExceeded", "usageLimits")},
        "rate_limit",
        "code:rateLimitExceeded",
    ),
    ({"type": "database_not_known"}, "data_missing", "engine:database_not_known"),
    ({"type": "attempt_timeout"}, "timeout", "engine:attempt_timeout"),
    ({"status_code": 503}, "dependency_down", "status:503"),
    ({"status_code": 429}, "rate_limit", "status:429"),
    (
        {"status_code": 429, "codes": ("insufficient_quota", "rate_limit_error")},
        "quota_exhausted",
        "code:insufficient_quota",
    ),
    (
        {"status_code": 400, "codes": ("invalid_request_error",), "message": "prompt is too long"},
        "context_length",
        "message:context",
    ),
    (
        {"status_code": 400, "message": "Your credit balance is too low to access the API"},
        "quota_exhausted",
        "message:quota",
    ),
    (
        {"status_code": 403, "message": "You have exceeded a secondary rate limit"},
        "rate_limit",
        "message:throttled",
    ),
    ({"status_code": 403}, "permission", "status:403"),
    ({"status_code": 409, "message": "already there"}, "validation", "status:409"),
    ({"status_code": 412, "message": "the ETag differs"}, "conflict", "status:412"),
    ({"status_code": 529}, "dependency_down", "status:529"),
    ({"codes": ("rate_limit_error",), "message": "no"}, "rate_limit", "code:rate_limit_error"),
    ({"sqlstate": "40001"}, "conflict", "sqlstate:40001"),
    ({"sqlstate": "23505"}, "validation", "sqlstate:23505"),
    ({"sqlstate": "53300"}, "dependency_down", "sqlstate:53300"),
    ({"sqlstate": "42P01"}, "code_bug", "sqlstate:42"),
    ({"sqlstate": "01000", "message": "x"}, "unknown", "unknown"),
    (
        {"sqlstate": "57014", "message": "canceling statement due to user request"},
        "cancelled",
        "sqlstate:57014",
    ),
    (
        {"sqlstate": "57014", "message": "canceling statement due to statement timeout"},
        "timeout",
        "sqlstate:57014",
    ),
    ({"classes": names(httpx2.ReadError)}, "network", "class:httpx2.ReadError"),
    ({"classes": names(httpx.ConnectTimeout)}, "timeout", "class:httpx.ConnectTimeout"),
    (
        {"classes": names(AIOKAFKA.BrokerResponseError), "message": "odd"},
        "unknown",
        "unknown",
    ),
    ({"classes": names(json.JSONDecodeError)}, "output_invalid", "class:json.JSONDecodeError"),
    (
        {"classes": ("mine.orders.Broken", "builtins.KeyError")},
        "code_bug",
        "class:builtins.KeyError",
    ),
    (
        {
            "classes": names(httpx.ConnectError),
            "causes": ("ssl.SSLCertVerificationError", "ssl.SSLError"),
        },
        "auth",
        "cause:ssl.SSLCertVerificationError",
    ),
    (
        {"type": "connect_failed", "message": "[Errno -2] Name or service not known"},
        "data_missing",
        "message:unknown name",
    ),
    (
        {"classes": ("builtins.RuntimeError",), "causes": ("httpx.ReadTimeout",)},
        "timeout",
        "cause:class:httpx.ReadTimeout",
    ),
    (
        {"classes": ("builtins.ExceptionGroup",), "causes": ("httpx.ReadError", "ssl.SSLError")},
        "network",
        "cause:group",
    ),
    (
        {
            "classes": ("builtins.ExceptionGroup",),
            "causes": ("httpx.ReadError", "json.JSONDecodeError"),
        },
        "unknown",
        "unknown",
    ),
    (
        {"classes": ("openai.RateLimitError", "openai.APIStatusError", "builtins.Exception")},
        "rate_limit",
        "class:openai.RateLimitError",
    ),
    (
        {"classes": names(anthropic.ContractSpendLimitReachedError), "status_code": 429},
        "quota_exhausted",
        "class:anthropic.ContractSpendLimitReachedError",
    ),
    (
        {
            "classes": names(pydantic_ai.exceptions.FallbackExceptionGroup),
            "causes": ("pydantic_ai.exceptions.ModelTimeoutError", "httpx.ReadTimeout"),
        },
        "timeout",
        "cause:group",
    ),
    (
        {"classes": names(openai.BadRequestError), "message": "maximum context length is 8"},
        "context_length",
        "message:context",
    ),
    ({"message": "the socket hang up happened"}, "network", "message:connection"),
    ({"message": "nothing telling"}, "unknown", "unknown"),
]


@pytest.mark.parametrize(("facts", "failure_type", "rule_id"), CASES)
def test_the_most_specific_word_decides(
    facts: dict[str, object], failure_type: str, rule_id: str
) -> None:
    made = classify(error(**facts))
    assert (made.failure_type, made.rule_id) == (failure_type, rule_id)


def test_the_author_of_a_node_knows_best() -> None:
    made = classify(error(status_code=503), override="validation")
    assert (made.failure_type, made.rule_id, made.source) == ("validation", "override", "override")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("effect_unknown", "tool_error"),
        ("lease_expired", "worker_lost"),
        ("canceled", "cancelled"),
        ("cost_limit", "resource_exhausted"),
        ("breaker_open", "dependency_down"),
    ],
)
def test_no_author_has_a_say_in_what_the_platform_found(code: str, kind: str) -> None:
    made = classify(error(type=code), override="timeout")
    assert (made.failure_type, made.source) == (kind, "rule")


def test_an_authors_word_is_told_with_the_failure_and_decides() -> None:
    missing = error(type="http_status", status_code=404, dependency="http:a.example")
    told = {"failure_type": "timeout"}
    (noted, decided) = Story().hears(failed(error=missing, means=told))
    assert isinstance(noted, FailureNoted)
    assert isinstance(decided, AttemptOrdered)
    assert (noted.pattern.failure_type, noted.pattern.pattern_source) == ("timeout", "override")
    assert decided.strategy == "backoff"
    assert "Recognised by what the node's author says" in decided.explanation.root_cause
    (noted, decided, *_) = Story().hears(failed(error=missing, means={"failure_type": "sometimes"}))
    assert isinstance(decided, AttemptRefused)
    assert isinstance(noted, FailureNoted)
    assert noted.pattern.failure_type == "data_missing"


@pytest.mark.parametrize(
    "facts", [{"status_code": 429}, {"status_code": 529}, {"sqlstate": "53300"}]
)
def test_throttling_is_told_apart(facts: dict[str, object]) -> None:
    assert classify(error(**facts)).throttled


def test_a_missing_model_may_be_replaced_a_missing_page_may_not() -> None:
    assert classify(error(status_code=404, dependency="llm:openai:gpt-x")).fallback_allowed
    assert not classify(error(status_code=404, dependency="http:a.example")).fallback_allowed


def test_every_type_has_a_root_cause_of_the_documented_kind() -> None:
    assert set(ROOT_CAUSE) == set(get_args(FailureType))
    assert set(ROOT_CAUSE.values()) <= CATEGORIES


def test_the_tables_name_only_types_that_exist() -> None:
    types = set(get_args(FailureType))
    for table in (CODES, ENGINE_CODES, SQLSTATES, SQLSTATE_CLASSES):
        assert set(table.values()) <= types
    assert set(CLASSES.values()) | set(CLASSES_WEAK.values()) <= types | {"generic", "no error"}


@pytest.mark.parametrize(
    "package",
    sorted({package for package, _ in CLASSES}),
)
def test_every_name_in_the_tables_exists_in_its_library(package: str) -> None:
    there = {
        name
        for suffix in (
            *("", ".errors", ".exceptions", ".exceptions._base", ".warnings", "._exceptions"),
            *("._warnings", ".lib.credentials._workload"),
        )
        for name in _names_in(package + suffix)
    }
    there |= {
        base.__name__
        for cls in EXCEPTIONS
        for base in cls.__mro__
        if base.__module__.partition(".")[0] == package
    }
    assert {name for where, name in CLASSES if where == package} <= there


def _names_in(module: str) -> set[str]:
    try:
        return set(dir(importlib.import_module(module)))
    except ModuleNotFoundError:
        return set()
