"""PDUs → a packet capture (pcap) that Wireshark and tshark open. Pure: octets out, nothing else.

What a link carries was seen within the gateway, without TLS and without packets, so the IP and TCP headers are made up:
with the real addresses and ports, sequence numbers that run on, right checksums, and one PDU to a packet where it fits.
A PDU that was lost on the way to us leaves a gap in the numbers, which Wireshark shows. Windows, options, handshakes
and who acknowledged when are nobody's; do not look for network trouble here.

The file is of the classic kind (pcap(5)): a header of 24 octets, and 16 before each packet, all in the order of this
machine. Link type 101 is "raw IP", 4 and 6.
"""

from __future__ import annotations

import sys
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct
from typing import TypeAlias

from ..config import address
from ..smpp.tap import Seen

#: Microseconds; the order of the octets is told by how this number reads.
_MAGIC = 0xA1B2C3D4
_LINKTYPE_RAW = 101
#: More than a packet of ours can have.
_SNAPLEN = 262_144
#: Of a TCP segment: IPv4's total length has 16 bits, of which both headers take 40 octets.
_SEGMENT = 65_535 - 40

_order = "<" if sys.byteorder == "little" else ">"
_file_header = Struct(f"{_order}IHHiIII").pack
_record_header = Struct(f"{_order}IIII").pack
_ipv4 = Struct(">BBHHHBBH4s4s").pack
_ipv6 = Struct(">IHBB16s16s").pack
_tcp = Struct(">HHIIBBHHH").pack
_TCP = 6
_HOPS = 64
_DONT_FRAGMENT = 0x4000
_PSH_ACK = 0x18
_WINDOW = 65535

Host: TypeAlias = IPv4Address | IPv6Address

#: What every file begins with.
HEADER = _file_header(_MAGIC, 2, 4, 0, 0, _SNAPLEN, _LINKTYPE_RAW)


def packets(seen: Seen) -> list[bytes]:
    """The packets that a PDU makes, each with its header in the file."""
    source, destination = _ends(seen.peer), _ends(seen.local)
    if not seen.received:
        source, destination = destination, source
    found = []
    for at in range(0, len(seen.octets), _SEGMENT):
        segment = seen.octets[at : at + _SEGMENT]
        packet = _packet(source, destination, seen.offset + at, seen.beside, segment)
        found.append(_record_header(*divmod(seen.at, 1_000_000), len(packet), len(packet)) + packet)
    return found


def _ends(written: str) -> tuple[Host, int]:
    """Host and port; what is neither is 0.0.0.0 and 0, for a packet with a wrong address is better than none."""
    try:
        host, port = address(written)
        return ip_address(host.partition("%")[0]), port
    except ValueError:
        return IPv4Address(0), 0


def _packet(source: tuple[Host, int], destination: tuple[Host, int], sent: int, beside: int, data: bytes) -> bytes:
    """One IP packet. Before the first octet of a side stood its SYN, so they count from 1 (RFC 9293 §3.4)."""
    (from_host, from_port), (to_host, to_port) = source, destination
    if from_host.version != to_host.version:
        # A balancer may speak IPv4 to us and name a client that has IPv6.
        from_host, to_host = _in_ipv6(from_host), _in_ipv6(to_host)
    length = 20 + len(data)
    octets = from_host.packed + to_host.packed
    # The pseudo header (RFC 9293 §3.1; RFC 8200 §8.1) adds up to the same in both, whatever fields it has.
    ports_and_numbers = (from_port, to_port, (1 + sent) & 0xFFFFFFFF, (1 + beside) & 0xFFFFFFFF, 5 << 4, _PSH_ACK)
    tcp = _tcp(*ports_and_numbers, _WINDOW, 0, 0) + data
    checksum = _checksum(octets + length.to_bytes(4) + _TCP.to_bytes(4) + tcp)
    tcp = _tcp(*ports_and_numbers, _WINDOW, checksum, 0) + data
    if isinstance(from_host, IPv6Address):
        return _ipv6(6 << 28, length, _TCP, _HOPS, from_host.packed, to_host.packed) + tcp
    fields = (4 << 4 | 5, 0, 20 + length, 0, _DONT_FRAGMENT, _HOPS, _TCP)
    header = _ipv4(*fields, 0, from_host.packed, to_host.packed)
    return _ipv4(*fields, _checksum(header), from_host.packed, to_host.packed) + tcp


def _in_ipv6(host: Host) -> IPv6Address:
    """IPv4 mapped into IPv6 (RFC 4291 §2.5.5.2)."""
    return host if isinstance(host, IPv6Address) else IPv6Address(0xFFFF << 32 | int(host))


def _checksum(octets: bytes) -> int:
    """The Internet checksum (RFC 1071). Adding words of 16 bits with their carries is counting modulo 65535."""
    if len(octets) % 2:
        octets += b"\0"
    total = int.from_bytes(octets) % 0xFFFF
    # A sum is never zero here, for lengths are in it; so what is left over as zero was 65535.
    return 0xFFFF - (total or 0xFFFF)
