"""A provider in a process of its own that costs as little as one can: `python -m bench.provider [options]`.

It speaks what `providers/skeleton.py` describes, over a bare asyncio.Protocol: every message of a request is taken, and
its final state comes with the answer (`--states answer`) or by signed callbacks, many states in one (`--callback
HOST:PORT/PATH`). A request to any other path is answered with a few octets of JSON, for measuring transports alone.
Prints its port on the first line.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import hmac
from typing import cast

import msgspec
import uvloop

#: What signs the callbacks: `callback_secret` of the measured gateway.
SECRET = "bench"
#: How many callbacks are under way at once.
_CALLERS = 32
#: Seconds that states wait for more of their kind.
_GATHER = 0.005

_HELLO = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n{"status":"ok","id":123456}'


class _Item(msgspec.Struct):
    client_id: str


class _Items(msgspec.Struct):
    messages: list[_Item]


class Provider(asyncio.Protocol):
    """One connection of the gateway."""

    def __init__(self, caller: Caller | None, *, in_answer: bool) -> None:
        self.caller = caller
        self.state = '","state":"delivered"}' if in_answer else '"}'
        self.decode = msgspec.json.Decoder(_Items).decode
        self.rest = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        data = self.rest + data if self.rest else data
        while (end := data.find(b"\r\n\r\n") + 4) > 3:
            length = _length(data[:end])
            if len(data) < end + length:
                break
            if data.startswith(b"POST /v1/messages "):
                self.transport.write(self.take(data[end : end + length]))
            else:
                self.transport.write(_HELLO)
            data = data[end + length :]
        self.rest = data

    def take(self, body: bytes) -> bytes:
        ids = [item.client_id for item in self.decode(body).messages]
        if self.caller:
            self.caller.add(ids)
        results = ",".join([f'{{"client_id":"{id}","id":"{id}{self.state}' for id in ids])
        answer = b'{"results":[%b]}' % results.encode()
        return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
            len(answer),
            answer,
        )


def _length(head: bytes) -> int:
    head = head.lower()
    at = head.find(b"\r\ncontent-length:")
    return int(head[at + 17 : head.find(b"\r\n", at + 17)]) if at >= 0 else 0


class Caller:
    """Tells the gateway the states, over a few connections that stay open."""

    def __init__(self, address: str, together: int) -> None:
        self.together = together
        self.host, self.port = address.partition("/")[0].rsplit(":", 1)
        self.head = f"POST /{address.partition('/')[2]} HTTP/1.1\r\nHost: gateway\r\n".encode()
        self.ids: list[str] = []
        self.more = asyncio.Event()
        self.tasks = [asyncio.create_task(self.run()) for _ in range(_CALLERS)]

    def add(self, ids: list[str]) -> None:
        self.ids += ids
        self.more.set()

    async def run(self) -> None:
        connection = None
        while True:
            await self.more.wait()
            if len(self.ids) < self.together:
                await asyncio.sleep(_GATHER)
            ids = self.ids[-self.together :]
            del self.ids[-self.together :]
            if not self.ids:
                self.more.clear()
            if not ids:
                continue
            states = ",".join([f'{{"client_id":"{id}","state":"delivered"}}' for id in ids])
            body = b'{"messages":[%b]}' % states.encode()
            signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest().encode()
            request = b"%bX-Signature: %b\r\nContent-Length: %d\r\n\r\n%b" % (self.head, signature, len(body), body)
            while True:
                connection = connection or await asyncio.open_connection(self.host, int(self.port))
                try:
                    await self.call(*connection, request)
                    break
                except (asyncio.IncompleteReadError, ConnectionError):
                    # One that was idle for too long is closed by the gateway: once more over another one.
                    connection[1].close()
                    connection = None

    async def call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(_length(head))
        if b" 200 " not in head[:16]:
            raise SystemExit(f"the gateway answered a callback with {head!r}")


async def main(options: argparse.Namespace) -> None:
    caller = Caller(options.callback, options.together) if options.callback else None
    server = await asyncio.get_running_loop().create_server(
        lambda: Provider(caller, in_answer=options.states == "answer"), "127.0.0.1", 0
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.gather(server.serve_forever(), *(caller.tasks if caller else ()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.provider", description=__doc__)
    parser.add_argument("--states", choices=("answer", "callback"), default="callback")
    parser.add_argument("--callback", default="", help="HOST:PORT/PATH of the gateway; empty: nobody is told")
    parser.add_argument("--together", type=int, default=500, help="states in one callback")
    uvloop.run(main(parser.parse_args()))
