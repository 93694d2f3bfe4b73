"""What adapters read answers with."""

from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smppbridge.providers import reading
from smppbridge.providers.base import InDoubt, Temporary, Unable


@pytest.mark.parametrize(
    ("status", "outcome", "everything"),
    [
        (200, InDoubt, None),
        (204, InDoubt, None),
        (301, Unable, True),
        (302, InDoubt, None),
        (303, InDoubt, None),
        (307, Unable, True),
        (400, Unable, False),
        (401, Unable, True),
        (402, Unable, True),
        (403, Unable, True),
        (404, Unable, True),
        (408, Temporary, None),
        (413, Unable, False),
        (422, Unable, False),
        (429, Temporary, None),
        (500, InDoubt, None),
        (502, InDoubt, None),
        (503, Temporary, None),
        (504, InDoubt, None),
    ],
)
def test_what_a_status_alone_tells(status, outcome, everything):
    told = reading.by_status(httpx.Response(status))
    assert isinstance(told, outcome)
    assert str(status) in told.reason
    if isinstance(told, Unable):
        assert told.everything is everything


@pytest.mark.parametrize("body", [b'{"id": 7}', b'\xef\xbb\xbf{"id": 7}', b' {"id": 7}\r\n'])
def test_json_with_and_without_a_byte_order_mark(body):
    assert reading.json(httpx.Response(200, content=body)) == {"id": 7}


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 7 ", 7),
        ("86400", 3600),
        ("99999999999999999999", None),
        ("-1", None),
        ("1.5", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("", None),
        (None, None),
    ],
)
def test_how_long_to_wait(header, seconds):
    headers = {} if header is None else {"retry-after": header}
    assert reading.retry_after(httpx.Response(503, headers=headers)) == seconds


@pytest.mark.parametrize(
    ("until", "date", "seconds"),
    [
        ("Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:27:30 GMT", 30),
        ("Wed, 21 Oct 2026 00:00:05 GMT", "Tue, 20 Oct 2026 23:59:50 GMT", 15),
        ("Wednesday, 21-Oct-26 07:28:00 GMT", "Wed Oct 21 07:27:30 2026", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 0),
        ("Fri, 21 Oct 2033 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:00 GMT", 3600),
        ("Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:01 GMT", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", "a moment ago", None),
        ("Wed, 99 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:01 GMT", None),
        ("soon", "Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_a_date_is_counted_from_that_of_the_answer(until, date, seconds):
    assert reading.retry_after(httpx.Response(503, headers={"retry-after": until, "date": date})) == seconds


@pytest.mark.parametrize(
    ("value", "number", "text", "err", "cost", "parts"),
    [
        (5, 5, "5", 5, "5", 5),
        ("5", 5, "5", 5, "5", 5),
        (" -5 ", -5, " -5 ", 99, "", 0),
        (999, 999, "999", 999, "999", 0),
        (1000, 1000, "1000", 99, "1000", 0),
        ("1.40", None, "1.40", 0, "1.40", 0),
        (1.4, None, "", 0, "1.4", 0),
        (1e30, None, "", 0, "", 0),
        (True, None, "", 0, "", 0),
        (None, None, "", 0, "", 0),
        ("", None, "", 0, "", 0),
        ("٣", None, "٣", 0, "", 0),
        ("1e3", None, "1e3", 0, "", 0),
        ("9" * 19, None, "9" * 19, 0, "", 0),
        ([], None, "", 0, "", 0),
    ],
)
def test_values(value, number, text, err, cost, parts):
    assert reading.number(value) == number
    assert reading.text(value) == text
    assert reading.err(value) == err
    assert reading.cost(value) == cost
    assert reading.parts(value) == parts


@given(st.binary() | st.sampled_from([b"[" * 100_000, b'{"a":' * 50_000, b"9" * 5000, b'"\\ud800"', b"1e999"]))
def test_json_is_read_or_it_is_none(body):
    reading.json(httpx.Response(200, content=body))


@pytest.mark.parametrize(
    ("form", "read"),
    [
        (b"", {}),
        (b"md5&charset=utf-8", {"charset": b"utf-8"}),
        (b"a=1&b=&a=2", {"a": b"2", "b": b""}),
        (b"te%78t=%CF%F0+%2B%26", {"text": b"\xcf\xf0 +&"}),
        (b"text=\xd0\x9f=x", {"text": b"\xd0\x9f=x"}),
        (b"\xff=1&%ff=2", {"\xff": b"2"}),
    ],
)
def test_a_form_is_read_octet_by_octet(form, read):
    assert reading.pairs(form) == read


@pytest.mark.parametrize(
    ("written", "zone", "millis"),
    [
        # By date -u -d.
        ("2014-07-18 00:35:00", "UTC", 1_405_643_700_000),
        ("2014-07-18 00:35:00", "Europe/Bratislava", 1_405_636_500_000),
        ("2014-01-18 00:35:00", "Europe/Bratislava", 1_390_001_700_000),
        ("1969-12-31 23:59:59", "UTC", 0),
        ("0001-01-01 00:00:00", "Europe/Bratislava", 0),
        ("2014-02-30 00:35:00", "UTC", 0),
        ("2014-07-18T00:35:00", "UTC", 0),
        ("2014-07-18 00:35", "UTC", 0),
        ("٢٠١٤-07-18 00:35:00", "UTC", 0),
        ("", "UTC", 0),
    ],
)
def test_a_time_is_that_of_the_providers_clock(written, zone, millis):
    assert reading.at(written, ZoneInfo(zone)) == millis
