"""The file is read back by a reader that shares nothing with its writer."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smppbridge.cli.pcap import HEADER, packets
from smppbridge.smpp.tap import Seen


class Packet(NamedTuple):
    at: float
    source: str
    destination: str
    sequence: int
    acknowledged: int
    flags: int
    data: bytes


def words(octets: bytes) -> int:
    """The sum of 16-bit words with end-around carry, word by word, as RFC 1071 writes it down."""
    total = 0
    for at in range(0, len(octets), 2):
        total += int.from_bytes(octets[at : at + 2].ljust(2, b"\0"), "big")
        total = (total & 0xFFFF) + (total >> 16)
    return total


def read(data: bytes) -> Iterator[Packet]:
    """pcap(5), RFC 791, RFC 8200 and RFC 9293; holds lengths and checksums."""
    order = "<" if data[:4] == b"\xd4\xc3\xb2\xa1" else ">"
    magic, major, minor, zone, figures, longest, link = struct.unpack_from(f"{order}IHHiIII", data)
    assert (magic, major, minor, zone, figures, link) == (0xA1B2C3D4, 2, 4, 0, 0, 101)
    at = 24
    while at < len(data):
        seconds, micros, kept, length = struct.unpack_from(f"{order}IIII", data, at)
        assert micros < 1_000_000
        assert kept == length <= longest
        packet = data[at + 16 : at + 16 + length]
        assert len(packet) == length
        at += 16 + length
        if packet[0] >> 4 == 4:
            assert packet[0] & 15 == 5
            assert int.from_bytes(packet[2:4], "big") == length
            assert packet[9] == 6
            assert words(packet[:20]) == 0xFFFF
            hosts, tcp = (packet[12:16], packet[16:20]), packet[20:]
            pseudo = packet[12:20] + b"\0\6" + len(tcp).to_bytes(2, "big")
        else:
            assert packet[0] >> 4 == 6
            assert int.from_bytes(packet[4:6], "big") == length - 40
            assert packet[6] == 6
            hosts, tcp = (packet[8:24], packet[24:40]), packet[40:]
            pseudo = packet[8:40] + len(tcp).to_bytes(4, "big") + b"\0\0\0\6"
        assert words(pseudo + tcp) == 0xFFFF
        ports = struct.unpack_from(">HH", tcp)
        sequence, acknowledged, start, flags = struct.unpack_from(">IIBB", tcp, 4)
        ends = [f"{ipaddress.ip_address(host)} {port}" for host, port in zip(hosts, ports, strict=True)]
        yield Packet(seconds + micros / 1e6, *ends, sequence, acknowledged, flags, tcp[(start >> 4) * 4 :])


def seen(**fields: Any) -> Seen:
    known: dict[str, Any] = {
        "at": 1_769_860_800_123_456,
        "link": 1,
        "account": "demo",
        "peer": "192.0.2.7:50123",
        "local": "192.0.2.1:2775",
        "received": True,
        "offset": 0,
        "beside": 0,
        "octets": b"\0\0\0\x10" + bytes(12),
    }
    return Seen(**{**known, **fields})


def back(*pdus: Seen) -> list[Packet]:
    return list(read(HEADER + b"".join(packet for pdu in pdus for packet in packets(pdu))))


def test_a_file_without_packets_is_whole() -> None:
    assert list(read(HEADER)) == []


def test_what_is_written_is_read_back() -> None:
    asked, answered = b"\0\0\0\x11" + bytes(13), b"\0\0\0\x10" + bytes(12)
    found = back(seen(octets=asked), seen(received=False, beside=17, octets=answered), seen(offset=17, beside=16))
    assert found[0] == Packet(1_769_860_800.123456, "192.0.2.7 50123", "192.0.2.1 2775", 1, 1, 0x18, asked)
    assert found[1][1:] == ("192.0.2.1 2775", "192.0.2.7 50123", 1, 18, 0x18, answered)
    assert found[2].sequence == 18
    assert found[2].acknowledged == 17


@pytest.mark.parametrize(
    ("peer", "local", "source", "destination"),
    [
        ("[2001:db8::7]:50123", "[2001:db8::1]:2775", "2001:db8::7 50123", "2001:db8::1 2775"),
        ("[2001:db8::7]:50123", "192.0.2.1:2775", "2001:db8::7 50123", "::ffff:192.0.2.1 2775"),
        ("[fe80::1%eth0]:1", "[fe80::2]:2", "fe80::1 1", "fe80::2 2"),
        ("", "192.0.2.1:2775", "0.0.0.0 0", "192.0.2.1 2775"),
        ("somewhere:1", "", "0.0.0.0 0", "0.0.0.0 0"),
    ],
)
def test_addresses(peer: str, local: str, source: str, destination: str) -> None:
    [packet] = back(seen(peer=peer, local=local))
    at_hand = str(ipaddress.ip_address("::ffff:192.0.2.1"))
    assert (packet.source, packet.destination.replace(at_hand, "::ffff:192.0.2.1")) == (source, destination)


@given(
    octets=st.binary(min_size=1, max_size=300),
    offset=st.integers(0, 2**40),
    beside=st.integers(0, 2**40),
    host=st.ip_addresses(),
    port=st.integers(0, 65535),
    received=st.booleans(),
)
def test_numbers_and_checksums_hold(
    octets: bytes, offset: int, beside: int, host: Any, port: int, received: bool
) -> None:
    peer = f"[{host}]:{port}" if host.version == 6 else f"{host}:{port}"
    [packet] = back(seen(octets=octets, offset=offset, beside=beside, peer=peer, received=received))
    assert packet.data == octets
    assert (packet.sequence, packet.acknowledged) == ((1 + offset) % 2**32, (1 + beside) % 2**32)


@pytest.mark.parametrize("peer", ["192.0.2.7:1", "[2001:db8::7]:1"])
@pytest.mark.parametrize("size", [65_495, 65_496, 200_000])
def test_a_pdu_longer_than_a_packet_is_cut(peer: str, size: int) -> None:
    octets = bytes(range(256)) * (size // 256) + bytes(size % 256)
    found = back(seen(octets=octets, offset=100, peer=peer))
    assert b"".join(packet.data for packet in found) == octets
    place = 101
    for packet in found:
        assert packet.sequence == place
        place += len(packet.data)
