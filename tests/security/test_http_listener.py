"""Who reaches the HTTP listener can take from it no more than the settings say, whatever he sends or leaves unsent."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from types import ModuleType
from typing import Any

import pytest
import uvloop
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from structlog.testing import capture_logs

from smppbridge.web.listener import Limits, Listener

#: Until something has to have happened, however slow the machine is.
PATIENCE = 20
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = b"." * 32_000_000

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Open = Callable[..., Awaitable[Streams]]


async def answer(request: Request) -> Response:
    """Reads the whole body, as the callbacks do."""
    async for _ in request.stream():
        pass
    return Response(b"taken")


async def large(request: Request) -> Response:
    return Response(LARGE)


@contextlib.asynccontextmanager
async def listening(on: str = "127.0.0.1", **limits: Any) -> AsyncIterator[tuple[Listener, Open]]:
    routes = [Route("/", answer, methods=["GET", "POST"]), Route("/large", large)]
    listener = await Listener.start(Router(routes), f"{on}:0", Limits(**limits))
    writers = []

    async def connect(source: str = "") -> Streams:
        host = on.strip("[]")
        port = int(listener.address.rpartition(":")[2])
        reader, writer = await asyncio.open_connection(host, port, local_addr=(source or host, 0))
        writers.append(writer)
        return reader, writer

    try:
        yield listener, connect
    finally:
        for writer in writers:
            writer.transport.abort()
        await listener.stop()


async def cut(reader: asyncio.StreamReader) -> bytes:
    """What came until the connection was cut off."""
    found = b""
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                found += data
    return found


async def trickle(writer: asyncio.StreamWriter, octets: bytes) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(octets)
            await writer.drain()
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("begins", "goes_on"),
    [
        (b"", b""),
        (b"", b"\r\n"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n", b"A: b\r\n"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", b"."),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n.\r\n"),
    ],
    ids=["silent", "empty lines", "slow head", "slow body", "endless chunks"],
)
def test_who_never_comes_to_an_end_is_cut_off(begins: bytes, goes_on: bytes) -> None:
    async def work() -> None:
        async with listening(request=0.5) as (listener, connect):
            reader, writer = await connect()
            writer.write(begins)
            sending = asyncio.create_task(trickle(writer, goes_on))
            assert await cut(reader) == b""
            sending.cancel()
            assert listener.door.refused == {"request_timeout": 1}
            assert not listener.door.connections

    uvloop.run(work())


def test_who_does_not_read_the_answer_is_cut_off() -> None:
    async def work() -> None:
        async with listening(request=0.5) as (listener, connect):
            _, writer = await connect()
            writer.transport.pause_reading()
            writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            async with asyncio.timeout(PATIENCE):
                while not listener.door.refused:  # noqa: ASYNC110 (it tells nobody)
                    await asyncio.sleep(0.05)
            assert not listener.door.connections

    uvloop.run(work())


def test_a_connection_without_a_request_is_closed() -> None:
    async def work() -> None:
        async with listening(idle=0.1) as (listener, connect):
            reader, writer = await connect()
            writer.write(GET)
            assert (await cut(reader)).endswith(b"taken")
            assert not listener.door.refused

    uvloop.run(work())


def test_one_connection_more_than_allowed_is_closed_and_room_is_room_again() -> None:
    async def work() -> None:
        async with listening(connections=3) as (listener, connect):
            taken = [await connect() for _ in range(3)]
            for reader, writer in taken:
                writer.write(GET)
                await reader.readuntil(b"taken")
            beyond, _ = await connect()
            assert await cut(beyond) == b""
            assert listener.door.refused == {"max_connections": 1}
            taken[0][1].close()
            async with asyncio.timeout(PATIENCE):
                while len(listener.door.connections) == 3:  # noqa: ASYNC110 (it tells nobody)
                    await asyncio.sleep(0.01)
            reader, writer = await connect()
            writer.write(GET)
            await reader.readuntil(b"taken")

    uvloop.run(work())


def test_one_address_takes_nothing_from_the_others() -> None:
    async def work() -> None:
        async with listening(per_address=2) as (listener, connect):
            for _ in range(2):
                reader, writer = await connect("127.0.0.2")
                writer.write(GET)
                await reader.readuntil(b"taken")
            beyond, _ = await connect("127.0.0.2")
            assert await cut(beyond) == b""
            assert listener.door.refused == {"max_connections_per_address": 1}
            # A proxy on this machine speaks for many.
            for source in ("127.0.0.3", "127.0.0.1", "127.0.0.1", "127.0.0.1"):
                reader, writer = await connect(source)
                writer.write(GET)
                await reader.readuntil(b"taken")

    uvloop.run(work())


@pytest.mark.parametrize("on", ["127.0.0.1", "[::1]"])
def test_a_proxy_on_this_machine_speaks_for_many(on: str) -> None:
    async def work() -> None:
        async with listening(on, per_address=2) as (listener, connect):
            for _ in range(4):
                reader, writer = await connect()
                writer.write(GET)
                async with asyncio.timeout(PATIENCE):
                    await reader.readuntil(b"taken")
            assert not listener.door.refused

    uvloop.run(work())


def test_who_asks_for_another_protocol_is_counted_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a library for WebSockets is installed, which uvicorn would give the connection to."""
    library = ModuleType("uvicorn.protocols.websockets.auto")
    library.AutoWebSocketsProtocol = asyncio.Protocol  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, library.__name__, library)

    async def work() -> None:
        async with listening() as (listener, connect):
            reader, writer = await connect()
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            async with asyncio.timeout(PATIENCE):
                await reader.readuntil(b"taken")
                writer.close()
                while listener.door.connections:  # noqa: ASYNC110 (it tells nobody)
                    await asyncio.sleep(0.01)

    uvloop.run(work())


def test_requests_without_waiting_for_answers_are_few_in_a_turn() -> None:
    async def work() -> None:
        async with listening() as (listener, connect):
            reader, writer = await connect()
            writer.write(GET * 1500)
            assert (await cut(reader)).count(b"taken") < 20
            assert listener.door.refused == {"pipelining": 1}

    uvloop.run(work())


@pytest.mark.parametrize("ends", [b"", b"\r\n"], ids=["begun", "whole"])
def test_a_head_of_very_many_fields_is_cut_off(ends: bytes) -> None:
    """Of four octets each: they take memory by their number, and before anybody is asked for a token."""

    async def work() -> None:
        async with listening() as (listener, connect):
            reader, writer = await connect()
            writer.write(b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 100 + b"\r\n")
            async with asyncio.timeout(PATIENCE):
                await reader.readuntil(b"taken")
            writer.write(b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 102 + ends)
            assert await cut(reader) == b""
            assert listener.door.refused == {"head": 1}
            assert not listener.door.connections

    uvloop.run(work())


def test_what_is_no_http_does_not_fill_the_log() -> None:
    async def work() -> int:
        with capture_logs() as lines:
            async with listening() as (listener, connect):
                for _ in range(300):
                    reader, writer = await connect()
                    writer.write(b"\x16\x03\x01 TLS, or anything\r\n\r\n")
                    await cut(reader)
                assert listener.door.refused == {"no_http": 300}
        assert {line["event"] for line in lines} == {"connection cut off"}
        assert sum(line["times"] for line in lines) <= 300
        return len(lines)

    assert uvloop.run(work()) < 150


@pytest.mark.parametrize("environment", ["", "*"])
def test_forwarded_for_is_believed_from_this_machine_alone(monkeypatch: pytest.MonkeyPatch, environment: str) -> None:
    """And the environment of the process changes nothing about that."""
    if environment:
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", environment)

    async def peer(request: Request) -> Response:
        assert request.client is not None
        return Response(request.client.host)

    async def ask(listener: Listener, source: str, forwarded: str) -> bytes:
        port = int(listener.address.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
        head = f"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: {forwarded}\r\n\r\n"
        writer.write(head.encode())
        told = (await cut(reader)).rpartition(b"\r\n\r\n")[2]
        writer.close()
        return told

    async def work() -> None:
        listener = await Listener.start(Router([Route("/", peer)]), "127.0.0.1:0")
        try:
            # What a client wrote into it stands before what the proxy has added.
            assert await ask(listener, "127.0.0.1", "127.0.0.1, 198.51.100.7") == b"198.51.100.7"
            assert await ask(listener, "127.0.0.2", "127.0.0.1") == b"127.0.0.2"
        finally:
            await listener.stop()

    uvloop.run(work())


@pytest.mark.parametrize("apart", [False, True])
def test_a_trailer_names_no_address(apart: bool) -> None:
    """A proxy passes trailers on: there the client would have the last word, behind the proxy's own."""

    async def peer(request: Request) -> Response:
        assert request.client is not None
        if apart:
            await request.body()
        return Response(f"{request.client.host} {request.headers.getlist('x-forwarded-for')}")

    async def work() -> None:
        listener = await Listener.start(Router([Route("/", peer, methods=["POST"])]), "127.0.0.1:0")
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(listener.address.rpartition(":")[2]))
            head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
            writer.write(head + b"X-Forwarded-For: 203.0.113.5\r\n\r\n")
            if apart:
                await writer.drain()
            writer.write(b"0\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n")
            assert (await cut(reader)).endswith(b"\r\n\r\n203.0.113.5 ['203.0.113.5']")
            writer.close()
        finally:
            await listener.stop()

    uvloop.run(work())
