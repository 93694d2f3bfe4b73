"""What the HTTP listener reads, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
import uvloop
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from smppbridge.smpp.listening import ListenFailed
from smppbridge.web.listener import Listener

Run = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    runner = asyncio.run if request.param == "asyncio" else uvloop.run
    return lambda work: runner(work())


async def _length(request: Request) -> Response:
    return Response(str(len(await request.body())))


async def _again_and_again(writer: asyncio.StreamWriter, octets: bytes) -> None:
    for _ in range(100_000):
        writer.write(octets)
        await writer.drain()


async def talk(with_it: Talk) -> None:
    listener = await Listener.start(Router([Route("/", _length, methods=["POST"])]), "127.0.0.1:0")
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(listener.address.rpartition(":")[2]))
        await with_it(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    finally:
        await listener.stop()


def test_an_address_that_is_taken_is_named_with_what_to_do(run: Run) -> None:
    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            with pytest.raises(ListenFailed, match=f"cannot listen on {address}: Address already in use; stop the pro"):
                await Listener.start(Router([]), address)

    run(test)


def test_bodies_of_any_size_follow_each_other_on_a_connection(run: Run) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for size in (0, 10, 1_000_000, 0, 100_000):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + b"." * size)
            head = await reader.readuntil(b"\r\n\r\n")
            assert b" 200 " in head
            assert await reader.readexactly(len(str(size))) == str(size).encode()
        chunk = b"10000\r\n" + b"." * 65536 + b"\r\n"
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 4 + b"0\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(6) == b"262144"

    run(lambda: talk(conversation))


@pytest.mark.parametrize(
    ("begins", "goes_on"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\n", b"X-Header: " + b"x" * 1000 + b"\r\n"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nX-Header: ", b"x" * 1000),
        (b"GET /", b"x" * 1000),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-T: " + b"x" * 1000 + b"\r\n"),
    ],
    ids=["headers", "a header", "an address", "trailers"],
)
def test_a_head_without_end_is_cut_off(run: Run, begins: bytes, goes_on: bytes) -> None:
    async def conversation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(begins)
        with pytest.raises(ConnectionError):
            await _again_and_again(writer, goes_on)

    run(lambda: talk(conversation))


@pytest.mark.parametrize("fields", [1, 500])
def test_trailers_are_no_part_of_the_head(run: Run, fields: int) -> None:
    """Of the head of this request or the next; the number of octets is what limits them."""

    async def named(request: Request) -> Response:
        await request.body()
        return Response(str(len(request.headers)))

    async def work() -> None:
        listener = await Listener.start(Router([Route("/", named, methods=["POST"])]), "127.0.0.1:0")
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(listener.address.rpartition(":")[2]))
            chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
            writer.write(chunked + b"X-Trailer: x\r\n" * fields + b"\r\n")
            writer.write(b"POST / HTTP/1.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            told = await reader.read()
            assert [one[:1] for one in told.split(b"\r\n\r\n")[1:]] == [b"1", b"2"]
            writer.close()
            await writer.wait_closed()
        finally:
            await listener.stop()

    run(work)


def test_no_part_of_an_answer_waits_for_another(run: Run) -> None:
    """TCP_NODELAY, which asyncio sets only on sockets that were made with the number of TCP."""

    async def tell(request: Request) -> Response:
        transport = request._receive.__self__.transport  # type: ignore[attr-defined]
        accepted = transport.get_extra_info("socket")
        return Response(str(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))

    async def work() -> None:
        listener = await Listener.start(Router([Route("/", tell)]), "127.0.0.1:0")
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", int(listener.address.rpartition(":")[2]))
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(1) == b"1"
            writer.close()
            await writer.wait_closed()
        finally:
            await listener.stop()

    run(work)
