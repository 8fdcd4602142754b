"""Same failure, same signature; unlike failures stay apart."""

import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perdure_common.scrub import SECRET, scrub_text
from perdure_contracts.engine import ErrorFacts
from perdure_recovery import signature as masks
from perdure_recovery.signature import (
    ESCAPED_MAX,
    INPUT_MAX,
    MASKS,
    MESSAGE_MAX,
    error_message,
    error_message_hash,
    error_type,
    in_app_frames,
    mask,
    signature,
    text_of,
)

PAIRS = [
    ("execution 3f2b8c9d-0e1f-4a2b-8c3d-5e6f7a8b9c0d lost", "execution <uuid> lost"),
    ("GET https://api.example.com/v1/t?id=7 failed", "GET <url> failed"),
    ("no mailbox ann.b+c@mail.example.org here", "no mailbox <email> here"),
    ("since 2026-01-02T03:04:05.678Z it fails", "since <timestamp> it fails"),
    ("[10/Oct/2023:13:55:36] refused", "[<timestamp>] refused"),
    ("connect to 10.0.4.17:5432 refused", "connect to <ip> refused"),
    ("connect to [2001:db8::7]:443 refused", "connect to <ip> refused"),
    ("no route to fe80::1ff:fe23:4567:890a%eth0", "no route to <ip>"),
    ("cannot read /var/lib/app/data.db", "cannot read <path>"),
    ("no key 'order 12'", "no key <quoted>"),
    ("no column 'amount'", "no column 'amount'"),
    ("at 0x7f8a9c0012ab", "at <hex>"),
    ("object 8f14e45fceea167a5a36dedd4bea2543 is gone", "object <hex> is gone"),
    ("object Zx81kQp7LmN4vB2cD9 is gone", "object <opaque> is gone"),
    ("request req_011CSHoEeqs5 failed", "request <id> failed"),
    ("see #4711", "see <id>"),
    ("gave up after 2.5 s", "gave up after <duration>"),
    ("try again in 1m30s", "try again in <duration>"),
    ("try again in 399ms.", "try again in <duration>."),
    ("Limit 200,000, used 198213 tokens", "Limit <number>, used <number>"),
    ("needs version 1.2.3", "needs version <number>"),
    ("model gpt-4o-mini-2024-07-18 is overloaded", "model gpt-4o-mini-2024-07-18 is overloaded"),
    ("claude-3-5-sonnet-20241022 said 12", "claude-3-5-sonnet-20241022 said <number>"),
]


def error(message: str = "boom", **more: object) -> ErrorFacts:
    return ErrorFacts(**{"type": "http_status", "message": message, **more})  # pyright: ignore


@pytest.mark.parametrize(("text", "masked"), PAIRS)
def test_what_changes_from_case_to_case_is_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize("text", [text for text, _ in PAIRS])
def test_masking_twice_changes_nothing_more(text: str) -> None:
    assert mask(mask(text)) == mask(text)


def test_the_masks_come_in_the_documented_order() -> None:
    names = [name for name, _ in MASKS]
    assert names == [
        *("uuid", "url", "email", "timestamp", "ip", "path"),
        *("quoted", "hex", "opaque", "id", "duration", "number"),
    ]


def test_prose_in_a_body_keeps_its_words() -> None:
    body = '{"message": "no room for 3 more", "param": "row 3"}'
    assert mask(body) == '{"message": "no room for <number> more", "param": <quoted>}'


def test_placeholders_of_the_scrubber_survive() -> None:
    text = scrub_text("Incorrect API key provided: sk-proj-abcdEFGH1234ijklMNOP5678")
    assert SECRET in mask(text)


def test_only_the_first_kilobytes_are_looked_at() -> None:
    assert mask("a b " * INPUT_MAX) == mask("a b " * INPUT_MAX * 2)


def test_two_requests_that_fail_alike_have_one_signature() -> None:
    one = error("GET https://a.example/1 took 12 s", status_code=504, dependency="http:a.example")
    two = error("GET https://b.example/2 took 99 s", status_code=504, dependency="http:b.example")
    assert signature(one) == signature(two)
    assert signature(one).startswith("v1:")
    assert len(signature(one)) == len("v1:") + 16


@pytest.mark.parametrize(
    "other",
    [
        error("other text"),
        error(type="read_timeout"),
        error(codes=("overloaded_error",)),
        error(status_code=502),
        error(sqlstate="40001"),
        error(classes=("httpx.ReadTimeout",)),
        error(stage="connect"),
        error(dependency="llm:openai:gpt-4o"),
        error(frames=(("shop.orders", "total"),)),
    ],
)
def test_unlike_failures_stay_apart(other: ErrorFacts) -> None:
    assert signature(other) != signature(error())


def test_the_other_sides_own_words_are_preferred() -> None:
    body = {"error": {"message": "max 3 tickets", "type": "invalid"}}
    assert text_of(error(detail=body)) == "max 3 tickets"
    assert text_of(error(detail={"body": json.dumps(body)})) == "max 3 tickets"
    assert text_of(error(detail={"body": "{broken"})) == "boom"
    assert text_of(error()) == "boom"


def test_a_recursion_is_one_frame_and_lambdas_are_none() -> None:
    frames = [("m", "walk")] * 50 + [("m", "<lambda>"), ("m", "leaf"), ("m", "walk")]
    assert in_app_frames(tuple(frames)) == (("m", "leaf"), ("m", "walk"))


def test_the_last_five_frames_count() -> None:
    frames = tuple(("m", f"f{i}") for i in range(9))
    assert in_app_frames(frames) == frames[4:]


def test_the_type_is_package_and_class() -> None:
    assert error_type(error(classes=("asyncpg.exceptions.DataError",))) == "asyncpg.DataError"
    assert error_type(error(classes=("ValueError",))) == "builtins.ValueError"
    assert error_type(error()) == "http_status"


def test_the_kept_message_is_short_and_its_hash_is_of_the_whole() -> None:
    long, longer = error("word " * 300 + "end"), error("word " * 300 + "other end")
    assert len(error_message(long)) == MESSAGE_MAX
    assert error_message(long) == error_message(longer)
    assert error_message_hash(long) != error_message_hash(longer)


@settings(deadline=None)
@given(st.text(max_size=400))
def test_any_text_has_a_signature_and_the_same_one_again(text: str) -> None:
    assert signature(error(text)) == signature(error(text))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("org-AbC123def456", "org-Xyz123Qrs456"),
        ("cs_test_a1B2c3D4e5F6", "cs_test_z9Y8x7W6v5U4"),
        ("req-011CSHoEeqs5C35K2cqqz7Q6", "req-abc12345"),
        ("api-7d9f8b6c5-x2x9z", "api-5b8c7d6f4-q8w7e"),
    ],
)
def test_an_id_is_masked_the_same_whatever_letters_it_has(one: str, other: str) -> None:
    assert mask(f"no such thing: {one} here") == mask(f"no such thing: {other} here")
    assert "<id>" in mask(one)


GOLDEN = [
    json.loads(line)
    for name in ("signatures.jsonl", "signatures_unicode.jsonl")
    for line in (Path(__file__).parent / name).read_text("utf-8").splitlines()
]


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: str(case["signature"]))
def test_signatures_are_those_that_were_written_down(case: dict[str, Any]) -> None:
    """A change needs a new version, because signatures are stored; the files are never edited."""
    error = msgspec.convert(case["error"], ErrorFacts)
    assert mask(text_of(error))[:300] == case["masked"]
    assert signature(error) == case["signature"]


@pytest.mark.parametrize(
    ("seed", "where"),
    [
        ("0", {"LC_ALL": "C", "TZ": "UTC"}),
        ("1", {"LC_ALL": "C.UTF-8", "TZ": "Asia/Kolkata", "PYTHONUTF8": "1"}),
        ("4711", {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR", "TZ": "America/St_Johns"}),
        ("random", {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONOPTIMIZE": "2"}),
    ],
)
def test_signatures_do_not_depend_on_the_process_or_the_order_of_failures(
    seed: str, where: dict[str, str]
) -> None:
    script = (
        "import json, msgspec, sys\n"
        "from perdure_contracts.engine import ErrorFacts\n"
        "from perdure_recovery.signature import signature\n"
        "for line in sys.stdin:\n"
        "    error = msgspec.json.decode(line, type=ErrorFacts)\n"
        "    print(signature(error))\n"
    )
    cases = list(GOLDEN)
    random.Random(seed).shuffle(cases)
    told = subprocess.run(
        [sys.executable, "-c", script],
        input="\n".join(json.dumps(case["error"]) for case in cases),
        env={"PYTHONHASHSEED": seed, "PATH": "", **where},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == [case["signature"] for case in cases]


PIECES = (
    *('"', "'", "`", "\\", '\\"', "\\'", "\\\\", "\n", "a", "1", " ", ":", "<quoted>", "gpt-4"),
    *('"message": ', "x" * 50, f'"{"y" * 2_047}"', f'"{"z" * 2_049}"', '"' + '\\"' * 2_048 + '"'),
)


def masked(text: str, escaped_max: int) -> str:
    """Return a masked text, as if so many escaped quotes were few."""
    vars(masks)["_laid_on"].cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(masks, "ESCAPED_MAX", escaped_max)
        found = mask(text)
    vars(masks)["_laid_on"].cache_clear()
    return found


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
@settings(deadline=None, max_examples=60)
def test_quotes_are_masked_the_same_however_many_of_them_are_escaped(text: str) -> None:
    assert masked(text, -1) == masked(text, INPUT_MAX)


def test_a_text_of_escaped_quotes_is_not_looked_through_from_each_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(text: str) -> str:
        raise AssertionError(f"{len(text)} characters were to be counted out")

    monkeypatch.setattr(masks, "_without_quoted", never)
    mask('\\"a 2' * ESCAPED_MAX)
    with pytest.raises(AssertionError, match="counted out"):
        mask('\\"a 2' * (ESCAPED_MAX + 1))


@pytest.mark.parametrize("body", ['{"a":' * 1_300, '{"error":' + '{"a":[' * 600 + "]}" * 600 + "}"])
def test_a_body_that_is_nested_however_deep_is_text_and_stops_nobody(body: str) -> None:
    deep = ErrorFacts(type="http_status", message="it was 503", detail={"body": body})
    assert text_of(deep) == "it was 503"
    assert signature(deep) == signature(replace(deep, detail=None))


def test_a_body_of_many_short_parts_is_read() -> None:
    body = json.dumps({"error": {"message": "no", "parts": [{"n": n} for n in range(300)]}})
    assert text_of(ErrorFacts(type="t", message="", detail={"body": body})) == "no"
