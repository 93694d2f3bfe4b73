"""The time format of SMPP 3.4 §7.1.1: sixteen characters, absolute or relative.

Absolute is `YYMMDDhhmmsstnnp`: t tenths of a second, nn quarters of an hour between that local time and UTC, p `+`
where the local time is ahead and `-` where it is behind. Relative is `YYMMDDhhmmss000R`: so long from now.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, datetime, timedelta, timezone

_QUARTER = timedelta(minutes=15)


def parse_time(value: str, now: datetime) -> datetime:
    """The moment meant, with its time zone. `now` must have one. Raises ValueError with a sentence for the client."""
    if len(value) != 16:
        raise ValueError(f"a time has 16 characters, this one has {len(value)}")
    digits, sign = value[:15], value[15]
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError("a time is 15 digits and one of + - R")
    years, months, days, hours, minutes, seconds = (int(digits[at : at + 2]) for at in range(0, 12, 2))
    tenths, quarters = int(digits[12]), int(digits[13:15])
    if sign == "R":
        if tenths or quarters:
            raise ValueError("a relative time ends in 000R")
        # Clients write more than the calendar has (24 hours, 63 hours): it is clear what they mean.
        return _later(now, years, months, timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds))
    if sign not in "+-":
        raise ValueError("a time ends in + - or R")
    if quarters > 48:
        raise ValueError(f"{quarters} quarters of an hour is more than the 48 a time zone may be from UTC")
    zone = timezone(_QUARTER * (quarters if sign == "+" else -quarters))
    try:
        return datetime(2000 + years, months, days, hours, minutes, seconds, tenths * 100_000, tzinfo=zone)
    except ValueError as error:
        raise ValueError(f"this time is not in the calendar: {error}") from None


def _later(now: datetime, years: int, months: int, rest: timedelta) -> datetime:
    """Years and months by the calendar (the last day of a shorter month stands for the 31st), then the rest."""
    month = now.month - 1 + months + 12 * years
    year, month = now.year + month // 12, month % 12 + 1
    try:
        return now.replace(year=year, month=month, day=min(now.day, monthrange(year, month)[1])) + rest
    except (ValueError, OverflowError):
        raise ValueError("this relative time ends after the year 9999") from None


def format_absolute(moment: datetime) -> str:
    """`YYMMDDhhmmsstnnp` in the moment's own zone, or in UTC where SMPP cannot name that zone."""
    offset = moment.utcoffset()
    if offset is None:
        raise ValueError("a time needs its time zone")
    if offset % _QUARTER or abs(offset) > 48 * _QUARTER:
        moment, offset = moment.astimezone(UTC), timedelta(0)
    if not 2000 <= moment.year <= 2099:
        raise ValueError(f"the year {moment.year} does not fit into two digits")
    sign = "-" if offset < timedelta(0) else "+"
    return f"{moment:%y%m%d%H%M%S}{moment.microsecond // 100_000}{abs(offset) // _QUARTER:02d}{sign}"


def format_relative(seconds: int) -> str:
    """`0000DDhhmmss000R`, up to 31 days: months and years are not the same length everywhere in the calendar."""
    if not 0 <= seconds < 32 * 86400:
        raise ValueError("a relative time is 0 seconds to 31 days; use an absolute one")
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"0000{days:02d}{hours:02d}{minutes:02d}{seconds:02d}000R"
