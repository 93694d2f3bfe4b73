"""Documents of providers and callers that are made to take all the memory or all the time there is."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smppbridge.config import Patterns
from smppbridge.providers import naimar, omnicell, reading
from smppbridge.providers.http import documents
from smppbridge.providers.smsgate import doors

from .expressions import Use, takes_long, uses

LAUGHS = b"".join(b"<!ENTITY a%d '%b'>" % (n, b"&a%d;" % (n - 1) * 10 if n else b"ha") for n in range(30))


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE a [" + LAUGHS + b"]><a>&a29;</a>",
        b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
        b"<!DOCTYPE a [<!ENTITY % b SYSTEM 'http://192.0.2.1/'>%b;]><a/>",
        b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
        b"<a>" * 100_000,
        b"<a>" * 5_000 + b"</a>" * 5_000,
        b"<a xmlns='%b'/>" % (b"n" * 1000),
        b"<a><b xmlns:c='%b'/></a>" % (b"n" * 1000),
    ],
    ids=["laughs", "a file", "an address", "its type elsewhere", "unclosed", "too deep", "namespace", "within"],
)
def test_an_xml_bomb_is_no_document(body: bytes) -> None:
    assert reading.xml(body) is None


def seconds(once: Callable[[], object]) -> float:
    """Of the processor, at the quickest of three times."""
    took = []
    for _ in range(3):
        began = time.process_time()
        once()
        took.append(time.process_time() - began)
    return min(took)


def grows_faster(take: Callable[[Any], object], made: Callable[[int], Any], size: int) -> bool:
    """Whether four times the size takes much more than four times as long. Where it is quick all the same, nobody can
    tell, and nobody has to."""
    small, large = made(size), made(4 * size)
    took = seconds(lambda: take(large))
    return took > 0.03 and took > 9 * seconds(lambda: take(small))


READERS: dict[str, Callable[[bytes], object]] = {
    "http": lambda body: documents.read(body, "xml"),
    "naimar": naimar._read,
    "omnicell": lambda body: omnicell._status(httpx.Response(200, content=body)),
    "smsgate": lambda body: doors._xml_answer(reading.xml(body)),
}
XML: dict[str, Callable[[int], bytes]] = {
    "attributes": lambda size: b"<a " + b" ".join(b"a%d=''" % n for n in range(size)) + b"/>",
    "attributes of a namespace": lambda size: (
        b"<a xmlns:x='y' " + b" ".join(b"x:a%d=''" % n for n in range(size)) + b"/>"
    ),
    "attributes of an item": lambda size: (
        b"<response><message><information %b/></message></response>" % b" ".join(b"a%d=''" % n for n in range(size))
    ),
    "namespaces": lambda size: b"<a " + b" ".join(b"xmlns:a%d='%d'" % (n, n) for n in range(size)) + b"/>",
    "a long namespace": lambda size: b"<a xmlns='%b'>%b</a>" % (b"n" * 2 * size, b"<b/>" * size),
    "elements": lambda size: b"<a>" + b"<b/>" * size + b"</a>",
    "elements of different names": lambda size: b"<a>" + b"".join(b"<b%d/>" % n for n in range(size)) + b"</a>",
}


@pytest.mark.parametrize("body", sorted(XML))
@pytest.mark.parametrize("reader", sorted(READERS))
def test_the_time_for_an_xml_document_is_that_of_its_length(reader: str, body: str) -> None:
    assert reading.xml(XML[body](100)) is not None
    assert not grows_faster(READERS[reader], XML[body], 5_000)


def test_of_an_element_with_very_many_attributes_none_is_read() -> None:
    body = b"<a %b>b</a>"
    few, many = (b" ".join(b"a%d='c'" % n for n in range(count)) for count in (100, 101))
    assert len(documents.read(body % few, "xml")["a"]) == 101
    assert documents.read(body % many, "xml") == {"a": "b"}


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 500_000, b"[" * 500_000 + b"]" * 500_000, b'{"a":' * 100_000,
        b"9" * 1_000_000, b"-" + b"9" * 5000, b"1e999999", b"NaN", b"Infinity", b"-Infinity",
        b'"\\ud800"', b'"\\udc00\\ud800"', b'"\xff"', b'"\xed\xa0\x80"', b'"\x01"', b"", b"\0",
    ],
)  # fmt: skip
def test_a_json_bomb_is_no_document(body: bytes) -> None:
    assert reading.json(httpx.Response(200, content=body)) is None
    assert documents.read(body, "json") is None


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.sampled_from(["9" * 5000, " " * 5000, "1e9"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=8,
    )
)
def test_whatever_stands_in_a_document_a_reader_has_a_value_for_it(value: Any) -> None:
    assert isinstance(reading.text(value), str)
    assert isinstance(documents.text(value), str)
    assert 0 <= reading.err(value) <= 999
    assert 0 <= reading.parts(value) < 256
    assert len(reading.cost(value)) <= 16
    assert documents.at(value) >= 0


def test_a_form_of_very_many_fields_is_none() -> None:
    assert documents.read(b"a=b&" * 250_000, "form") is None


# Regular expressions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "method", "long"),
    [
        (r"(?:ERROR\s+)?(?:4[\s,:]+)?[^<>]{1,400}", "fullmatch", True),
        (r"[ \t]*([0-9]*)[ \t]*,", "match", True),
        (r"(a+)+$", "match", True),
        (r"x(?:b|[0-9]+[0-9]+c)", "match", True),
        (r"\s+$", "sub", True),
        (r"(?:ERROR\s+)?[^\s<>][^<>]{0,400}", "fullmatch", False),
        (r"[ \t]*+([0-9]*+)[ \t]*,", "match", False),
        (r"\s+x", "match", False),
        (r"[a-z]{1,20}1", "search", False),
    ],
)
def test_the_look_for_bad_expressions_finds_one(pattern: str, method: str, long: bool) -> None:
    assert takes_long(Use("", re.compile(pattern), method)) == long


def test_no_expression_takes_exponential_time() -> None:
    """Nor any that is more than that of the length: of all that a client or a provider may write."""
    found = list(uses())
    assert len(found) > 60
    assert {use.where.partition(":")[0] for use in found if takes_long(use)} == set()


def test_a_pattern_of_the_configuration_is_no_expression() -> None:
    assert not Patterns(["(a+)+$"]).fit("a" * 50)
    assert Patterns(["79*"]).fit("7" + "9" * 100_000)
