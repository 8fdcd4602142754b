"""When cron expressions fire, against brute force and case by case; and which are refused."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from cron_oracle import expected
from perdure_scheduler.cron import Gap, cron, shortest
from perdure_scheduler.cron_text import ALIASES, CronError, understand
from perdure_scheduler.zones import names

YEAR = 2026
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "Africa/Casablanca")
EXPRESSIONS = (
    "30 2 * * *",
    "*/30 1 * * *",
    "0 */2 * * *",
    "15 * * * *",
    "*/20 0-3 * * 0",
    "5/25 1,2,3 * * *",
    "45 1 * * SUN",
    "0 0 13 * 5",
    "0 12 */10 * 1",
    "10 2 L * *",
    "0 2 * 3,4,10,11 SUN#2,0L",
)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def times(text: str, zone: str, first: str, until: str, gap: Gap = "shift") -> list[str]:
    found = cron(text, zone, gap).between(utc(first), utc(until), 100_000)
    return [each.astimezone(cron(text, zone).where).isoformat() for each in found]


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ("Europe/Berlin", "*/30 1-2 * * *"),
        ("America/New_York", "15 * * * 1-5"),
        ("Australia/Lord_Howe", "0 */2 */3 * 0"),
    ],
)
def test_a_whole_year_fires_as_brute_force_says(zone: str, text: str) -> None:
    first, until = datetime(YEAR, 1, 1, tzinfo=UTC), datetime(YEAR + 1, 1, 1, tzinfo=UTC)
    found = cron(text, zone).between(first, until, 100_000)
    assert found == expected(text, zone, first, until)


@pytest.mark.parametrize("gap", ["shift", "skip"])
@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Berlin", "2026-03-29"),
        ("Europe/Berlin", "2026-10-25"),
        ("America/New_York", "2026-03-08"),
        ("America/New_York", "2026-11-01"),
        ("Australia/Lord_Howe", "2026-04-05"),
        ("Australia/Lord_Howe", "2026-10-04"),
        ("America/Sao_Paulo", "2018-11-04"),
        ("America/Sao_Paulo", "2018-02-18"),
        ("Africa/Casablanca", "2026-02-15"),
        ("Africa/Casablanca", "2026-03-22"),
        ("Pacific/Apia", "2011-12-30"),
    ],
)
def test_the_days_around_a_change_of_clocks_fire_as_brute_force_says(
    zone: str, day: str, gap: Gap
) -> None:
    middle = datetime.fromisoformat(day).replace(tzinfo=UTC)
    first, until = middle - timedelta(days=2), middle + timedelta(days=3)
    more = ("0 0 * * *", "30 0 * * *", "*/7 * * * *", "59 23 * * *", "0 3 * * *")
    for text in (*EXPRESSIONS, *more):
        found = cron(text, zone, gap).between(first, until, 100_000)
        assert found == expected(text, zone, first, until, gap=gap), text


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_six_fields_fire_as_brute_force_says(day: str) -> None:
    middle = datetime.fromisoformat(day).replace(tzinfo=UTC)
    first, until = middle - timedelta(hours=2), middle + timedelta(hours=6)
    for text in ("*/7 * * * * *", "30 15,45 1-3 * * *", "*/13 */9 */2 * * *", "5/20 0 2 * * SUN"):
        found = cron(text, "Europe/Berlin").between(first, until, 100_000)
        assert found == expected(text, "Europe/Berlin", first, until), text


def test_random_expressions_fire_as_brute_force_says() -> None:
    chance = random.Random(7)

    def field(low: int, high: int) -> str:
        a, b = sorted((chance.randint(low, high), chance.randint(low, high)))
        step = chance.randint(1, high - low)
        kinds = ("*", f"*/{step}", f"{a}", f"{a}-{b}", f"{a}-{b}/{step}", f"{a}/{step}", f"{a},{b}")
        return chance.choice(kinds)

    for _ in range(60):
        hour = field(0, 5) if chance.random() < 0.7 else field(0, 23)
        day = chance.choice(["*", "*", field(1, 28)])
        text = f"{field(0, 59)} {hour} {day} * {chance.choice(['*', '*', field(0, 6)])}"
        zone, gap = chance.choice(ZONES), chance.choice(["shift", "skip"])
        change = chance.choice([(3, 28), (10, 24), (3, 7), (10, 31), (4, 4), (10, 3), (2, 14)])
        first = datetime(YEAR, *change, tzinfo=UTC)
        until = first + timedelta(days=2)
        found = cron(text, zone, "skip" if gap == "skip" else "shift").between(first, until, 9999)
        assert found == expected(text, zone, first, until, gap=gap), (text, zone, gap, first)


def test_a_time_that_clocks_leave_out_comes_right_after_the_gap_or_not_at_all() -> None:
    span = ("2026-03-28T12:00Z", "2026-03-30T12:00Z")
    assert times("30 2 * * *", "Europe/Berlin", *span) == [
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ]
    assert times("30 2 * * *", "Europe/Berlin", *span, gap="skip") == ["2026-03-30T02:30:00+02:00"]
    assert times("*/10 2 29 3 *", "Europe/Berlin", *span) == ["2026-03-29T03:00:00+02:00"]
    assert times("0 30 2 29 3 *", "Europe/Berlin", *span) == []  # six fields make nothing up


def test_a_midnight_that_clocks_leave_out_is_made_up_for() -> None:
    span = ("2018-11-03T12:00Z", "2018-11-05T12:00Z")
    assert times("0 0 * * *", "America/Sao_Paulo", *span) == [
        "2018-11-04T01:00:00-02:00",
        "2018-11-05T00:00:00-02:00",
    ]


def test_the_hour_that_comes_twice_fires_twice_for_a_star_alone() -> None:
    span = ("2026-11-01T04:59Z", "2026-11-01T07:01Z")
    assert times("0 * * * *", "America/New_York", *span) == [
        "2026-11-01T01:00:00-04:00",
        "2026-11-01T01:00:00-05:00",
        "2026-11-01T02:00:00-05:00",
    ]
    for text in ("30 1 * * *", "30 */1 * * *", "0 30 1 * * *"):
        found = times(text, "America/New_York", *span)
        assert [each for each in found if "T01" in each] == ["2026-11-01T01:30:00-04:00"], text


def test_asked_in_the_second_pass_the_answer_lies_ahead() -> None:
    found = cron("30 1 * * *", "America/New_York").after(utc("2026-11-01T01:10-05:00"))
    assert found == utc("2026-11-02T01:30-05:00")


def test_half_an_hour_is_a_change_too() -> None:
    span = ("2026-10-03T12:00Z", "2026-10-03T16:31Z")
    assert times("15 2 * * *", "Australia/Lord_Howe", *span) == ["2026-10-04T02:30:00+11:00"]
    assert times("0,30 2 * * *", "Australia/Lord_Howe", *span) == ["2026-10-04T02:30:00+11:00"]


def test_leap_days_come_every_four_years_but_for_some_centuries() -> None:
    found = cron("0 0 29 2 *").between(utc("2089-01-01T00:00Z"), utc("2110-01-01T00:00Z"), 9)
    assert [each.year for each in found] == [2092, 2096, 2104, 2108]
    assert cron("0 0 * 2 MON#5").after(utc("2026-01-01T00:00Z")) == utc("2044-02-29T00:00Z")


def test_one_of_two_restricted_days_is_enough_a_stepped_star_is_a_restriction() -> None:
    found = cron("0 0 */10 * 1").between(utc("2026-01-01T01:00Z"), utc("2026-01-31T23:00Z"), 99)
    assert [each.day for each in found] == [5, 11, 12, 19, 21, 26, 31]


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_is_what_it_stands_for(alias: str) -> None:
    assert understand(alias).plain == understand(ALIASES[alias]).plain
    assert understand(alias.upper()).plain == understand(alias).plain


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0 0 ? * FRIL", "0 0 * * 5L"),
        ("0 0 * * FRI#L", "0 0 * * 5L"),
        ("0 0 * * 5#L", "0 0 * * 5L"),
        ("0 0 * * 7", "0 0 * * SUN"),
        ("0 0 * * 5-7", "0 0 * * 0,5,6"),
        ("0 0 * * 1/2", "0 0 * * 1,3,5"),
        ("0 0 * * */2", "0 0 * * 0,2,4,6"),
        ("5/20 * * * *", "5,25,45 * * * *"),
        ("7-7/2 * * * *", "7 * * * *"),
        ("0   0 1 jan-mar   *", "0 0 1 1,2,3 *"),
    ],
)
def test_two_ways_to_write_the_same(one: str, other: str) -> None:
    assert understand(one).plain == understand(other).plain


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("0 0 15W * *", "cron_nearest_weekday", "14-16"),
        ("0 0 LW * *", "cron_nearest_weekday", "IF node"),
        ("+5 * * * *", "cron_plus", "the values themselves"),
        ("0 0 1 1 * * 2027", "cron_year_field", "seventh field"),
        ("0 0 L-3 * *", "cron_before_last", "26-28"),
        ("@reboot", "cron_alias", "names no instant"),
        ("@fortnightly", "cron_alias", "@weekly"),
        ("50-10 * * * *", "cron_wrapped_range", "write 50-59,0-10"),
        ("0 0 * * FRI-SUN", "cron_wrapped_range", "write 5-7"),
        ("0 0 * * FRI-MON", "cron_wrapped_range", "write 5-6,0-1"),
        ("*/90 * * * *", "cron_step", "ends at 59"),
        ("0 */24 * * *", "cron_step", "ends at 23"),
        ("*/0 * * * *", "cron_step", "at least 1"),
        ("60 * * * *", "cron_out_of_range", "0 to 59"),
        ("0 24 * * *", "cron_out_of_range", "0 to 23"),
        ("0 0 0 * *", "cron_out_of_range", "1 to 31"),
        ("0 0 1 13 *", "cron_out_of_range", "JAN to DEC"),
        ("0 0 * * 8", "cron_out_of_range", "SUN to SAT"),
        ("99999999999999999999 * * * *", "cron_out_of_range", "0 to 59"),
        ("0 0 * * FRI#6", "cron_syntax", "FRI#5"),
        ("0 0 * * FUN", "cron_syntax", "SUN to SAT"),
        ("? * * * *", "cron_syntax", "no minute"),
        ("L * * * *", "cron_syntax", "no minute"),
        ("1,, * * * *", "cron_syntax", "no minute"),
        ("*-5 * * * *", "cron_syntax", "no minute"),
        ("H * * * *", "cron_syntax", "no minute"),
        ("5 * * *", "cron_fields", "4 fields"),
        ("", "cron_fields", "1 to 255"),
        ("0 " * 200, "cron_fields", "1 to 255"),
        ("\u0660 * * * *", "cron_characters", "plain"),
        ("0\t0 * * *", "cron_characters", "plain"),
        ("0 0\u00a0* * *", "cron_characters", "plain"),
    ],
)
def test_what_is_not_known_is_refused_with_what_to_write_instead(
    text: str, code: str, says: str
) -> None:
    with pytest.raises(CronError) as caught:
        understand(text)
    assert caught.value.code == code
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "* * * 30-31 2 *"])
def test_what_never_fires_is_refused(text: str) -> None:
    with pytest.raises(CronError) as caught:
        cron(text)
    assert caught.value.code == "cron_never_fires"


@pytest.mark.parametrize("zone", ["europe/berlin", "CEST", "", "Mars/Base", "../UTC", "Etc"])
def test_a_zone_has_its_exact_name(zone: str) -> None:
    with pytest.raises(CronError) as caught:
        cron("0 0 * * *", zone)
    assert caught.value.code == "invalid_timezone"


def test_every_zone_of_the_database_can_be_used() -> None:
    found = [cron("0 12 * * *", name).after(utc("2026-06-01T00:00Z")) for name in names()]
    assert len(found) > 400 and None not in found


@pytest.mark.parametrize("text", ["* * * * * *", "*/15 * * * *", "0 3 * * *", "* * 3 * * *"])
def test_the_newest_firings_are_the_last_of_all(text: str) -> None:
    schedule = cron(text, "Europe/Berlin")
    first, until = utc("2026-03-28T00:00Z"), utc("2026-03-29T09:00:30Z")
    everything = schedule.between(first, until, 1_000_000)
    for most in (1, 7, 100):
        assert schedule.newest(first, until, most) == everything[-most:]
    assert schedule.newest(until, until, 5) == []


def test_the_shortest_interval_is_found() -> None:
    assert shortest(cron("0,10 9 * * *"), utc("2026-01-01T00:00Z")) == timedelta(minutes=10)
