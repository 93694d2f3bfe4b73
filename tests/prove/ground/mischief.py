"""What a provider can do to a request, up to the last octet: behaviours for `Provider.behave`.

None of them can be described by a well-behaved HTTP server, so they write to the socket.
"""

from __future__ import annotations

import asyncio
import functools
import gzip
import itertools
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from .provider import Asked, Behaviour, Provider

#: What stands in an answer instead of what an honest provider says; gets its body.
Octets: TypeAlias = "Callable[[bytes], bytes]"

#: Octets of what is far too long, and of a piece of it.
_HUGE, _PIECE = 1 << 26, 65536
_LAYERS = 400


@dataclass
class Spell:
    """A behaviour that lasts for so many requests, and then the provider is as it should be."""

    behave: Behaviour
    left: int
    #: Requests that met with it.
    hit: int = 0

    async def __call__(self, provider: Provider, asked: Asked) -> None:
        if self.left and asked.sends:
            self.left -= 1
            self.hit += 1
            await self.behave(provider, asked)
        else:
            await provider.take(asked)


def head(body: bytes, *headers: str, status: str = "200 OK", type: str = "application/json") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {type}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


# Behaviours ----------------------------------------------------------------------------------------------------------


def reset_before() -> Behaviour:
    async def behave(provider: Provider, asked: Asked) -> None:
        asked.reset()

    return behave


def reset_after() -> Behaviour:
    async def behave(provider: Provider, asked: Asked) -> None:
        provider.process(asked)
        asked.reset()

    return behave


def reset_within() -> Behaviour:
    """In the middle of the answer."""

    async def behave(provider: Provider, asked: Asked) -> None:
        answer = head(provider.process(asked))
        await _write(asked, answer[: len(answer) // 2])
        await asyncio.sleep(0.01)
        asked.reset()

    return behave


def closed() -> Behaviour:
    """Without a word, after processing."""

    async def behave(provider: Provider, asked: Asked) -> None:
        provider.process(asked)
        asked.writer.close()

    return behave


def closed_behind() -> Behaviour:
    """Each answer is the last one of its connection, and does not say so."""

    async def behave(provider: Provider, asked: Asked) -> None:
        await _write(asked, head(provider.process(asked)))
        asked.writer.close()

    return behave


def slow(seconds: float, *, processes: bool = True) -> Behaviour:
    async def behave(provider: Provider, asked: Asked) -> None:
        body = provider.process(asked) if processes else b""
        await asyncio.sleep(seconds)
        await asked.answer(body or b"{}")

    return behave


def status(line: str, *headers: str, processes: bool = False, body: bytes = b"") -> Behaviour:
    """Nothing but a status."""

    async def behave(provider: Provider, asked: Asked) -> None:
        if processes:
            provider.process(asked)
        await _write(asked, head(body, *headers, status=line, type="text/html"))

    return behave


def refuses() -> Behaviour:
    async def behave(provider: Provider, asked: Asked) -> None:
        await _write(asked, refusal())

    return behave


def answers(make: Octets) -> Behaviour:
    """The request is processed, and these octets are the answer."""

    async def behave(provider: Provider, asked: Asked) -> None:
        await _write(asked, make(provider.process(asked)))

    return behave


def endless(begin: bytes, piece: bytes, *, every: float = 0.0, pieces: int = 1 << 40) -> Behaviour:
    """Processed, and the answer never comes to its end: as fast as it is read, or a piece each `every` seconds."""

    async def behave(provider: Provider, asked: Asked) -> None:
        provider.process(asked)
        await _write(asked, begin)
        for _ in itertools.repeat(None, pieces):
            await _write(asked, piece)
            await asyncio.sleep(every)

    return behave


async def _write(asked: Asked, octets: bytes) -> None:
    asked.writer.write(octets)
    await asked.writer.drain()


# Octets --------------------------------------------------------------------------------------------------------------


def packed(body: bytes) -> bytes:
    return head(gzip.compress(body), "Content-Encoding: gzip")


def gzip_bomb(body: bytes) -> bytes:
    return head(_bomb(31), "Content-Encoding: gzip")


def deflate_bomb(body: bytes) -> bytes:
    return head(_bomb(-15), "Content-Encoding: deflate")


def many_layers(body: bytes) -> bytes:
    """Each of them means most of a megabyte to unpack again."""
    return head(_layers(), f"Content-Encoding: {','.join(['gzip'] * _LAYERS)}")


@functools.cache
def _bomb(form: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, form)
    return b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(_HUGE >> 20)), packer.flush()])


@functools.cache
def _layers() -> bytes:
    inner = bytes(900_000)
    for _ in range(_LAYERS):
        packer = zlib.compressobj(0, zlib.DEFLATED, 31)
        inner = packer.compress(inner) + packer.flush()
    return inner


def chunk(octets: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(octets), octets)


PIECE = bytes(_PIECE)
CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def refusal() -> bytes:
    """What would be taken for the answer to another message, if anything were."""
    return head(json.dumps({"error": "refused"}).encode())
