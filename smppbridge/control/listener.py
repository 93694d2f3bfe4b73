"""The control socket: who may call, and what becomes of a call.

It is there for the operator and must never be the reason that messages do not flow: where it cannot be opened the log
says why ("no control socket") and the gateway runs without it.

Who may call is decided twice. The file belongs to the gateway's user and has mode 0600 before anybody can see it; and
the kernel tells who connected (SO_PEERCRED, unix(7)): the same user or root, and nobody else where a folder was shared
or a mode changed. A system that does not tell has no control socket.

A file that a dead gateway left behind refuses connections; it is replaced. One that takes them belongs to somebody who
lives, and stays. What is there and is no socket stays too. At the end the file goes, if it is still ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec
import structlog

from .protocol import LONGEST_ORDER, VERSION, Order, Over, Reply, Sorry, read_order, write

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

#: Callers at once.
_CALLERS = 16
#: Seconds to say what one wants; then to read what was still to be said.
_ORDER_WITHIN = 5.0
_FAREWELL = 5.0
#: Octets that may wait for a caller before it counts as too slow: some ten thousand PDUs.
_ROOM = 4 * 1024 * 1024
#: unix(7): sun_path has 108 octets, the last of which is NUL.
_LONGEST_PATH = 107
_EXAMPLE = write(Order(command="capture")).decode()
#: struct ucred: pid, uid, gid.
_CREDENTIALS = struct.Struct("iII")


class Unavailable(Exception):
    """There can be no control socket; says why."""


class Refused(Exception):
    """A command does not do it; the sentence is for the caller."""


class Caller:
    """Who called, and the way back."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pid: int, uid: int) -> None:
        self.pid = pid
        self.uid = uid
        self._reader = reader
        self._writer = writer

    def __repr__(self) -> str:
        return f"<Caller pid={self.pid} uid={self.uid}>"

    def say(self, reply: Reply) -> None:
        """Never waits; what `has_room` says is up to whoever says more than a few lines."""
        if not self._writer.is_closing():
            self._writer.write(write(reply) + b"\n")

    @property
    def has_room(self) -> bool:
        """Whether the caller is there, and reads fast enough."""
        return not self._writer.is_closing() and self._writer.transport.get_write_buffer_size() < _ROOM

    async def order(self) -> Order:
        """What it wants. Raises Refused."""
        try:
            async with asyncio.timeout(_ORDER_WITHIN):
                line = await self._reader.readuntil(b"\n")
            order = read_order(line)
        except TimeoutError:
            raise Refused(f"nothing was ordered within {_ORDER_WITHIN:g} s") from None
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, UnicodeDecodeError):
            raise Refused(f"expected one line of JSON such as {_EXAMPLE}") from None
        except msgspec.MsgspecError as wrong:
            raise Refused(f"expected one line of JSON such as {_EXAMPLE}; {wrong}") from None
        if order.version != VERSION:
            raise Refused(f"this gateway speaks version {VERSION} of the control protocol, not {order.version}")
        return order

    async def enough(self) -> None:
        """Until the caller ends its half, goes, or says more than one order."""
        with contextlib.suppress(ConnectionError):
            await self._reader.read(1)

    async def close(self) -> None:
        """Say what was not said yet, if it is read soon. What still comes is read and thrown away: closing with octets
        unread would make the kernel report an error to the caller in the place of our last words."""
        # RuntimeError: what uvloop says of a caller that has gone.
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                self._writer.write_eof()
                while await self._reader.read(LONGEST_ORDER):
                    pass
                self._writer.close()
                await self._writer.wait_closed()
        self._writer.transport.abort()


#: Does what is ordered until it is done, or the caller has enough. Raises Refused.
Command: TypeAlias = Callable[[Order, Caller], Awaitable[None]]


class Control:
    """The socket of one gateway."""

    def __init__(self, path: Path | None, commands: Mapping[str, Command]) -> None:
        """`path`: None for no socket at all."""
        self.path = path
        self.commands = commands
        self._server: asyncio.Server | None = None
        self._calls: set[asyncio.Task[None]] = set()
        #: Device and inode of the file.
        self._file = (0, 0)

    def __repr__(self) -> str:
        return f"<Control {self.path if self._server else 'closed'}: {len(self._calls)} callers>"

    @property
    def address(self) -> str:
        """The path, once it is open."""
        return str(self.path) if self._server else ""

    async def start(self) -> None:
        """Open it, or say in the log why not."""
        if self.path is None:
            return
        try:
            sock = _open(self.path)
        except (Unavailable, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            log.warning("no control socket", path=str(self.path), reason=reason)
            return
        self._file = _identity(self.path)
        self._server = await asyncio.start_unix_server(self._called, sock=sock, limit=LONGEST_ORDER)

    async def stop(self) -> None:
        """Tell all callers, and remove the file."""
        if self._server is None or self.path is None:
            return
        with contextlib.suppress(OSError):
            if _identity(self.path) == self._file:
                self.path.unlink()
        self._server.close()
        self._server = None
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    async def _called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = asyncio.current_task()
        assert call is not None
        pid, uid = _credentials(writer.get_extra_info("socket"))
        caller = Caller(reader, writer, pid, uid)
        self._calls.add(call)
        try:
            if uid not in (os.geteuid(), 0):
                log.warning("caller refused", uid=uid, pid=pid)
                raise Refused("only the gateway's own user and root may call")
            if len(self._calls) > _CALLERS:
                raise Refused(f"{_CALLERS} callers are connected, which is the limit")
            order = await caller.order()
            command = self.commands.get(order.command)
            if command is None:
                raise Refused(f"this gateway has no command {order.command!r}; it has: {', '.join(self.commands)}")
            await command(order, caller)
        except Refused as refused:
            caller.say(Sorry(reason=str(refused)))
        except asyncio.CancelledError:
            caller.say(Over(reason="the gateway stops"))
        except ConnectionError:
            pass
        except Exception:
            log.exception("command failed", pid=pid)
            caller.say(Sorry(reason="a mistake of the gateway; its log has it"))
        finally:
            try:
                await caller.close()
            finally:
                self._calls.discard(call)


def _open(path: Path) -> socket.socket:
    """A listening socket that nobody else can reach at any moment. Raises Unavailable and OSError."""
    if not hasattr(socket, "SO_PEERCRED"):
        raise Unavailable("this system does not tell who calls")
    octets = len(os.fsencode(path))
    if octets > _LONGEST_PATH:
        raise Unavailable(
            f"its path has {octets} octets and a Unix socket has room for {_LONGEST_PATH}: name a shorter one in "
            "[control] socket"
        )
    _make_room(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # The mode of a socket's file is what the mask leaves of 0777. Other threads only make files that are ours alone.
    mask = os.umask(0o177)
    try:
        sock.bind(str(path))
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(mask)
    sock.setblocking(False)
    return sock


def _make_room(path: Path) -> None:
    """Remove what a dead gateway left. Raises Unavailable where somebody lives, or something else lies there."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise Unavailable("something else has this name, which is left alone")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # A backlog that is full would make us wait, and belongs to somebody who lives.
        probe.setblocking(False)
        reached = probe.connect_ex(str(path))
    if reached == errno.ECONNREFUSED:
        path.unlink(missing_ok=True)
    elif reached != errno.ENOENT:
        raise Unavailable("another gateway, which runs, listens there")


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino


def _credentials(sock: socket.socket) -> tuple[int, int]:
    """Process and user at the other end, as they were when it connected."""
    pid, uid, _ = _CREDENTIALS.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return pid, uid
