"""An answer by token is read in short where it is as runners send it, and with care otherwise."""

from dataclasses import replace

import pytest
from perdure_common.shell import codec
from perdure_common.shell.intake import Intake, Registry
from perdure_common.shell.ports import Record
from perdure_contracts.message import NAMES
from tally import TALLY, TENANT, Add

SERVICE = replace(TALLY, by_token=(Add,))
COMMANDS = "perdure.tally.commands.v1"
HEADERS = {
    "ce_specversion": b"1.0",
    "ce_id": b"t/completed/runner",
    "ce_source": b"/runner",
    "ce_type": NAMES[Add].encode(),
    "ce_subject": b"a",
    "ce_tenantid": b"somebody else",
    "content-type": b"application/json",
}


def record(headers: dict[str, bytes], body: bytes | None = None) -> Record:
    value = codec.encode_body(Add(account="a", amount=1)) if body is None else body
    return Record(COMMANDS, 1, 3, value, b"a", tuple(headers.items()))


@pytest.fixture
def intake() -> Intake:
    return Intake(Registry(SERVICE), tenant_id=TENANT, partitions=2)


def test_both_ways_of_reading_find_the_same(intake: Intake) -> None:
    taken = intake.take(record(HEADERS))
    careful = intake._read(record(HEADERS))  # pyright: ignore[reportPrivateUsage]
    assert taken.command == careful.command == Add(account="a", amount=1)
    assert taken.envelope == careful.envelope
    assert taken.envelope is not None
    assert taken.envelope.tenant_id == TENANT  # a stranger's word for it counts nothing
    assert (taken.stream, taken.link, taken.outsider) == ("a", None, None)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({**HEADERS, "ce_specversion": b"9"}, "bad_specversion"),
        ({**HEADERS, "ce_id": b""}, "empty_attribute"),
        ({**HEADERS, "ce_id": b"\xff"}, "bad_encoding"),
        ({**HEADERS, "ce_time": b"noon"}, "bad_time"),
    ],
)
def test_what_is_not_as_runners_send_it_is_read_with_care(
    intake: Intake, headers: dict[str, bytes], code: str
) -> None:
    bad = intake.take(record(headers)).bad
    assert bad is not None
    assert bad.code == code


def test_an_answer_that_is_no_answer_says_what_its_body_lacks(intake: Intake) -> None:
    bad = intake.take(record(HEADERS, b'{"account":"a"}')).bad
    assert bad is not None
    assert bad.code == "invalid_body"


def test_a_body_that_no_row_could_show_is_refused_where_it_comes_in(intake: Intake) -> None:
    def taken(levels: int) -> str:
        nested = b"[" * levels + b"]" * levels
        body = b'{"account":"a","amount":1,"more":%b}' % nested
        bad = intake.take(record({**HEADERS, "ce_of": b"a stranger"}, body)).bad
        return "" if bad is None else bad.code

    assert [taken(levels) for levels in (10, 240, 260, 900, 100_000)] == [
        "", "", "invalid_body", "invalid_body", "invalid_body",
    ]  # fmt: skip
