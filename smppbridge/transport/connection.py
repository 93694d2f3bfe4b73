"""One HTTP/1.1 connection to a provider or its proxy: octets out, one whole answer in.

llhttp (by httptools) reads the answer; what is here is when an answer has ended, whether the connection may be used
again, and that a request whose octets were handed to the system is never said to be unsent. Nothing is ever written a
second time.

What can go wrong after that is `Unclear`: the peer closes or resets, says what is no HTTP, says too much or nothing in
time, or the caller goes away; each of these ends the connection. A peer that speaks without having been asked is not
listened to either: its connection is closed.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from typing import NamedTuple, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from .answer import MAX_ANSWER, too_long
from .failures import NotSent, RequestFailed, Unclear, reason

#: Octets of an answer with its head and the frames of its chunks.
_MOST = MAX_ANSWER + 65536
#: Fields of its head and after its last chunk. Each takes a hundred times the four octets that one may have.
_FIELDS = 500


class Answer(NamedTuple):
    """As it was on the wire, but for the chunks."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Connection(asyncio.Protocol):
    """The pool makes it, the event loop tells it what happens."""

    def __init__(self, known: set[Connection]) -> None:
        self._loop = asyncio.get_running_loop()
        #: Where it stands as long as it is open.
        self._known = known
        #: Done when nothing is left of it.
        self.lost: asyncio.Future[None] = self._loop.create_future()
        #: Whether another request may be written once the answer is there.
        self.again = True
        #: Nobody has used it since the pool has last looked.
        self.rested = False
        self._transport: asyncio.Transport
        self._poll = select.poll()
        self._waiter: asyncio.Future[Answer] | None = None
        self._tunnel = False
        self._renew()

    # What the pool asks ----------------------------------------------------------------------------------------------

    def ended(self) -> bool:
        """Whether the peer has closed an idle connection. Asked of the system, since the loop may not have had the time
        yet to tell; and a peer that says something in between has nothing to say that we want."""
        return not self.again or self._transport.is_closing() or bool(self._poll.poll(0))

    async def exchange(self, octets: bytes, seconds: float | None) -> Answer:
        """Write a request and wait for its whole answer, at most so long. Raises Unclear, and NotSent where there is
        nothing any more to write to."""
        if self._transport.is_closing():
            raise NotSent("the connection was closed before the request")
        waiter: asyncio.Future[Answer] = self._loop.create_future()
        self._waiter = waiter
        late = self._loop.call_later(seconds, self._fail, f"no whole answer within {seconds:g} s") if seconds else None
        self._transport.write(octets)
        try:
            return await waiter
        except asyncio.CancelledError:
            self.abort()
            raise
        finally:
            self._waiter = None
            if late is not None:
                late.cancel()

    async def tunnel(self, octets: bytes) -> int:
        """Ask a proxy for a connection through it: the status of what it says, whose head is its end."""
        self._tunnel = True
        try:
            return (await self.exchange(octets, None)).status
        finally:
            self._tunnel = False

    async def secure(self, context: ssl.SSLContext, host: str) -> None:
        """Go on with TLS, within the tunnel. Raises OSError, ssl.SSLError among them."""
        transport = await self._loop.start_tls(self._transport, self, context, server_hostname=host)
        if transport is None:
            raise ConnectionError("the proxy has closed the tunnel")
        self._transport = transport
        self._renew()

    def abort(self) -> None:
        """Close it, now. (Closing TLS politely takes uvloop 30 s where the peer is not polite.)"""
        self.again = False
        self._transport.abort()

    def break_off(self) -> None:
        """Close it while it is made or secured. The loops do not always tell the end of such a one: uvloop not where it
        was made and not handed over yet, asyncio not where TLS begins within a tunnel."""
        if self in self._known:
            self.connection_lost(None)

    def _renew(self) -> None:
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self.again = True
        self._clear()

    def _clear(self) -> None:
        self._octets = 0
        self._head = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []

    # What the loop tells ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self._known.add(self)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._waiter.done() or self._parser is None:
            self.abort()
            return
        self._octets += len(data)
        if self._octets > _MOST:
            self._fail(too_long(self._parser.get_status_code()))
            return
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            # Also what comes behind a whole answer, which stays one.
            self._fail(f"no HTTP: {reason(error)}")

    def eof_received(self) -> None:
        if self._head and not self._framed():
            self._complete()

    def connection_lost(self, error: Exception | None) -> None:
        self._fail("the connection was closed before the whole answer" if error is None else reason(error))
        # It holds us, and we hold it.
        self._parser = None
        self._known.discard(self)
        if not self.lost.done():
            self.lost.set_result(None)

    # What the parser tells -------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._waiter is None or self._waiter.done():
            self.again = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self._headers) == _FIELDS:
            self._fail(f"HTTP {self._status()} with a head of more than {_FIELDS} fields")
            # Or the parser would go on with what it has.
            raise HttpParserError("too many fields")
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._head = True
        if self._tunnel and self._status() >= 200:
            self._complete()

    def on_body(self, data: bytes) -> None:
        self._body.append(data)

    def on_message_complete(self) -> None:
        status = self._status()
        if status >= 200:
            self._complete()
        elif status == 101:
            self._fail("HTTP 101 that nobody asked for")
        else:
            # 100 and its like are no answers: the answer follows.
            self._head = False
            self._headers = []

    def _status(self) -> int:
        return self._parser.get_status_code() if self._parser is not None else 0

    def _framed(self) -> bool:
        """Whether the head says how long the body is. If not, it ends with the connection (RFC 9112 §6.3)."""
        names = {name.lower(): value for name, value in self._headers}
        return b"content-length" in names or names.get(b"transfer-encoding", b"").lower().endswith(b"chunked")

    def _complete(self) -> None:
        if self._waiter is None or self._waiter.done() or self._parser is None:
            return
        self._waiter.set_result(Answer(self._parser.get_status_code(), self._headers, b"".join(self._body)))
        # An answer to the first half of a request: the rest of it must not be taken for the next one.
        unread = self._transport.get_write_buffer_size() > 0
        self.again = self._tunnel or (self._parser.should_keep_alive() and not unread)
        self._clear()

    def _fail(self, failure: str | RequestFailed) -> None:
        self.abort()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(Unclear(failure) if isinstance(failure, str) else failure)
