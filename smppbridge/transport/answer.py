"""The body of an answer: how long it may be, and what it says once it is unpacked."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import httpx

from .failures import Unclear

#: Octets of a decoded answer. A longer one cannot be what an adapter expects.
MAX_ANSWER = 1_048_576
#: Codings of a body, one within the other. Each costs unpacking up to MAX_ANSWER octets while everybody waits, and a
#: head has room for thousands.
_MOST_CODINGS = 2

#: Headers as they were on the wire, in their order.
Headers = Sequence[tuple[bytes, bytes]]

#: Headers that speak of the body as it was on the wire, not as it is handed on.
_OF_THE_WIRE = (b"content-encoding", b"content-length", b"transfer-encoding")

#: zlib's name for "gzip or zlib, whichever it is", and for deflate without either's frame, which some servers send.
_FRAMED, _BARE = 47, -15


def response(status: int, headers: Headers, body: bytes, request: httpx.Request) -> httpx.Response:
    """The answer as an adapter gets it: unpacked, and with no header that says otherwise. Raises Unclear."""
    codings = b",".join(value for name, value in headers if name.lower() == b"content-encoding")
    if len(body) > MAX_ANSWER:
        raise too_long(status)
    packed = [coding for coding in codings.lower().replace(b" ", b"").split(b",") if coding]
    if len(packed) > _MOST_CODINGS:
        raise Unclear(f"HTTP {status} with an answer packed {len(packed)} times over")
    for coding in reversed(packed):
        body = _unpacked(status, coding, body)
    kept = [header for header in headers if header[0].lower() not in _OF_THE_WIRE]
    return httpx.Response(status, headers=kept, content=body, request=request)


def too_long(status: int) -> Unclear:
    return Unclear(f"HTTP {status} with an answer of more than {MAX_ANSWER} octets")


def _unpacked(status: int, coding: bytes, body: bytes) -> bytes:
    """Never more than MAX_ANSWER octets in memory, however small the body and however much it stands for."""
    if coding == b"identity" or not body:
        return body
    if coding not in (b"gzip", b"x-gzip", b"deflate"):
        raise Unclear(f"HTTP {status} with an answer packed in a way that was not asked for")
    try:
        bare = coding == b"deflate" and not _has_zlib_head(body)
        unpacking = zlib.decompressobj(_BARE if bare else _FRAMED)
        unpacked = unpacking.decompress(body, MAX_ANSWER + 1)
    except zlib.error as error:
        raise Unclear(f"HTTP {status} with an answer that cannot be unpacked") from error
    if len(unpacked) > MAX_ANSWER:
        raise too_long(status)
    if not unpacking.eof:
        raise Unclear(f"HTTP {status} with a packed answer that breaks off")
    return unpacked


def _has_zlib_head(body: bytes) -> bool:
    """RFC 1950 §2.2: method 8, and a checksum over the first two octets."""
    return len(body) > 1 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0
