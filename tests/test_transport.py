"""Over real sockets where a real socket makes the difference, on both event loops."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import shutil
import socket
import ssl
import subprocess
import threading
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import uvloop

from smppbridge.config import ProviderConfig, mask
from smppbridge.transport import MAX_ANSWER, Line, NotSent, RequestFailed, Unclear, connect, pool
from smppbridge.transport.failures import reason

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Run = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    runner = asyncio.run if request.param == "asyncio" else uvloop.run
    return lambda work: runner(work())


def config(**keys: Any) -> ProviderConfig:
    return ProviderConfig.model_validate({"adapter": "x", "timeout": 5, "connect_timeout": 1} | keys)


@asynccontextmanager
async def line_to(**keys: Any) -> AsyncIterator[Line]:
    table = config(**keys)
    line = Line(connect(table), table)
    try:
        yield line
    finally:
        await line.close()


@asynccontextmanager
async def listening(serve: Serve, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on a port that the system chooses; it ends when all its connections have."""
    handlers: set[asyncio.Task[Any]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(handle, host, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*handlers)


@asynccontextmanager
async def server(serve: Serve, **keys: Any) -> AsyncIterator[tuple[Line, str]]:
    """A server, and a line to it."""
    async with listening(serve) as port, line_to(**keys) as line:
        yield line, f"http://127.0.0.1:{port}/"


async def whole_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((int(h.split(b":")[1]) for h in head.lower().split(b"\r\n") if h.startswith(b"content-length")), 0)
    return head + await reader.readexactly(length)


def answering(*answers: bytes, seen: list[bytes] | None = None, close: bool = False) -> Serve:
    """Answers in turn, the last one again and again; `close`: after each."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = list(answers)
        while True:
            request = await whole_request(reader)
            if seen is not None:
                seen.append(request)
            writer.write(left.pop(0) if len(left) > 1 else left[0])
            await writer.drain()
            if close:
                return

    return serve


def post(url: str, **more: Any) -> httpx.Request:
    return httpx.Request("POST", url, **({"content": b"body"} | more))


# Answers -------------------------------------------------------------------------------------------------------------


def test_an_answer_may_have_many_fields(run: Run) -> None:
    async def work() -> None:
        fields = b"a: b\r\n" * 499
        async with server(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%b\r\nok" % fields)) as (line, url):
            for _ in range(2):
                assert len((await line.send(post(url))).headers.get_list("a")) == 499

    run(work)


def test_an_answer_comes_with_its_body_whatever_its_status(run: Run) -> None:
    async def work() -> None:
        seen: list[bytes] = []
        async with server(answering(b"HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\noops", seen=seen)) as (line, url):
            answer = await line.send(post(url + "path?query=1"))
            assert (answer.status_code, answer.text) == (500, "oops")
            assert answer.request.method == "POST"
            head, _, body = seen[0].partition(b"\r\n\r\n")
            assert body == b"body"
            assert head.startswith(b"POST /path?query=1 HTTP/1.1\r\n")
            assert head.lower().count(b"\r\nhost: 127.0.0.1:") == 1
            assert head.lower().count(b"\r\ncontent-length: 4") == 1
            assert b"\r\nuser-agent: smppbridge/" in head.lower()

    run(work)


def test_a_get_has_no_body_and_says_nothing_of_one(run: Run) -> None:
    async def work() -> None:
        seen: list[bytes] = []
        async with server(answering(OK, seen=seen)) as (line, url):
            await line.send(httpx.Request("GET", url, headers={"user-agent": "own"}))
            assert b"content-length" not in seen[0].lower()
            assert seen[0].lower().count(b"user-agent: own") == seen[0].lower().count(b"user-agent") == 1

    run(work)


def test_a_redirect_is_an_answer_like_any_other(run: Run) -> None:
    async def work() -> None:
        redirect = b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.test/\r\nContent-Length: 0\r\n\r\n"
        async with server(answering(redirect)) as (line, url):
            answer = await line.send(httpx.Request("GET", url))
            assert (answer.status_code, answer.headers["location"]) == (302, "http://elsewhere.test/")

    run(work)


def test_no_cookie_is_kept(run: Run) -> None:
    async def work() -> None:
        seen: list[bytes] = []
        cookie = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n"
        async with server(answering(cookie, seen=seen)) as (line, url):
            for _ in range(2):
                assert (await line.send(post(url))).headers["set-cookie"] == "a=b"
            assert b"cookie" not in seen[1].lower()

    run(work)


_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
_BARE = zlib.compressobj(wbits=-15)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress("Привет".encode() * 100)),
        ("X-GZIP", gzip.compress("Привет".encode() * 100)),
        ("deflate", zlib.compress("Привет".encode() * 100)),
        ("deflate", _BARE.compress("Привет".encode() * 100) + _BARE.flush()),
        ("deflate, gzip", gzip.compress(zlib.compress("Привет".encode() * 100))),
        ("identity", "Привет".encode() * 100),
    ],
)
def test_a_packed_answer_is_read_and_says_nothing_of_it_any_more(run: Run, coding: str, body: bytes) -> None:
    async def work() -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Type: text/plain\r\nContent-Length: "
        async with server(answering(head.encode() + b"%d\r\n\r\n" % len(body) + body)) as (line, url):
            answer = await line.send(httpx.Request("GET", url))
            assert answer.text == "Привет" * 100
            assert answer.headers["content-type"] == "text/plain"
            assert "content-encoding" not in answer.headers

    run(work)


@pytest.mark.parametrize(
    ("answer", "status", "body", "connections"),
    [
        (b"HTTP/1.1 200 OK\r\n" + _CHUNKED + b"2;x=y\r\nok\r\n3\r\nay!\r\n0\r\nX: y\r\n\r\n", 200, b"okay!", 1),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + OK, 200, b"ok", 1),
        (b"HTTP/1.1 204 Nothing\r\n\r\n", 204, b"", 1),
        (b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 0\r\n\r\n", 200, b"", 1),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", 2),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, b"ok", 2),
        # A second answer that nobody asked for: that connection is not used again.
        (OK + OK, 200, b"ok", 2),
        (OK + b"what is this\r\n\r\n", 200, b"ok", 2),
    ],
)  # fmt: skip
def test_where_an_answer_ends(run: Run, answer: bytes, status: int, body: bytes, connections: int) -> None:
    async def work() -> None:
        came = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal came
            came += 1
            await answering(answer)(reader, writer)

        async with server(serve) as (line, url):
            for _ in range(2):
                got = await line.send(post(url))
                assert (got.status_code, got.content) == (status, body)
                assert "link" not in got.headers
            assert came == connections

    run(work)


def test_an_answer_may_end_with_its_connection(run: Run) -> None:
    async def work() -> None:
        answer = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end"
        async with server(answering(answer, close=True)) as (line, url):
            for _ in range(2):
                assert (await line.send(post(url))).text == "until the end"

    run(work)


def test_an_answer_of_any_size_of_pieces(run: Run) -> None:
    async def work() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await whole_request(reader)
            for octet in b"HTTP/1.1 200 OK\r\nX-Name: value\r\nContent-Length: 2\r\n\r\nok":
                writer.write(bytes([octet]))
                await writer.drain()
                await asyncio.sleep(0)

        async with server(serve) as (line, url):
            answer = await line.send(post(url))
            assert (answer.headers["x-name"], answer.content) == ("value", b"ok")

    run(work)


def test_headers_and_bodies_are_octets(run: Run) -> None:
    async def work() -> None:
        text = "Привет".encode("windows-1251")
        answer = b"HTTP/1.1 200 OK\r\nX-Reason: %b\r\nContent-Length: %d\r\n\r\n%b" % (text, len(text), text)
        async with server(answering(answer)) as (line, url):
            got = await line.send(post(url))
            assert (b"X-Reason", text) in got.headers.raw
            assert got.content == text

    run(work)


# What fails after the request was written -----------------------------------------------------------------------------


async def _cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await whole_request(reader)


async def _reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await whole_request(reader)
    _with_reset(writer)


def _with_reset(writer: asyncio.StreamWriter) -> None:
    own = writer.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


async def _half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await whole_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()


async def _half_a_chunk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await whole_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf")
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


def _endless(head: bytes, again: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole_request(reader)
        writer.write(head)
        while True:
            writer.write(again)
            await writer.drain()

    return serve


def _packed(coding: bytes, body: bytes) -> Serve:
    return answering(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n%b" % (coding, len(body), body)
    )


_TOO_MANY = "HTTP 200 with a head of more than 500 fields"
_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_LONG = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (MAX_ANSWER + 1) + b"." * (MAX_ANSWER + 1)
_CHUNK = b"10000\r\n" + b"." * 65536 + b"\r\n"
_CLOSED = "closed before the whole answer"
_TOO_MUCH = "more than 1048576 octets"


@pytest.mark.parametrize(
    ("serve", "keys", "said"),
    [
        (_cut, {}, _CLOSED),
        (_reset, {}, "(?i)reset|closed"),
        (_half, {}, _CLOSED),
        (_half_a_chunk, {}, _CLOSED),
        (answering(b"what is this\r\n\r\n"), {}, "no HTTP"),
        (answering(b"HTTP/1.1 200 OK\r\nBad header: x\r\nContent-Length: 0\r\n\r\n"), {}, "no HTTP"),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"), {}, "no HTTP"),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"), {}, "no HTTP"),
        (answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), {}, "no HTTP"),
        (answering(b"HTTP/1.1 101 Over\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"), {}, "HTTP 101"),
        (answering(b"HTTP/1.1 101 Over\r\n\r\n"), {}, "HTTP 101"),
        (_silent, {"timeout": "20ms"}, "no whole answer within 0.02 s"),
        # Every octet comes in time, and the answer never ends.
        (_drip, {"timeout": "20ms"}, "no whole answer within 0.02 s"),
        (answering(_LONG), {}, _TOO_MUCH),
        (_endless(b"HTTP/1.1 200 OK\r\n\r\n", b"." * 65536), {}, _TOO_MUCH),
        (_endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", _CHUNK), {}, _TOO_MUCH),
        (_endless(b"HTTP/1.1 200 OK\r\n", b"X-Header: " + b"x" * 10_000 + b"\r\n"), {}, _TOO_MUCH),
        (_endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000), {}, _TOO_MUCH),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + b"a:\r\n" * 500 + b"\r\n"), {}, _TOO_MANY),
        (answering(_CHUNKED + b"0\r\n" + b"a:\r\n" * 500 + b"\r\n"), {}, _TOO_MANY),
        (_endless(b"HTTP/1.1 200 OK\r\n", b"a:\r\n" * 1000), {}, _TOO_MANY),
        (_packed(b"gzip", gzip.compress(b"." * (MAX_ANSWER + 1))), {}, _TOO_MUCH),
        (_packed(b"deflate", zlib.compress(b"." * 300 * MAX_ANSWER)), {}, _TOO_MUCH),
        (_packed(b"gzip", b"nope"), {}, "cannot be unpacked"),
        (_packed(b"gzip", gzip.compress(b"." * 1000)[:-9]), {}, "breaks off"),
        (_packed(b"br", b"nope"), {}, "not asked for"),
        # Each layer is a megabyte to unpack again, and nobody else has a turn meanwhile.
        (_packed(b"gzip, gzip, gzip", gzip.compress(gzip.compress(gzip.compress(b"ok")))), {}, "packed 3 times over"),
    ],
)
def test_what_fails_after_the_request_was_written_is_unclear(
    run: Run, serve: Serve, keys: dict[str, Any], said: str
) -> None:
    async def work() -> None:
        async with server(serve, **keys) as (line, url):
            with pytest.raises(Unclear, match=said):
                await line.send(post(url))

    run(work)


@pytest.mark.parametrize("method", ["POST", "GET"])
@pytest.mark.parametrize("reset", [True, False])
def test_a_request_is_written_once(run: Run, method: str, reset: bool) -> None:
    """On a connection that was used before, the peer reads the request and goes away: it may have been processed."""

    async def work() -> None:
        seen: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(await whole_request(reader))
            writer.write(OK)
            seen.append(await whole_request(reader))
            if reset:
                _with_reset(writer)

        async with server(serve) as (line, url):
            await line.send(httpx.Request("POST", url))
            with pytest.raises(Unclear):
                await line.send(httpx.Request(method, url + "second"))
            assert len(seen) == 2

    run(work)


def test_the_rest_of_a_request_that_was_answered_early_is_no_second_one(run: Run) -> None:
    async def work() -> None:
        connections = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connections
            connections += 1
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n" if b"/long" in head else OK)
            await reader.read() if b"/long" in head else await whole_request(reader)

        async with server(serve) as (line, url):
            assert (await line.send(post(url + "long", content=b"." * 30_000_000))).status_code == 413
            assert (await line.send(httpx.Request("GET", url))).status_code == 200
            assert connections == 2

    run(work)


# What fails before it ------------------------------------------------------------------------------------------------


def test_nobody_there_is_not_sent(run: Run) -> None:
    async def work() -> None:
        async with listening(_cut) as port:
            pass
        async with line_to() as line:
            with pytest.raises(NotSent, match="not connected"):
                await line.send(post(f"http://127.0.0.1:{port}/?password=secret"))

    run(work)


@pytest.mark.parametrize("url", ["http://nobody.invalid/", "ftp://127.0.0.1/", "/path"])
def test_an_address_that_leads_nowhere_is_not_sent(run: Run, url: str) -> None:
    async def work() -> None:
        async with line_to() as line:
            with pytest.raises(NotSent):
                await line.send(post(url))

    run(work)


@pytest.fixture
def deaf() -> Iterator[str]:
    """The address of a socket that nobody accepts from: connecting takes for ever."""
    with socket.socket() as listening, contextlib.ExitStack() as waiting:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            other = waiting.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"


def test_a_connection_that_is_not_made_in_time_is_not_sent(run: Run, deaf: str) -> None:
    async def work() -> None:
        async with line_to(connect_timeout="50ms", timeout="10ms") as line:
            with pytest.raises(NotSent, match=r"not connected within 0.05 s"):
                await line.send(post(deaf))

    run(work)


async def _plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Plain HTTP only\r\n\r\n")
    await writer.drain()
    await reader.read()


async def _mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize(("serve", "said"), [(_plain, "not connected: SSL"), (_mute, "not connected within 0.2 s")])
def test_a_handshake_that_fails_is_not_sent(run: Run, serve: Serve, said: str) -> None:
    async def work() -> None:
        async with server(serve, connect_timeout="200ms") as (line, url):
            with pytest.raises(NotSent, match=said):
                await line.send(post(url.replace("http:", "https:")))

    run(work)


def test_no_free_connection_in_time_is_not_sent(run: Run) -> None:
    async def work() -> None:
        async with server(_silent, max_in_flight=1, connect_timeout="50ms") as (line, url):
            # Three more are kept for status questions.
            busy = [asyncio.ensure_future(line.send(post(url))) for _ in range(4)]
            await asyncio.sleep(0)
            with pytest.raises(NotSent, match=r"no free connection within 0.05 s"):
                await line.send(post(url))
            for task in busy:
                task.cancel()
            await asyncio.gather(*busy, return_exceptions=True)

    run(work)


@pytest.mark.parametrize("value", ["a\r\nContent-Length: 0", "a\nb", "a\rb", "a\0b"])
def test_a_header_of_two_lines_is_not_written(run: Run, value: str) -> None:
    async def work() -> None:
        seen: list[bytes] = []
        async with server(answering(OK, seen=seen)) as (line, url):
            with pytest.raises(NotSent, match="cannot be written"):
                await line.send(post(url, headers={"x-header": value}))
            await line.send(post(url))
            assert len(seen) == 1

    run(work)


def test_a_body_of_any_form_is_framed_by_its_length(run: Run) -> None:
    async def work() -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"bo"
            yield b"dy"

        seen: list[bytes] = []
        async with server(answering(OK, seen=seen)) as (line, url):
            await line.send(post(url, content=pieces()))
            await line.send(post(url, headers={"content-length": "2", "transfer-encoding": "chunked"}))
            for request in seen:
                assert request.endswith(b"\r\n\r\nbody")
                assert b"transfer-encoding" not in request.lower()

    run(work)


# Connections are used again -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 3])
def test_a_connection_found_closed_is_not_written_to(run: Run, times: int) -> None:
    """The peer has closed, and the event loop has had no chance yet to hear of it."""
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        closed = threading.Semaphore(0)

        def serve() -> None:
            for _ in range(times + 1):
                peer, _ = listening.accept()
                with peer:
                    seen.append(peer.recv(65536))
                    peer.sendall(OK)
                closed.release()

        thread = threading.Thread(target=serve)
        thread.start()

        async def work() -> None:
            async with line_to() as line:
                for _ in range(times + 1):
                    url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
                    assert (await line.send(post(url))).content == b"ok"
                    assert closed.acquire(timeout=10)

        run(work)
        thread.join(10)
    assert len(seen) == times + 1


def test_an_idle_connection_is_closed_after_a_while(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pool._KEEP_IDLE == 4.0
    monkeypatch.setattr(pool, "_KEEP_IDLE", 0.02)

    async def work() -> None:
        ended: asyncio.Queue[None] = asyncio.Queue()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await answering(OK)(reader, writer)
            finally:
                ended.put_nowait(None)

        async with server(serve) as (line, url):
            for _ in range(2):
                await asyncio.gather(*(line.send(post(url)) for _ in range(3)))
                for _ in range(3):
                    async with asyncio.timeout(10):
                        await ended.get()

    run(work)


def test_more_requests_at_once_than_fit_wait_for_each_other(run: Run) -> None:
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
                await asyncio.gather(*(line.send(post(url)) for _ in range(40)))
            # And ten for questions, one for the balance.
            assert 20 <= most <= 31
            assert connections <= 31

    run(work)


def test_a_connection_is_free_again_however_a_request_ends(run: Run) -> None:
    async def work() -> None:
        async with server(_silent, timeout="20ms", max_in_flight=1) as (line, url):
            for _ in range(10):
                with pytest.raises(Unclear, match="no whole answer"):
                    await line.send(post(url))

    run(work)


def test_who_goes_away_closes_the_connection(run: Run) -> None:
    async def work() -> None:
        came, went = asyncio.Semaphore(0), asyncio.Semaphore(0)

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await whole_request(reader)
            came.release()
            await reader.read()
            went.release()

        async with server(serve, max_in_flight=1) as (line, url):
            for _ in range(8):
                task = asyncio.ensure_future(line.send(post(url)))
                await came.acquire()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                async with asyncio.timeout(10):
                    await went.acquire()

    run(work)


def test_who_goes_away_while_connecting_leaves_nothing(run: Run, deaf: str) -> None:
    async def work() -> None:
        async with line_to(max_in_flight=1) as line, server(_mute) as (_, mute):
            for url in (deaf, mute.replace("http:", "https:")) * 3:
                task = asyncio.ensure_future(line.send(post(url)))
                for _ in range(20):
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    run(work)


def test_who_goes_away_in_the_moment_of_connecting_leaves_nothing(run: Run) -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        table = config()
        async with listening(answering(OK)) as port, asyncio.timeout(10):
            inner = connect(table)
            line = Line(inner, table)
            task = asyncio.ensure_future(line.send(post(f"http://127.0.0.1:{port}/")))

            def watch() -> None:
                if inner._open:
                    task.cancel()
                else:
                    loop.call_soon(watch)

            watch()
            with pytest.raises(asyncio.CancelledError):
                await task
            await line.close()
            assert not inner._open

    run(work)


def test_a_tunnel_in_which_tls_does_not_begin_leaves_nothing(run: Run) -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await reader.read()

    async def work() -> None:
        async with (
            listening(mute) as port,
            asyncio.timeout(10),
            line_to(proxy=f"http://127.0.0.1:{port}", connect_timeout="100ms") as line,
        ):
            with pytest.raises(NotSent, match=r"not connected within 0.1 s"):
                await line.send(post("https://provider.test/"))

    run(work)


def test_hosts_share_the_connections(run: Run) -> None:
    """What waits for one host makes room for another."""

    async def work() -> None:
        async with contextlib.AsyncExitStack() as stack:
            ports = [await stack.enter_async_context(listening(answering(OK))) for _ in range(6)]
            line = await stack.enter_async_context(line_to(max_in_flight=1))
            for _ in range(2):
                for port in ports:
                    assert (await line.send(post(f"http://127.0.0.1:{port}/"))).status_code == 200
            inner = line._transport
            assert isinstance(inner, pool.Pool)
            assert len(inner._open) <= 5

    run(work)


def test_closing_ends_what_is_under_way(run: Run) -> None:
    async def work() -> None:
        came = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await whole_request(reader)
            came.set()
            await reader.read()

        async with server(serve) as (line, url):
            task = asyncio.ensure_future(line.send(post(url)))
            await came.wait()
            await line.close()
            with pytest.raises(Unclear):
                await task
            with pytest.raises(NotSent, match="closed"):
                await line.send(post(url))
            assert {task.get_name() for task in asyncio.all_tasks() if task.get_coro().__name__ == "send"} == set()

    run(work)


def test_ipv6(run: Run) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")

    async def work() -> None:
        seen: list[bytes] = []
        async with listening(answering(OK, seen=seen), host="::1") as port, line_to() as line:
            assert (await line.send(post(f"http://[::1]:{port}/"))).content == b"ok"
            assert f"Host: [::1]:{port}\r\n".encode() in seen[0]

    run(work)


def test_the_environment_names_no_proxy(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    async def work() -> None:
        async with server(answering(OK)) as (line, url):
            assert (await line.send(post(url))).content == b"ok"

    run(work)


# TLS -----------------------------------------------------------------------------------------------------------------


class Certificate(NamedTuple):
    file: Path
    server: ssl.SSLContext


def _certificate(folder: Path, name: str) -> Certificate:
    openssl = shutil.which("openssl") or pytest.skip("needs the openssl program to make a certificate")
    file, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=provider", "-addext", f"subjectAltName={name}"]
    made = subprocess.run([*command, "-keyout", str(key), "-out", str(file)], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"openssl made no certificate: {made.stderr.decode().strip()[-200:]}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key)
    return Certificate(file, context)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """Of 127.0.0.1, signed by itself."""
    return _certificate(tmp_path_factory.mktemp("tls"), "IP:127.0.0.1")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return _certificate(tmp_path_factory.mktemp("elsewhere"), "DNS:elsewhere.test")


def test_a_certificate_in_a_file_is_believed(run: Run, certificate: Certificate) -> None:
    async def work() -> None:
        seen: list[bytes] = []
        serve = answering(OK, seen=seen)
        async with (
            listening(serve, tls=certificate.server) as port,
            line_to(verify=str(certificate.file)) as line,
        ):
            for _ in range(3):
                assert (await line.send(post(f"https://127.0.0.1:{port}/"))).content == b"ok"
            assert len(seen) == 3

    run(work)


def test_what_the_system_believes_is_believed(
    run: Run, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))

    async def work() -> None:
        async with listening(answering(OK), tls=certificate.server) as port, line_to() as line:
            assert (await line.send(post(f"https://127.0.0.1:{port}/"))).content == b"ok"

    run(work)


def test_unchecked_where_the_settings_say_so(run: Run, elsewhere: Certificate) -> None:
    async def work() -> None:
        async with listening(answering(OK), tls=elsewhere.server) as port, line_to(verify=False) as line:
            assert (await line.send(post(f"https://127.0.0.1:{port}/"))).content == b"ok"

    run(work)


@pytest.mark.parametrize("case", ["the system does not know it", "another file", "another name"])
def test_a_certificate_that_is_not_believed_is_not_sent(
    run: Run, certificate: Certificate, elsewhere: Certificate, case: str
) -> None:
    verify: bool | str = True if case == "the system does not know it" else str(elsewhere.file)
    serves = elsewhere if case == "another name" else certificate
    said = "IP address mismatch" if case == "another name" else "self.signed certificate"

    async def work() -> None:
        seen: list[bytes] = []
        serve = answering(OK, seen=seen)
        async with listening(serve, tls=serves.server) as port, line_to(verify=verify) as line:
            with pytest.raises(NotSent, match=said):
                await line.send(post(f"https://127.0.0.1:{port}/"))
            assert seen == []

    run(work)


def test_a_file_is_believed_instead_of_the_system(certificate: Certificate) -> None:
    assert len(pool.tls(certificate.file).get_ca_certs()) == 1
    assert len(pool.tls(True).get_ca_certs()) != 1
    for verify in (True, certificate.file):
        assert pool.tls(verify).verify_mode is ssl.CERT_REQUIRED
        assert pool.tls(verify).check_hostname


def test_a_request_under_tls_is_written_once(run: Run, certificate: Certificate) -> None:
    async def work() -> None:
        seen: list[bytes] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(await whole_request(reader))
            writer.write(OK)
            seen.append(await whole_request(reader))
            writer.transport.abort()

        async with (
            listening(serve, tls=certificate.server) as port,
            line_to(verify=str(certificate.file)) as line,
        ):
            await line.send(post(f"https://127.0.0.1:{port}/"))
            with pytest.raises(Unclear):
                await line.send(post(f"https://127.0.0.1:{port}/"))
            assert len(seen) == 2

    run(work)


# Proxies -------------------------------------------------------------------------------------------------------------

LOGIN = b"Proxy-Authorization: Basic " + base64.b64encode(b"user:pass:w\xc3\xb6rd")


def through(port: int, seen: list[bytes], status: bytes = b"200 Connected") -> Serve:
    """A proxy: whatever it is asked to connect to is 127.0.0.1:`port`."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 %b\r\nVia: x\r\n\r\n" % status)
        if not status.startswith(b"2"):
            return
        there, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, back), copy(there, writer))

    return serve


def test_tls_goes_through_a_proxy(run: Run, certificate: Certificate) -> None:
    async def work() -> None:
        asked: list[bytes] = []
        seen: list[bytes] = []
        async with (
            listening(answering(OK, seen=seen), tls=certificate.server) as port,
            listening(through(port, asked)) as proxy,
            line_to(proxy=f"http://user:pass%3Aw%C3%B6rd@127.0.0.1:{proxy}", verify=str(certificate.file)) as line,
        ):
            for _ in range(3):
                assert (await line.send(post("https://127.0.0.1:9/path"))).content == b"ok"
            assert len(asked) == 1
            assert asked[0].startswith(b"CONNECT 127.0.0.1:9 HTTP/1.1\r\nHost: 127.0.0.1:9\r\n")
            assert LOGIN in asked[0]
            # What goes through is the provider's business alone.
            assert len(seen) == 3
            assert all(request.startswith(b"POST /path HTTP/1.1") and LOGIN not in request for request in seen)

    run(work)


def test_the_name_is_checked_behind_a_proxy(run: Run, elsewhere: Certificate) -> None:
    async def work() -> None:
        async with (
            listening(answering(OK), tls=elsewhere.server) as port,
            listening(through(port, [])) as proxy,
            line_to(proxy=f"http://127.0.0.1:{proxy}", verify=str(elsewhere.file)) as line,
        ):
            assert (await line.send(post("https://elsewhere.test/"))).content == b"ok"
            with pytest.raises(NotSent, match="mismatch"):
                await line.send(post("https://provider.test/"))

    run(work)


def test_plain_text_is_given_to_a_proxy(run: Run) -> None:
    async def work() -> None:
        seen: list[bytes] = []
        async with (
            listening(answering(OK, seen=seen)) as proxy,
            line_to(proxy=f"http://user:pass%3Aw%C3%B6rd@127.0.0.1:{proxy}") as line,
        ):
            assert (await line.send(post("http://provider.test:81/path?q=1"))).content == b"ok"
            assert seen[0].startswith(b"POST http://provider.test:81/path?q=1 HTTP/1.1\r\nHost: provider.test:81\r\n")
            assert LOGIN in seen[0]

    run(work)


@pytest.mark.parametrize(
    ("scheme", "fault"),
    # In plain text, a proxy that does not answer has the request all the same, and may have handed it on.
    [("http", "refuses"), ("http", "away")]
    + [("https", fault) for fault in ("refuses", "away", "closes", "silent", "babbles")],
)
def test_a_proxy_that_does_not_connect_is_not_sent(run: Run, scheme: str, fault: str) -> None:
    url = f"{scheme}://provider.test/?password=secret"

    async def work() -> None:
        answer = b"what is this\r\n\r\n" if fault == "babbles" else b"HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n"
        serves = {"closes": _cut, "silent": _silent}.get(fault, answering(answer))
        async with contextlib.AsyncExitStack() as stack:
            port = await stack.enter_async_context(listening(serves))
            if fault == "away":
                await stack.aclose()
            line = await stack.enter_async_context(
                line_to(proxy=f"http://user:secret@127.0.0.1:{port}", connect_timeout="200ms")
            )
            with pytest.raises(NotSent) as raised:
                await line.send(post(url))
            assert "secret" not in str(raised.value)
            assert "provider.test" not in str(raised.value)
            if fault == "refuses":
                assert "407" in str(raised.value)
            inner = line._transport
            assert isinstance(inner, pool.Pool)
            if scheme == "https":
                async with asyncio.timeout(10):
                    await asyncio.gather(*(connection.lost for connection in inner._open))

    run(work)


@pytest.mark.parametrize("address", ["http://user:secret#@h", "http://user:secret?@h", "socks5://secret@h"])
def test_the_address_of_a_proxy_is_not_shown(address: str) -> None:
    with pytest.raises(ValueError, match="the address of the proxy cannot be read") as raised:
        pool.Proxy(address)
    assert raised.value.__cause__ is None


def test_a_proxy_may_be_reached_by_tls(run: Run, certificate: Certificate, monkeypatch: pytest.MonkeyPatch) -> None:
    # Where the system keeps its authorities: the proxy is believed because of them.
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))

    async def work() -> None:
        seen: list[bytes] = []
        asked: list[bytes] = []
        async with (
            listening(answering(OK, seen=seen), tls=certificate.server) as port,
            listening(through(port, asked), tls=certificate.server) as proxy,
            line_to(proxy=f"https://user:pass%3Aw%C3%B6rd@127.0.0.1:{proxy}") as line,
        ):
            for _ in range(2):
                assert (await line.send(post("https://127.0.0.1:9/path"))).content == b"ok"
            assert len(asked) == 1
            assert len(seen) == 2

    run(work)


# What is said --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "OSError"),
        ("[Errno 111] Connection refused", "OSError: [Errno 111] Connection refused"),
        ("one line\nand another", "OSError: one line"),
        ("x" * 200, "OSError: " + "x" * 200),
        ("x" * 1000, "OSError: " + "x" * 199 + "…"),
        ("x" * 300 + "=", "OSError: …"),
        ("why " * 60 + "a=b", "OSError: " + ("why " * 60)[:199] + "…"),
        ("for 'http://h/?password=secret&text=my secret'", "OSError: for …"),
        ("at https://user:secret@proxy.test:3128 it failed", "OSError: at …"),
        ("GET /send?login=a&password=secret HTTP/1.1", "OSError: GET …"),
        ("GET ?password=secret", "OSError: GET …"),
        ("login=a&password=secret", "OSError: …"),
        ("user:secret@proxy.test:3128 refused", "OSError: …"),
        ("why? nobody knows", "OSError: why? nobody knows"),
    ],
)
def test_a_reason_holds_no_address_and_no_query(text: str, said: str) -> None:
    assert reason(OSError(text)) == said


def test_a_secret_that_a_reason_breaks_off_in_is_hidden() -> None:
    secret = "hush-hush-hush-hush"
    for before in range(180, 201):
        assert "hush" not in mask(reason(OSError("x" * (before - 1) + " " + secret)), [secret])


@pytest.mark.parametrize("error", [httpx.ConnectError, httpx.ReadError, OSError])
def test_what_a_transport_says_of_an_address_is_not_passed_on(error: type[Exception]) -> None:
    async def work() -> None:
        def handle(request: httpx.Request) -> httpx.Response:
            raise error(f"cannot reach {request.url}")

        line = Line(httpx.MockTransport(handle), config())
        with pytest.raises(RequestFailed) as raised:
            await line.send(httpx.Request("GET", "http://user:word@provider.test/send?password=secret"))
        assert str(raised.value) == f"{error.__name__}: cannot reach …"

    asyncio.run(work())


# Transports of somebody else's ----------------------------------------------------------------------------------------


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

    asyncio.run(work())


class Pieces(httpx.AsyncByteStream):
    def __init__(self, *pieces: bytes) -> None:
        self.pieces = pieces
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("stream", "headers", "said"),
    [
        (Pieces(b"o", b"k"), {}, None),
        (Pieces(gzip.compress(b"ok")), {"content-encoding": "gzip"}, None),
        (Pieces(*[b"." * 65536] * 17), {}, _TOO_MUCH),
        (Pieces(gzip.compress(b"." * 2 * MAX_ANSWER)), {"content-encoding": "gzip"}, _TOO_MUCH),
    ],
)
def test_an_answer_that_comes_in_pieces(stream: Pieces, headers: dict[str, str], said: str | None) -> None:
    async def work() -> None:
        line = Line(httpx.MockTransport(lambda request: httpx.Response(200, headers=headers, stream=stream)), config())
        request = httpx.Request("GET", "http://provider.test/")
        if said:
            with pytest.raises(Unclear, match=said):
                await line.send(request)
        else:
            assert (await line.send(request)).content == b"ok"
        assert stream.closed

    asyncio.run(work())


def test_a_transport_that_never_answers_is_unclear() -> None:
    async def work() -> None:
        async def handle(request: httpx.Request) -> httpx.Response:
            await asyncio.Event().wait()
            raise AssertionError

        line = Line(httpx.MockTransport(handle), config(timeout="20ms", connect_timeout="10ms"))
        with pytest.raises(Unclear, match=r"no whole answer within 0.04 s"):
            await line.send(httpx.Request("GET", "http://provider.test/"))

    asyncio.run(work())


@pytest.mark.parametrize("own", [{"read": 0.02}, {"read": 0.02, "connect": None}])
def test_an_adapter_may_be_more_impatient(run: Run, own: dict[str, float | None]) -> None:
    async def work() -> None:
        async with server(_silent) as (line, url):
            with pytest.raises(Unclear, match=r"no whole answer within 0.02 s"):
                await line.send(post(url, extensions={"timeout": own}))

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
        ours = {"connect": 1.0, "read": 5.0, "write": 5.0, "pool": 1.0}
        assert seen == [ours, ours | {"read": 1}]

    asyncio.run(work())
