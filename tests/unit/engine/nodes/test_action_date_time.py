"""ACTION DATE_TIME: in zones, over changes of clocks, by patterns."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nodes_for_tests import failures, jsons, made, refused, run

BERLIN = {"zone": "Europe/Berlin"}


def computed(value: Any, **parameters: Any) -> Any:
    node = made("ACTION.DATE_TIME", value="{{ $json.v }}", **{"as": "r", **parameters})
    outcome = run(node, {"v": value})
    return jsons(outcome)[0]["r"] if outcome.ports["main"] else failures(outcome)[0][1]


@pytest.mark.parametrize(
    ("value", "zone", "expected"),
    [
        ("2026-07-01T12:00:00Z", "Europe/Berlin", "2026-07-01T14:00:00.000+02:00"),
        ("2026-07-01T12:00", "Europe/Berlin", "2026-07-01T12:00:00.000+02:00"),
        ("2026-07-01", "America/New_York", "2026-07-01T00:00:00.000-04:00"),
        ("2026-01-01T00:00:00+05:30", "UTC", "2025-12-31T18:30:00.000Z"),
        (0, "UTC", "1970-01-01T00:00:00.000Z"),
        ("2026-03-29T02:30", "Europe/Berlin", "2026-03-29T03:30:00.000+02:00"),
        ("2026-10-25T02:30", "Europe/Berlin", "2026-10-25T02:30:00.000+02:00"),
        ("yesterday", "UTC", "invalid_date"),
        (None, "UTC", "invalid_date"),
        (True, "UTC", "invalid_date"),
    ],
)
def test_a_date_is_read_and_shown_in_its_zone(value: Any, zone: str, expected: str) -> None:
    assert computed(value, operation="parse", zone=zone) == expected


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("31.12.2026 23:59", "dd.MM.yyyy HH:mm", "2026-12-31T23:59:00.000+01:00"),
        ("3 Mar 99 1:05 PM", "d MMM yy h:mm a", "1999-03-03T13:05:00.000+01:00"),
        ("12:00 am", "hh:mm a", "1970-01-01T00:00:00.000+01:00"),
        (
            "2026-07-01T10:00:00.250-07:00",
            "yyyy-MM-dd'T'HH:mm:ss.SSSZZ",
            "2026-07-01T19:00:00.250+02:00",
        ),
        ("1782900000", "X", "2026-07-01T12:00:00.000+02:00"),
        ("July 4  2026", "MMMM d yyyy", "2026-07-04T00:00:00.000+02:00"),
        ("31.02.2026", "dd.MM.yyyy", "invalid_date"),
        ("1.2.2026", "dd.MM.yyyy", "invalid_date"),
        ("13:00 pm", "hh:mm a", "invalid_date"),
        ("2026-01-01 and more", "yyyy-MM-dd", "invalid_date"),
    ],
)
def test_a_text_is_read_by_its_pattern(text: str, pattern: str, expected: str) -> None:
    assert computed(text, operation="parse", format=pattern, **BERLIN) == expected


instants = st.integers(631_152_000_000, 2_840_140_800_000)
"""Milliseconds of the years 1990 to 2059."""

ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Apia")


@settings(deadline=None)
@given(instants, st.sampled_from(ZONES))
def test_what_a_pattern_prints_it_reads_again(millis: int, zone: str) -> None:
    pattern = "d. MMMM yyyy, HH:mm:ss.SSS ZZ"
    text = computed(millis, operation="format", format=pattern, zone=zone)
    found = computed(text, operation="parse", format=pattern, zone=zone)
    assert round(datetime.fromisoformat(found).timestamp() * 1000) == millis


@pytest.mark.parametrize(
    ("value", "amount", "unit", "expected"),
    [
        ("2026-03-28T12:00", 1, "day", "2026-03-29T12:00:00.000+02:00"),
        ("2026-03-28T12:00", 24, "hour", "2026-03-29T13:00:00.000+02:00"),
        ("2026-03-28T02:30", 1, "day", "2026-03-29T03:30:00.000+02:00"),
        ("2026-01-31", 1, "month", "2026-02-28T00:00:00.000+01:00"),
        ("2028-02-29", 1, "year", "2029-02-28T00:00:00.000+01:00"),
        ("2026-10-25T02:30", 1, "hour", "2026-10-25T02:30:00.000+01:00"),
        ("2026-01-01", 1.5, "hour", "2026-01-01T01:30:00.000+01:00"),
        ("2026-01-01", -1, "quarter", "2025-10-01T00:00:00.000+02:00"),
        ("9999-12-31", 1, "week", "expression_range"),
        ("2026-01-01", "{{ '1' }}", "day", "invalid_input"),
    ],
)
def test_adding_keeps_the_time_of_day_with_days_and_is_exact_with_hours(
    value: str, amount: Any, unit: str, expected: str
) -> None:
    assert computed(value, operation="add", amount=amount, unit=unit, **BERLIN) == expected


def test_subtracting_is_adding_backwards() -> None:
    assert (
        computed("2026-03-29T12:00", operation="subtract", amount=1, unit="day", **BERLIN)
        == "2026-03-28T12:00:00.000+01:00"
    )


@pytest.mark.parametrize(
    ("rounding", "unit", "expected"),
    [
        ("down", "hour", "2026-05-06T13:00:00.000+02:00"),
        ("up", "hour", "2026-05-06T14:00:00.000+02:00"),
        ("nearest", "hour", "2026-05-06T14:00:00.000+02:00"),
        ("nearest", "day", "2026-05-07T00:00:00.000+02:00"),
        ("down", "week", "2026-05-04T00:00:00.000+02:00"),
        ("up", "month", "2026-06-01T00:00:00.000+02:00"),
        ("down", "quarter", "2026-04-01T00:00:00.000+02:00"),
        ("down", "year", "2026-01-01T00:00:00.000+01:00"),
    ],
)
def test_dates_are_rounded_in_their_zone(rounding: str, unit: str, expected: str) -> None:
    value = "2026-05-06T13:30:00+02:00"
    found = computed(value, operation="round", unit=unit, rounding=rounding, **BERLIN)
    assert found == expected
    assert computed(found, operation="round", unit=unit, rounding=rounding, **BERLIN) == found


@pytest.mark.parametrize(
    ("value", "to", "unit", "expected"),
    [
        ("2026-03-28T12:00", "2026-03-29T12:00", "day", 1),
        ("2026-03-28T12:00", "2026-03-29T12:00", "hour", 23),
        ("2026-01-31", "2026-03-31", "month", 2),
        ("2026-01-01", "2026-01-16T12:00", "month", 0.5),
        ("2026-01-02", "2026-01-01", "day", -1),
        ("2020-02-29", "2026-02-28", "year", 6),
    ],
)
def test_differences_count_what_the_clocks_show(
    value: str, to: str, unit: str, expected: float
) -> None:
    found = computed(value, operation="difference", to=to, unit=unit, **BERLIN)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("year", 2027), ("quarter", 1), ("month", 1), ("week", 53), ("week_year", 2026), ("day", 3),
        ("day_of_year", 3), ("weekday", 7), ("hour", 2), ("minute", 4), ("second", 5),
        ("millisecond", 678), ("offset_minutes", 60),
    ],
)  # fmt: skip
def test_parts_are_those_of_the_zone(part: str, expected: int) -> None:
    value = "2027-01-03T01:04:05.678Z"
    assert computed(value, operation="extract", part=part, **BERLIN) == expected


def test_a_pattern_prints_the_date() -> None:
    found = computed(
        "2026-07-01T22:05:00Z", operation="format", format="ccc d MMM yyyy 'at' HH:mm", **BERLIN
    )
    assert found == "Thu 2 Jul 2026 at 00:05"


NOWHERE = ("Europe/Nowhere", "Europe", "../etc/passwd", "/etc/localtime", "x" * 300)


@pytest.mark.parametrize("zone", NOWHERE)
def test_a_zone_that_is_none_is_told_before_or_when_it_runs(zone: str) -> None:
    parameters: dict[str, Any] = {"operation": "parse", "value": "2026-01-01"}
    assert refused("ACTION.DATE_TIME", zone=zone, **parameters) == [("invalid_parameter", "zone")]
    found = computed("2026-01-01", operation="parse", zone=f"{{{{ '{zone}' }}}}")
    assert found in ("invalid_zone", "input_too_large")


def test_each_operation_says_what_it_needs() -> None:
    kind = "ACTION.DATE_TIME"
    assert refused(kind, value="x", operation="add") == [
        ("missing_parameter", "amount"),
        ("missing_parameter", "unit"),
    ]
    assert refused(kind, value="x", operation="extract", part="age") == [
        ("invalid_parameter", "part")
    ]
    assert refused(kind, value="x", operation="parse", format="yyyy-QQ") == [
        ("invalid_parameter", "format")
    ]
    assert refused(kind, value="x", operation="parse", format="yyyy yyyy") == [
        ("invalid_parameter", "format")
    ]
