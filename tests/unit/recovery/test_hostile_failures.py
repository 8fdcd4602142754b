"""What failures say is written by the other side: whatever it is, it is typed and bounded."""

import json
import math
from dataclasses import astuple
from typing import Any

import pytest
from perdure_common.shell import codec
from perdure_contracts.engine import RETRY_AFTER_S_MAX, ErrorFacts
from perdure_contracts.recovery import AttemptOrdered, AttemptRefused, FailureNoted
from recovery_story import Story, failed
from recovery_waits import facts

EVENT_MAX = 4_096
"""Most bytes of an event about a failure, though the failure itself may have a megabyte."""


def nested(levels: int) -> Any:
    value: Any = "the end"
    for _ in range(levels):
        value = {"cause": value}
    return value


HOSTILE: dict[str, dict[str, Any]] = {
    "a code of a megabyte": {"codes": ("C" * 1_000_000,)},
    "many codes": {"codes": tuple(f"c{n}" for n in range(20_000))},
    "a dependency with signs that no host has": {"dependency": "http:a\x00b\nc\x1b[31m"},
    "a dependency of many words": {"dependency": "http:" + "a b " * 20_000},
    "a class of a megabyte": {"classes": ("a." + "b" * 1_000_000,)},
    "a type of many words": {"type": "T " * 50_000},
    "classes without a name": {"classes": ("", ".", "\x00.\n")},
    "causes of causes": {"causes": tuple(f"a.C{n}" for n in range(1_000))},
    "a body nested deep": {"detail": {"body": nested(900)}},
    "a text nested deep": {"detail": {"body": '{"error":' * 900 + "1" + "}" * 900}},
    "half a pair in a body": {"detail": {"body": '{"error": {"message": "a\\ud800b"}}'}},
    "a message of a megabyte": {"message": "slow down " * 100_000},
    "a message that turns the line around": {"message": "\u202e\u05d0\u05d1 abc\u2066"},
    "a message that steers a terminal": {"message": "\x1b[31mno\x1b]0;title\x07\x00"},
    "a status that is none": {"status_code": -1},
    "a status of thirty digits": {"status_code": 10**18},
    "a state that is none": {"sqlstate": "\x00" * 5_000},
    **{
        f"a wait of {seconds}": {"type": "rate_limit", "retry_after_s": seconds}
        for seconds in (-5.0, 0.0, math.nan, -math.inf, 31_536_000.0, 1e15, 1e300, math.inf)
    },
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_failure_is_noted_and_decided_and_small(name: str) -> None:
    fields: dict[str, Any] = {
        "type": "http_status",
        "message": "503",
        "status_code": 503,
        **HOSTILE[name],
    }
    story = Story(facts())
    noted, decided, *_ = story.hears(failed(error=ErrorFacts(**fields)))
    assert isinstance(noted, FailureNoted)
    assert isinstance(decided, AttemptOrdered | AttemptRefused)
    assert noted.pattern.failure_type
    assert "" not in astuple(decided.explanation)
    for event in (noted, decided, *story.sent):
        assert len(codec.encode_body(event)) <= EVENT_MAX
    for row in story.table("recovery_attempts") + story.table("recovery_explanations"):
        assert len(json.dumps(row, default=str)) <= 2 * EVENT_MAX
    if isinstance(decided, AttemptOrdered):
        assert 0 <= decided.delay_s <= 1.1 * RETRY_AFTER_S_MAX


def test_whatever_a_dependency_is_called_its_name_has_one_line() -> None:
    story = Story(facts())
    (noted, *_) = story.hears(
        failed(error=ErrorFacts(type="x", message="", dependency="http:a\x00b\nc" + "d" * 5_000))
    )
    assert isinstance(noted, FailureNoted)
    assert noted.pattern.dependency.isprintable()
    assert len(noted.pattern.dependency) <= 300
