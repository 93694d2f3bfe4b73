"""Ways to make an HTTP request, side by side: `python -m bench.transports [--rounds N] [--seconds S]`.

Small JSON POSTs over connections that stay open, to a bare server in another process (`bench.provider`), at 1, 10 and
100 in flight. Every contender runs in a process of its own on uvloop, as the gateway does, and they take turns. What is
told of each: requests a second, the median and the slowest hundredth of a request, and the processor time that a
request costs the process, all threads together, which is what a gateway with other things to do feels most.

"raw" writes prepared octets and looks at nothing of the answer: what the loop and the kernel cost, the yardstick. Those
that are not the gateway's own need `pip install --group bench -c constraints.txt`; what is not there is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import subprocess
import sys
import time
from array import array
from collections.abc import Awaitable, Callable
from statistics import median
from typing import Any, cast

import httpx
import uvloop

from smppbridge.config import ProviderConfig

from .servers import ROOT, listening

IN_FLIGHT = (1, 10, 100)

BODY = b'{"messages":[{"client_id":"1234567890123456789","to":"79991234567","text":"a text of ordinary length"}]}'
HEADERS = {"content-type": "application/json", "authorization": "Bearer 0123456789abcdef"}

#: Makes one request and returns the body of the answer.
Post = Callable[[], Awaitable[bytes]]


def _over(transport: httpx.AsyncBaseTransport, url: str) -> Post:
    """Called as the gateway calls it: httpx's types, and no client."""

    async def post() -> bytes:
        answer = await transport.handle_async_request(httpx.Request("POST", url, content=BODY, headers=HEADERS))
        try:
            return await answer.aread()
        finally:
            await answer.aclose()

    return post


# Contenders: each gets the address and the number of requests at once -------------------------------------------------


class _Raw(asyncio.Protocol):
    """Octets out, any octets in."""

    answer: asyncio.Future[bytes]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.answer.set_result(data)


async def raw(url: str, at_once: int) -> Post:
    loop = asyncio.get_running_loop()
    address = httpx.URL(url)
    free = [(await loop.create_connection(_Raw, address.host, address.port))[1] for _ in range(at_once)]
    octets = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)

    async def post() -> bytes:
        connection = free.pop()
        connection.answer = loop.create_future()
        connection.transport.write(octets)
        answer = await connection.answer
        free.append(connection)
        return answer[-27:]

    return post


async def types(url: str, at_once: int) -> Post:
    """httpx's request and answer, and nothing in between: what no transport below them can do without."""
    answer = b'{"status":"ok","id":123456}'
    headers = [(b"Content-Type", b"application/json")]

    async def post() -> bytes:
        request = httpx.Request("POST", url, content=BODY, headers=HEADERS)
        return httpx.Response(200, headers=headers, content=answer, request=request).content

    return post


async def ours(url: str, at_once: int) -> Post:
    """`Line.send` and everything below it."""
    from smppbridge.transport import Line, connect

    config = ProviderConfig(adapter="x", max_in_flight=at_once)
    line = Line(connect(config), config)

    async def post() -> bytes:
        return (await line.send(httpx.Request("POST", url, content=BODY, headers=HEADERS))).content

    return post


async def httpx_client(url: str, at_once: int) -> Post:
    client = httpx.AsyncClient(limits=httpx.Limits(max_connections=at_once), trust_env=False)

    async def post() -> bytes:
        return (await client.post(url, content=BODY, headers=HEADERS)).content

    return post


async def httpx_transport(url: str, at_once: int) -> Post:
    return _over(httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=at_once), trust_env=False), url)


async def httpx2_client(url: str, at_once: int) -> Post:
    httpx2: Any = importlib.import_module("httpx2")
    client = httpx2.AsyncClient(limits=httpx2.Limits(max_connections=at_once), trust_env=False)

    async def post() -> bytes:
        return cast(bytes, (await client.post(url, content=BODY, headers=HEADERS)).content)

    return post


async def aiohttp_client(url: str, at_once: int) -> Post:
    aiohttp: Any = importlib.import_module("aiohttp")
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once))

    async def post() -> bytes:
        async with session.post(url, data=BODY, headers=HEADERS) as answer:
            return cast(bytes, await answer.read())

    return post


async def aiohttp_connector(url: str, at_once: int) -> Post:
    """Without the session, which repeats a GET on a connection that was found closed; and with httpx's types."""
    aiohttp: Any = importlib.import_module("aiohttp")
    connector = aiohttp.TCPConnector(limit=at_once)
    session = aiohttp.ClientSession(connector=connector)
    reqrep: Any = importlib.import_module("aiohttp.client_reqrep")
    yarl: Any = importlib.import_module("yarl")
    loop = asyncio.get_running_loop()
    timeout = aiohttp.ClientTimeout(sock_connect=5, sock_read=30)

    async def post() -> bytes:
        request = httpx.Request("POST", url, content=BODY, headers=HEADERS)
        theirs = reqrep.ClientRequest(
            request.method,
            yarl.URL(str(request.url), encoded=True),
            headers=request.headers.multi_items(),
            data=request.content,
            loop=loop,
            session=session,
        )
        connection = await connector.connect(theirs, traces=[], timeout=timeout)
        connection.protocol.set_response_params(auto_decompress=False, read_timeout=30)
        answer = await theirs.send(connection)
        await answer.start(connection)
        body = await answer.read()
        return httpx.Response(answer.status, headers=answer.raw_headers, content=body).content

    return post


async def pyreqwest_client(url: str, at_once: int) -> Post:
    client = importlib.import_module("pyreqwest.client").ClientBuilder().max_connections(at_once).build()

    async def post() -> bytes:
        answer = await client.post(url).headers(HEADERS).body_bytes(BODY).build().send()
        return bytes(await answer.bytes())

    return post


async def pyreqwest_transport(url: str, at_once: int) -> Post:
    """Its own transport for httpx."""
    client = importlib.import_module("pyreqwest.client").ClientBuilder().max_connections(at_once).build()
    return _over(importlib.import_module("pyreqwest.compatibility.httpx").HttpxTransport(client), url)


async def pyreqwest_whole(url: str, at_once: int) -> Post:
    """The shortest way from httpx's types to it and back: the answer is read in one go."""
    client = importlib.import_module("pyreqwest.client").ClientBuilder().max_connections(at_once).gzip(False).build()

    async def post() -> bytes:
        request = httpx.Request("POST", url, content=BODY, headers=HEADERS)
        theirs = client.request(request.method, str(request.url)).headers(request.headers.multi_items())
        answer = await theirs.body_bytes(request.content).build().send()
        body = bytes(await answer.bytes())
        return httpx.Response(answer.status, headers=list(answer.headers.items()), content=body).content

    return post


async def niquests_session(url: str, at_once: int) -> Post:
    niquests: Any = importlib.import_module("niquests")
    session = niquests.AsyncSession(pool_maxsize=at_once, disable_http2=True, disable_http3=True)
    session.trust_env = False

    async def post() -> bytes:
        return cast(bytes, (await session.post(url, data=BODY, headers=HEADERS)).content)

    return post


async def zapros_client(url: str, at_once: int) -> Post:
    client = importlib.import_module("zapros").AsyncClient()

    async def post() -> bytes:
        answer = await client.post(url, body=BODY, headers=HEADERS)
        return cast(bytes, await answer.aread())

    return post


CONTENDERS: dict[str, Callable[[str, int], Awaitable[Post]]] = {
    "raw": raw,
    "httpx types alone": types,
    "ours": ours,
    "httpx client": httpx_client,
    "httpx transport": httpx_transport,
    "httpx2 client": httpx2_client,
    "aiohttp client": aiohttp_client,
    "aiohttp connector": aiohttp_connector,
    "pyreqwest client": pyreqwest_client,
    "pyreqwest transport": pyreqwest_transport,
    "pyreqwest whole": pyreqwest_whole,
    "niquests session": niquests_session,
    "zapros client": zapros_client,
}


# One contender, in its process ----------------------------------------------------------------------------------------


async def measure(name: str, url: str, at_once: int, seconds: float) -> dict[str, float]:
    post = await CONTENDERS[name](url, at_once)
    times = array("d")
    until = 0.0

    async def worker() -> None:
        while (began := time.perf_counter()) < until:
            if len(await post()) != 27:
                raise AssertionError("not the answer")
            times.append(time.perf_counter() - began)

    for warming in (True, False):
        times = array("d")
        began, cpu = time.perf_counter(), time.process_time()
        until = began + (seconds / 4 if warming else seconds)
        await asyncio.gather(*(worker() for _ in range(at_once)))
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    ordered = sorted(times)
    return {
        "rate": len(times) / took,
        "p50_ms": ordered[len(times) // 2] * 1000,
        "p99_ms": ordered[int(len(times) * 0.99)] * 1000,
        "cpu_us": cpu / len(times) * 1e6,
    }


# All of them ----------------------------------------------------------------------------------------------------------


def race(rounds: int, seconds: float, names: list[str]) -> dict[tuple[str, int], dict[str, float]]:
    """The median of the rounds, by contender and requests in flight."""
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    with listening(sys.executable, "-m", "bench.provider") as server:
        for _ in range(rounds):
            for at_once in IN_FLIGHT:
                for name in list(names):
                    options = ("--one", name, str(server.port), str(at_once), "--seconds", str(seconds))
                    command = [sys.executable, "-m", "bench.transports", *options]
                    done = subprocess.run(
                        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
                    )
                    if done.stdout:
                        found.setdefault((name, at_once), []).append(json.loads(done.stdout))
                    else:
                        names.remove(name)
    return {key: {of: median(one[of] for one in many) for of in many[0]} for key, many in found.items()}


def run(rounds: int = 3, seconds: float = 1.0) -> dict[str, Any]:
    """The figures of `make bench`: ours, beside the bare loop and httpx."""
    results = race(rounds, seconds, ["raw", "ours", "httpx client"])
    figures: dict[str, Any] = {}
    for at_once in IN_FLIGHT:
        ours, bare, plain = (results[name, at_once] for name in ("ours", "raw", "httpx client"))
        figures[f"{at_once} in flight: requests a second"] = ours["rate"]
        figures[f"{at_once} in flight: µs of processor a request"] = ours["cpu_us"]
        figures[f"{at_once} in flight: / bare loop"] = ours["rate"] / bare["rate"]
        figures[f"{at_once} in flight: / httpx client"] = ours["rate"] / plain["rate"]
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.transports", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--only", nargs="*", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--one", nargs=3, metavar=("NAME", "PORT", "IN_FLIGHT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, port, at_once = options.one
        try:
            figures = uvloop.run(measure(name, f"http://127.0.0.1:{port}/", int(at_once), options.seconds))
        except ModuleNotFoundError:
            return
        print(json.dumps(figures), flush=True)
        # Nobody is asked to tidy up: what some libraries say about that is no figure.
        os._exit(0)
    results = race(options.rounds, options.seconds, options.only)
    print(f"{'':22}" + "".join(f"{f'{at_once} in flight':>41}" for at_once in IN_FLIGHT))
    print(f"{'':22}" + f"{'a second':>11}{'p50 ms':>10}{'p99 ms':>10}{'cpu µs':>10}" * len(IN_FLIGHT))
    for name in options.only:
        line = f"{name:22}"
        for at_once in IN_FLIGHT:
            one = results[name, at_once]
            line += f"{one['rate']:11,.0f}{one['p50_ms']:10.2f}{one['p99_ms']:10.2f}{one['cpu_us']:10.1f}"
        print(line)


if __name__ == "__main__":
    main()
