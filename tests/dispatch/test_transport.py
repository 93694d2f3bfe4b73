"""Over real sockets where a real socket makes the difference."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from smppbridge.config import ProviderConfig
from smppbridge.dispatch.transport import MAX_ANSWER, Line, NotSent, Pools, RequestFailed, Unclear, connect

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def config(**keys: Any) -> ProviderConfig:
    return ProviderConfig.model_validate({"adapter": "x", "timeout": 5, "connect_timeout": 1} | keys)


@asynccontextmanager
async def server(serve: Serve, **keys: Any) -> AsyncIterator[tuple[Line, str]]:
    """A server on a port that the system chooses, and a line to it."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    table = config(**keys)
    line = Line(connect(table), table)
    async with await asyncio.start_server(handle, "127.0.0.1", 0) as listening:
        host, port = listening.sockets[0].getsockname()
        try:
            yield line, f"http://{host}:{port}/"
        finally:
            await line.close()
            # Handlers end when their connections do.
            await asyncio.sleep(0)


async def whole_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((int(h.split(b":")[1]) for h in head.lower().split(b"\r\n") if h.startswith(b"content-length")), 0)
    return head + await reader.readexactly(length)


def answering(answer: bytes, seen: list[bytes] | None = None) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await whole_request(reader)
            if seen is not None:
                seen.append(request)
            writer.write(answer)
            await writer.drain()

    return serve


def run(work: Callable[[], Any]) -> None:
    asyncio.run(work())


def test_an_answer_comes_with_its_body_whatever_its_status() -> None:
    async def work() -> None:
        seen: list[bytes] = []
        async with server(answering(b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\noops", seen)) as (line, url):
            answer = await line.send(httpx.Request("POST", url, content=b"body"))
            assert (answer.status_code, answer.text) == (500, "oops")
            assert seen[0].endswith(b"body")
            assert b"\r\nuser-agent: smppbridge/" in seen[0].lower()

    run(work)


def test_a_redirect_is_an_answer_like_any_other() -> None:
    async def work() -> None:
        redirect = b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.test/\r\nContent-Length: 0\r\n\r\n"
        async with server(answering(redirect)) as (line, url):
            assert (await line.send(httpx.Request("GET", url))).status_code == 302

    run(work)


def test_a_compressed_answer_is_read_and_says_nothing_of_it_any_more() -> None:
    async def work() -> None:
        body = gzip.compress("Привет".encode() * 100)
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        )
        async with server(answering(head.encode() + b"\r\n" + body)) as (line, url):
            answer = await line.send(httpx.Request("GET", url))
            assert answer.text == "Привет" * 100
            assert answer.headers["content-type"] == "text/plain"
            assert "content-encoding" not in answer.headers

    run(work)


async def _cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await whole_request(reader)


async def _plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Plain HTTP only\r\n\r\n")
    await writer.drain()


async def _half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await whole_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await whole_request(reader)
    await reader.read()


async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await whole_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(100_000):
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.005)


_LONG = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (MAX_ANSWER + 1) + b"." * (MAX_ANSWER + 1)
_BOMB = gzip.compress(b"." * (MAX_ANSWER + 1))


@pytest.mark.parametrize(
    ("serve", "keys", "said"),
    [
        (_cut, {}, "RemoteProtocolError"),
        (_half, {}, "RemoteProtocolError"),
        (answering(b"what is this\r\n\r\n"), {}, "RemoteProtocolError"),
        (_silent, {"timeout": "20ms"}, "ReadTimeout"),
        # Every octet comes in time, and the answer never ends.
        (_drip, {"timeout": "20ms", "connect_timeout": "10ms"}, "no whole answer within 0.04 s"),
        (answering(_LONG), {}, "more than 1048576 octets"),
        (
            answering(
                b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(_BOMB) + _BOMB,
            ),
            {},
            "more than 1048576 octets",
        ),
        (
            answering(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"),
            {},
            "DecodingError",
        ),
    ],
)
def test_what_fails_after_the_request_was_written_is_unclear(serve: Serve, keys: dict[str, Any], said: str) -> None:
    async def work() -> None:
        async with server(serve, **keys) as (line, url):
            with pytest.raises(Unclear, match=said):
                await line.send(httpx.Request("POST", url, content=b"body"))

    run(work)


def test_nobody_there_is_not_sent() -> None:
    async def work() -> None:
        async with server(_cut) as (line, url):
            pass
        table = config()
        line = Line(connect(table), table)
        with pytest.raises(NotSent, match="ConnectError"):
            await line.send(httpx.Request("POST", url, content=b"body"))
        await line.close()

    run(work)


def test_a_handshake_that_fails_is_not_sent() -> None:
    async def work() -> None:
        async with server(_plain) as (line, url):
            with pytest.raises(NotSent, match="ConnectError"):
                await line.send(httpx.Request("POST", url.replace("http:", "https:"), content=b"body"))

    run(work)


def test_a_proxy_that_does_not_connect_is_not_sent() -> None:
    async def work() -> None:
        async with server(answering(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")) as (_, url):
            table = config(proxy=url)
            line = Line(connect(table), table)
            with pytest.raises(NotSent, match="ProxyError"):
                await line.send(httpx.Request("POST", "https://provider.test/", content=b"body"))
            await line.close()

    run(work)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ConnectError("x"), NotSent),
        (httpx.ConnectTimeout("x"), NotSent),
        (httpx.PoolTimeout("x"), NotSent),
        (httpx.ProxyError("x"), NotSent),
        (httpx.UnsupportedProtocol("x"), NotSent),
        (httpx.InvalidURL("x"), NotSent),
        (httpx.ReadError("x"), Unclear),
        (httpx.ReadTimeout("x"), Unclear),
        (httpx.WriteError("x"), Unclear),
        (httpx.WriteTimeout("x"), Unclear),
        (httpx.CloseError("x"), Unclear),
        (httpx.LocalProtocolError("x"), Unclear),
        (httpx.RemoteProtocolError("x"), Unclear),
        (httpx.DecodingError("x"), Unclear),
        (TimeoutError(), Unclear),
        (OSError("x"), Unclear),
        (RuntimeError("x"), Unclear),
    ],
)
def test_what_is_not_known_to_be_unsent_is_unclear(error: Exception, kind: type[RequestFailed]) -> None:
    async def work() -> None:
        def handle(request: httpx.Request) -> httpx.Response:
            raise error

        line = Line(httpx.MockTransport(handle), config())
        with pytest.raises(RequestFailed) as raised:
            await line.send(httpx.Request("GET", "http://provider.test/"))
        assert type(raised.value) is kind

    run(work)


def test_an_adapter_may_set_its_own_time_outs() -> None:
    async def work() -> None:
        seen: list[dict[str, Any]] = []

        def handle(request: httpx.Request) -> httpx.Response:
            seen.append(request.extensions["timeout"])
            return httpx.Response(200)

        line = Line(httpx.MockTransport(handle), config())
        await line.send(httpx.Request("GET", "http://provider.test/"))
        await line.send(httpx.Request("GET", "http://provider.test/", extensions={"timeout": {"read": 1}}))
        assert seen == [{"connect": 1.0, "read": 5.0, "write": 5.0, "pool": 1.0}, {"read": 1}]

    run(work)


def test_more_requests_at_once_than_one_pool_takes() -> None:
    """Every one of `max_in_flight` requests is under way at the same time, and connections are used again."""

    async def work() -> None:
        at_once = most = connections = 0
        everybody = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal at_once, most, connections
            connections += 1
            while True:
                await whole_request(reader)
                at_once += 1
                most = max(most, at_once)
                if at_once == 20:
                    everybody.set()
                await everybody.wait()
                at_once -= 1
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()

        async with server(serve, max_in_flight=20) as (line, url):
            for _ in range(3):
                await asyncio.gather(*(line.send(httpx.Request("POST", url, content=b"x")) for _ in range(20)))
            assert most == 20
            assert connections <= 24

    run(work)


def test_a_pool_is_free_again_however_a_request_ends() -> None:
    async def work() -> None:
        async with server(_silent, timeout="20ms", max_in_flight=1) as (line, url):
            for _ in range(10):
                with pytest.raises(Unclear, match="ReadTimeout"):
                    await line.send(httpx.Request("POST", url, content=b"x"))
            pools = line._transport
            assert isinstance(pools, Pools)
            assert pools._busy == [0]

    run(work)
