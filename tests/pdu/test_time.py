from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdu import format_absolute, format_relative, parse_time

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def zone(hours: float) -> timezone:
    return timezone(timedelta(hours=hours))


# SMPP 3.4 §7.1.1.1.
ABSOLUTE = [
    ("261121120000000+", NOW),
    ("000229235959900+", datetime(2000, 2, 29, 23, 59, 59, 900_000, UTC)),
    # smsc.ru's own client: YYMMDDhhmm, three zeros, quarters, sign.
    ("261121150000012+", datetime(2026, 11, 21, 15, 0, tzinfo=zone(3))),
    ("261121033000034-", datetime(2026, 11, 21, 3, 30, tzinfo=zone(-8.5))),
    ("991231235959948+", datetime(2099, 12, 31, 23, 59, 59, 900_000, zone(12))),
]


@pytest.mark.parametrize(("value", "moment"), ABSOLUTE)
def test_absolute_both_ways(value: str, moment: datetime) -> None:
    parsed = parse_time(value, NOW)
    assert parsed == moment
    assert parsed.utcoffset() == moment.utcoffset()
    assert format_absolute(moment) == value


def test_minus_nothing_is_utc() -> None:
    assert parse_time("261121120000000-", NOW) == NOW


# SMPP 3.4 §7.1.1.2.
@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("000000000000000R", NOW),
        ("000000030000000R", datetime(2026, 11, 21, 15, 0, tzinfo=UTC)),
        ("000001000000000R", datetime(2026, 11, 22, 12, 0, tzinfo=UTC)),
        ("000000240000000R", datetime(2026, 11, 22, 12, 0, tzinfo=UTC)),
        ("000000633000000R", datetime(2026, 11, 24, 3, 30, tzinfo=UTC)),
        ("000100000000000R", datetime(2026, 12, 21, 12, 0, tzinfo=UTC)),
        ("000200000000000R", datetime(2027, 1, 21, 12, 0, tzinfo=UTC)),
        ("020610233429000R", datetime(2029, 6, 1, 11, 34, 29, tzinfo=UTC)),
    ],
)
def test_relative(value: str, moment: datetime) -> None:
    assert parse_time(value, NOW) == moment


@pytest.mark.parametrize(
    ("now", "months", "then"),
    [
        ((2026, 1, 31), "01", (2026, 2, 28)),
        ((2027, 12, 31), "02", (2028, 2, 29)),
        ((2026, 8, 31), "01", (2026, 9, 30)),
        ((2026, 12, 1), "12", (2027, 12, 1)),
        ((2028, 2, 29), "12", (2029, 2, 28)),
    ],
)
def test_months_go_by_the_calendar(now: tuple[int, int, int], months: str, then: tuple[int, int, int]) -> None:
    assert parse_time(f"00{months}00000000000R", datetime(*now, tzinfo=UTC)) == datetime(*then, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "16 characters, this one has 0"),
        ("2611211200", "16 characters, this one has 10"),
        ("26112112000000000+", "this one has 18"),
        ("26112112000000x+", "15 digits and one of"),
        ("٢61121120000000+", "15 digits and one of"),
        ("261121120000000Z", "ends in \\+ - or R"),
        ("261121120000000r", "ends in \\+ - or R"),
        ("261121120000049+", "49 quarters"),
        ("000000030000100R", "ends in 000R"),
        ("000000030000004R", "ends in 000R"),
        ("260229120000000+", "not in the calendar: day"),
        ("261300120000000+", "not in the calendar: month"),
        ("261121240000000+", "not in the calendar: hour"),
    ],
)
def test_what_is_no_time_says_why(value: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_time(value, NOW)


@pytest.mark.parametrize("value", ["990000000000000R", "000099000000000R", "000001000000000R"])
def test_the_calendar_ends(value: str) -> None:
    with pytest.raises(ValueError, match="after the year 9999"):
        parse_time(value, datetime(9999, 12, 31, tzinfo=UTC))


@pytest.mark.parametrize(
    ("moment", "value"),
    [
        (datetime(2026, 11, 22, 1, 0, tzinfo=zone(13)), "261121120000000+"),
        (datetime(2026, 11, 21, 12, 10, tzinfo=timezone(timedelta(minutes=10))), "261121120000000+"),
        (datetime(2026, 11, 21, 12, 0, 0, 999_999, UTC), "261121120000900+"),
    ],
)
def test_a_zone_without_a_name_in_smpp_becomes_utc(moment: datetime, value: str) -> None:
    assert format_absolute(moment) == value


def test_a_time_needs_its_zone() -> None:
    with pytest.raises(ValueError, match="needs its time zone"):
        format_absolute(datetime(2026, 11, 21))


@pytest.mark.parametrize("year", [1999, 2100])
def test_a_year_of_another_century(year: int) -> None:
    with pytest.raises(ValueError, match="does not fit into two digits"):
        format_absolute(datetime(year, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("seconds", "value"),
    [
        (0, "000000000000000R"),
        (59, "000000000059000R"),
        (3600, "000000010000000R"),
        (86400, "000001000000000R"),
        (31 * 86400 + 86399, "000031235959000R"),
    ],
)
def test_relative_seconds(seconds: int, value: str) -> None:
    assert format_relative(seconds) == value


@pytest.mark.parametrize("seconds", [-1, 32 * 86400])
def test_relative_seconds_have_an_end(seconds: int) -> None:
    with pytest.raises(ValueError, match="use an absolute one"):
        format_relative(seconds)


@given(st.integers(0, 32 * 86400 - 1))
def test_relative_is_read_as_it_was_written(seconds: int) -> None:
    assert parse_time(format_relative(seconds), NOW) - NOW == timedelta(seconds=seconds)


@given(
    st.datetimes(datetime(2000, 1, 2), datetime(2099, 12, 30)),
    st.integers(-48, 48),
    st.integers(0, 9),
)
def test_absolute_is_read_as_it_was_written(moment: datetime, quarters: int, tenths: int) -> None:
    moment = moment.replace(microsecond=tenths * 100_000, tzinfo=timezone(timedelta(minutes=15 * quarters)))
    parsed = parse_time(format_absolute(moment), NOW)
    assert parsed == moment
    assert parsed.utcoffset() == moment.utcoffset()


@given(st.text("0123456789+-R ", max_size=20) | st.from_regex(r"[0-9]{15}[+\-R]", fullmatch=True))
def test_reading_gives_a_time_with_a_zone_or_valueerror(value: str) -> None:
    with suppress(ValueError):
        assert parse_time(value, NOW).tzinfo is not None
