"""Headers of the PROXY protocol, whole and broken, however they are cut."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smppbridge.smpp.proxy import Header, Parser, ProxyError

SIGNATURE = bytes.fromhex("0D0A0D0A000D0A515549540A")
IPV4 = bytes([203, 0, 113, 7, 192, 0, 2, 1]) + (40_123).to_bytes(2) + (2775).to_bytes(2)
IPV6 = ip_address("2001:db8::7").packed + ip_address("2001:db8::1").packed + (40_123).to_bytes(2) + (2775).to_bytes(2)
UNIX = b"/run/client".ljust(108, b"\0") + b"/run/server".ljust(108, b"\0")
#: NOOP and AUTHORITY.
TLVS = b"\x04\0\x03abc" + b"\x02\0\x0cgateway.test"
UNNAMED = Header()
LOCAL = Header(local=True)
FOUR = Header((ip_address("203.0.113.7"), 40_123))
SIX = Header((ip_address("2001:db8::7"), 40_123))


def v2(command: int, family: int, block: bytes = b"", length: int | None = None) -> bytes:
    return SIGNATURE + bytes([command, family]) + (len(block) if length is None else length).to_bytes(2) + block


WHOLE = {
    "1, IPv4": (b"PROXY TCP4 203.0.113.7 192.0.2.1 40123 2775\r\n", FOUR),
    "1, IPv6": (b"PROXY TCP6 2001:db8::7 2001:db8::1 40123 2775\r\n", SIX),
    "1, upper case": (b"PROXY TCP6 2001:DB8::7 2001:DB8::1 40123 2775\r\n", SIX),
    "1, the longest of IPv4": (
        b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
        Header((ip_address("255.255.255.255"), 65_535)),
    ),
    "1, the longest of IPv6": (
        b"PROXY TCP6 " + b" ".join([b":".join([b"ffff"] * 8)] * 2) + b" 65535 65535\r\n",
        Header((ip_address(":".join(["ffff"] * 8)), 65_535)),
    ),
    "1, port 0": (b"PROXY TCP4 203.0.113.7 192.0.2.1 0 0\r\n", Header((ip_address("203.0.113.7"), 0))),
    "1, the shortest": (b"PROXY UNKNOWN\r\n", UNNAMED),
    "1, unknown with a space": (b"PROXY UNKNOWN \r\n", UNNAMED),
    "1, unknown, the longest": (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", UNNAMED),
    "2, local": (v2(0x20, 0x00), LOCAL),
    "2, local with addresses": (v2(0x20, 0x11, IPV4), LOCAL),
    "2, local with a family nobody knows": (v2(0x20, 0xFF, b"x" * 7), LOCAL),
    "2, IPv4": (v2(0x21, 0x11, IPV4), FOUR),
    "2, IPv4 and more": (v2(0x21, 0x11, IPV4 + TLVS), FOUR),
    "2, IPv4 and the most": (v2(0x21, 0x11, IPV4.ljust(16_384, b"\4")), FOUR),
    "2, IPv6": (v2(0x21, 0x21, IPV6), SIX),
    "2, IPv6 and more": (v2(0x21, 0x21, IPV6 + TLVS), SIX),
    "2, Unix": (v2(0x21, 0x31, UNIX), UNNAMED),
    "2, UDP": (v2(0x21, 0x12, IPV4), UNNAMED),
    "2, nobody knows for whom": (v2(0x21, 0x00), UNNAMED),
    "2, nobody knows for whom, and more": (v2(0x21, 0x00, TLVS), UNNAMED),
    "2, IPv4 of an unknown protocol": (v2(0x21, 0x10, IPV4), UNNAMED),
}

BROKEN = {
    "a BIND": bytes.fromhex("0000002F000000090000000000000001"),
    "a ClientHello": bytes.fromhex("16030100C8010000C40303"),
    "a request": b"GET / HTTP/1.1\r\n",
    "lower case": b"proxy TCP4 203.0.113.7 192.0.2.1 40123 2775\r\n",
    "another protocol": b"PROXY UDP4 203.0.113.7 192.0.2.1 40123 2775\r\n",
    "no protocol": b"PROXY  203.0.113.7 192.0.2.1 40123 2775\r\n",
    "nothing": b"PROXY        \r\n",
    "IPv6 for IPv4": b"PROXY TCP4 2001:db8::7 2001:db8::1 40123 2775\r\n",
    "IPv4 for IPv6": b"PROXY TCP6 203.0.113.7 192.0.2.1 40123 2775\r\n",
    "a name": b"PROXY TCP4 client.test 192.0.2.1 40123 2775\r\n",
    "a zone": b"PROXY TCP6 fe80::1%eth0 2001:db8::1 40123 2775\r\n",
    "leading zeros": b"PROXY TCP4 203.0.113.007 192.0.2.1 40123 2775\r\n",
    "a wrong destination": b"PROXY TCP4 203.0.113.7 192.0.2.256 40123 2775\r\n",
    "no ports": b"PROXY TCP4 203.0.113.7 192.0.2.1\r\n",
    "a port too high": b"PROXY TCP4 203.0.113.7 192.0.2.1 40123 65536\r\n",
    "a port with a zero": b"PROXY TCP4 203.0.113.7 192.0.2.1 040123 2775\r\n",
    "a port with a sign": b"PROXY TCP4 203.0.113.7 192.0.2.1 +4012 2775\r\n",
    "two spaces": b"PROXY TCP4  203.0.113.7 192.0.2.1 40123 2775\r\n",
    "a tab": b"PROXY TCP4\t203.0.113.7 192.0.2.1 40123 2775\r\n",
    "a space at the end": b"PROXY TCP4 203.0.113.7 192.0.2.1 40123 2775 \r\n",
    "only LF": b"PROXY TCP4 203.0.113.7 192.0.2.1 40123 2775\n",
    "CR in the middle": b"PROXY UNKNOWN \r x\r\n",
    "too long": b"PROXY UNKNOWN " + b"x" * 100,
    "CRLF one too late": b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
    "version 1 in binary": v2(0x11, 0x11, IPV4),
    "version 3": v2(0x31, 0x11, IPV4),
    "a command nobody knows": v2(0x22, 0x11, IPV4),
    "a family nobody knows": v2(0x21, 0x41, IPV4),
    "a protocol nobody knows": v2(0x21, 0x13, IPV4),
    "IPv4 cut short": v2(0x21, 0x11, IPV4[:11]),
    "IPv6 with the length of IPv4": v2(0x21, 0x21, IPV4),
    "Unix cut short": v2(0x21, 0x31, UNIX[:215]),
    "longer than is read": v2(0x21, 0x11, b"", 16_385),
    "the longest": v2(0x21, 0x11, b"", 65_535),
}


def read(stream: bytes, sizes: list[int] | None = None) -> tuple[Header | None, int]:
    """What is made of a stream that comes in reads of these sizes, and how many of its octets were taken."""
    parser, taken = Parser(), 0
    while parser.wants and taken < len(stream):
        size = min(parser.wants, sizes.pop() if sizes else parser.wants)
        data = stream[taken : taken + size]
        parser.feed(data)
        taken += len(data)
    return parser.header, taken


@pytest.mark.parametrize(("octets", "header"), WHOLE.values(), ids=WHOLE)
def test_a_whole_header(octets: bytes, header: Header) -> None:
    assert read(octets + b"what follows") == (header, len(octets))


@pytest.mark.parametrize(("octets", "header"), WHOLE.values(), ids=WHOLE)
def test_a_header_that_is_cut_short_says_nothing(octets: bytes, header: Header) -> None:
    for length in range(min(len(octets), 300)):
        parser = Parser()
        for octet in octets[:length]:
            parser.feed(bytes([octet]))
        assert parser.header is None
        assert parser.wants > 0


@pytest.mark.parametrize("octets", BROKEN.values(), ids=BROKEN)
def test_what_is_no_header_is_said_at_once(octets: bytes) -> None:
    with pytest.raises(ProxyError):
        read(octets)


@given(st.sampled_from(list(WHOLE)), st.lists(st.integers(1, 60)))
def test_reads_of_any_size_give_the_same_header(name: str, sizes: list[int]) -> None:
    octets, header = WHOLE[name]
    assert read(octets + b"what follows", sizes) == (header, len(octets))


@given(st.sampled_from(list(BROKEN)), st.lists(st.integers(1, 60)))
def test_reads_of_any_size_give_the_same_mistake(name: str, sizes: list[int]) -> None:
    with pytest.raises(ProxyError):
        read(BROKEN[name], sizes)


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda rest: b"PROXY TCP" + rest)
       | st.binary(max_size=300).map(lambda rest: SIGNATURE + b"\x21" + rest))  # fmt: skip
@example(b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n")
def test_whatever_comes_is_a_header_or_none_or_a_mistake(octets: bytes) -> None:
    try:
        header, taken = read(octets)
    except ProxyError:
        return
    assert header is not None or taken == len(octets)


def test_more_than_was_wanted_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="16 octets were read where 15 were wanted"):
        Parser().feed(b"PROXY TCP4 1.1.1")


def test_what_is_only_skipped_is_not_kept() -> None:
    parser = Parser()
    octets = v2(0x21, 0x11, IPV4.ljust(16_384, b"\4"))
    taken = 0
    while parser.wants:
        size = parser.wants
        parser.feed(octets[taken : taken + size])
        taken += size
        assert len(parser._read) <= 128
    assert repr(parser) == f"<Parser 16400 octets, wants 0, {FOUR}>"
