"""The PROXY protocol, versions 1 and 2: for whom a balancer has opened a connection. No socket, no clock.

A balancer in front of us is the peer of every connection, and `allowed_networks`, the limits for each address and the
log want to know the client. So it writes a header first: before TLS, before SMPP. Only balancers that the settings name
are asked for one; everybody else could write into it what he likes.

A parser says how many octets it wants at the most (`wants`), and takes no more: what follows the header stays in the
socket, for TLS or the session to read.

Where the specification ("The PROXY protocol, versions 1 & 2", haproxy.org) leaves a choice, nobody is let in by it:

* LOCAL (version 2) is the balancer itself, looking whether we live: the address of the connection is the real one.
* A client that the balancer cannot name (UNKNOWN, UNSPEC, UDP, a Unix socket) has no address, and so is in nobody's
  networks. It may connect, which is all that a health check of version 1 wants.
* Anything that is not exactly a header is an error. A header is never cut short: until it is whole, `header` is None.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address
from typing import TypeAlias

import msgspec

_V1_BEGINS = b"PROXY "
#: The shortest line: "PROXY UNKNOWN" CR LF.
_V1_LEAST = 15
#: The longest one, CR LF included (§2.1).
_V1_MOST = 107
_V1_LINE = re.compile(
    rb"PROXY (?:UNKNOWN(?: .*)?|TCP(?P<family>[46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) ([0-9]{1,5}) ([0-9]{1,5}))\r\n"
)

_V2_BEGINS = b"\r\n\r\n\0\r\nQUIT\n"
#: Octets before the address block, the last two of which say how long it is (§2.2).
_V2_FIXED = 16
#: Octets after that. The field has room for 65,535; what balancers add (a client's certificate is the largest) is less
#: than a quarter of it, and it is read only to be skipped.
_V2_MOST = 16_384
_LOCAL, _PROXY = 0x20, 0x21
#: Their names, and the octets that have to be there: two addresses, and two ports where there are any.
_FAMILIES = {0x00: ("UNSPEC", 0), 0x10: ("IPv4", 12), 0x20: ("IPv6", 36), 0x30: ("Unix", 216)}
_STREAM, _DATAGRAM = 1, 2
#: What comes after these octets is only counted.
_LOOKED_AT = 128

#: Address and port of a client.
Source: TypeAlias = tuple[IPv4Address | IPv6Address, int]


class ProxyError(ValueError):
    """What came is no header; says what is wrong with it."""


class Header(msgspec.Struct, frozen=True, gc=False):
    """What a balancer says about a connection."""

    #: None: nobody is named.
    source: Source | None = None
    #: The balancer speaks for itself.
    local: bool = False


class Parser:
    """One header, octet by octet. Give it what was read, at most `wants` octets, until `header` is there."""

    __slots__ = ("_read", "_taken", "header", "wants")

    def __init__(self) -> None:
        self.header: Header | None = None
        #: How many octets may be read now without reading beyond the header; 0 when it is whole.
        self.wants = _V1_LEAST
        self._taken = 0
        #: The beginning of it, with all that somebody looks at.
        self._read = bytearray()

    def __repr__(self) -> str:
        return f"<Parser {self._taken} octets, wants {self.wants}, {self.header}>"

    def feed(self, data: bytes) -> None:
        """Take what was read. Raises ProxyError as soon as it cannot become a header any more."""
        if len(data) > self.wants:
            raise ValueError(f"{len(data)} octets were read where {self.wants} were wanted")
        self._taken += len(data)
        read = self._read
        read += data[: _LOOKED_AT - len(read)]
        if _V2_BEGINS.startswith(read[:12]):
            self._feed_v2()
        elif _V1_BEGINS.startswith(read[:6]):
            self._feed_v1()
        else:
            raise ProxyError("no PROXY header")

    def _feed_v1(self) -> None:
        read = self._read
        if read.endswith(b"\r\n"):
            self.wants = 0
            self.header = _line(bytes(read))
        elif b"\n" in read or b"\r" in read[:-1]:
            raise ProxyError("a line end where none may be")
        elif len(read) >= _V1_MOST:
            raise ProxyError(f"no line end in the first {_V1_MOST} octets")
        elif len(read) < _V1_LEAST:
            self.wants = _V1_LEAST - len(read)
        else:
            self.wants = 1 if read.endswith(b"\r") or len(read) == _V1_MOST - 1 else 2

    def _feed_v2(self) -> None:
        read = self._read
        if len(read) < _V2_FIXED:
            self.wants = _V2_FIXED - len(read)
            return
        command, family, length = read[12], read[13], int.from_bytes(read[14:16])
        _check_v2(command, family, length)
        self.wants = _V2_FIXED + length - self._taken
        if not self.wants:
            self.header = _address(command, family, bytes(read[_V2_FIXED:]))


def _line(line: bytes) -> Header:
    found = _V1_LINE.fullmatch(line)
    if found is None:
        raise ProxyError("a line that is not PROXY, a protocol, two addresses and two ports")
    family = found["family"]
    if family is None:
        return Header()
    kind = IPv4Address if family == b"4" else IPv6Address
    try:
        source, _ = (kind(found[part].decode("ascii")) for part in (2, 3))
    except ValueError as error:
        raise ProxyError(f"no address of IPv{family.decode()}") from error
    port, other = (_port(found[part]) for part in (4, 5))
    if max(port, other) > 65_535:
        raise ProxyError("a port above 65535")
    return Header((source, port))


def _port(digits: bytes) -> int:
    if digits.startswith(b"0") and digits != b"0":
        raise ProxyError("a port that begins with 0")
    return int(digits)


def _check_v2(command: int, family: int, length: int) -> None:
    if command not in (_LOCAL, _PROXY):
        raise ProxyError(f"version and command are 0x{command:02X}")
    if length > _V2_MOST:
        raise ProxyError(f"{length} octets follow: more than {_V2_MOST}")
    if command == _LOCAL:
        return
    if family & 0xF0 not in _FAMILIES or family & 0x0F not in (0, _STREAM, _DATAGRAM):
        raise ProxyError(f"family and protocol are 0x{family:02X}")
    name, least = _FAMILIES[family & 0xF0]
    if length < least:
        raise ProxyError(f"{length} octets follow: too few for {name} addresses")


def _address(command: int, family: int, block: bytes) -> Header:
    if command == _LOCAL:
        return Header(local=True)
    if family == 0x10 | _STREAM:
        return Header((IPv4Address(block[:4]), int.from_bytes(block[8:10])))
    if family == 0x20 | _STREAM:
        return Header((IPv6Address(block[:16]), int.from_bytes(block[32:34])))
    return Header()
