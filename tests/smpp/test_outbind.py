"""When a client is called, and whom a call may reach."""

import asyncio
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from pdu import BindReceiver, BindTransmitter, Framer, Outbind, decode, encode
from smppbridge.config import AccountConfig, SmppConfig
from smppbridge.smpp.admission import Admission, Doorkeeper
from smppbridge.smpp.outbind import Callers, Pace
from smppbridge.smpp.server import SmppServer


def test_pauses_double_up_to_ten_times_the_first() -> None:
    pace, now, pauses = Pace(30_000), 0, []
    assert pace.may_call(0)
    for _ in range(6):
        pauses.append(pace.failed(now) // 1000)
        assert not pace.may_call(now + pauses[-1] * 1000 - 1)
        now += pauses[-1] * 1000
        assert pace.may_call(now)
    assert pauses == [30, 60, 120, 240, 300, 300]
    pace.succeeded(now)
    assert not pace.may_call(now + 29_999)
    assert pace.may_call(now + 30_000)
    assert pace.failed(now) == 30_000


@given(st.integers(0, 60_000), st.lists(st.tuples(st.booleans(), st.integers(0, 10_000)), max_size=40))
def test_never_more_often_than_each_retry(retry: int, story: list[tuple[bool, int]]) -> None:
    pace, now, last = Pace(retry), 0, None
    for works, waited in story:
        now += waited
        if not pace.may_call(now):
            continue
        assert last is None or now - last >= max(retry, 1000)
        last = now
        if works:
            pace.succeeded(now)
        else:
            assert max(retry, 1000) <= pace.failed(now) <= 10 * max(retry, 1000)


# Against a listening client -------------------------------------------------------------------------------------------


class Desk:
    """An application that lets in whom the doorkeeper lets in."""

    def __init__(self, accounts: dict[str, AccountConfig]) -> None:
        self.doorkeeper = Doorkeeper(accounts)

    async def admit(self, request: Any, peer: str, certificate: Any) -> Admission:
        return await self.doorkeeper.admit(request, peer, certificate)

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


class Client:
    """Waits to be called and binds, or does not."""

    def __init__(self, bind: Any) -> None:
        self.bind = bind
        self.calls = 0
        self.answered = asyncio.Event()

    async def called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls += 1
        framer = Framer(4096)
        while data := await reader.read(4096):
            framer.feed(data)
            while frame := framer.next():
                if isinstance(decode(frame), Outbind) and self.bind:
                    writer.write(encode(self.bind(system_id="demo", password="x", sequence_number=1)))
                else:
                    self.answered.set()
        writer.close()


def story(work: Any, *, bind: Any = BindReceiver, waits: Any = None, smpp: Any = None, **account: Any) -> list[Any]:
    """Run a story; returns the log."""

    async def whole() -> None:
        client = Client(bind)
        listening = await asyncio.start_server(client.called, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        values = {"password": "x", "allowed_networks": ["127.0.0.0/8"], "outbind": {"address": f"127.0.0.1:{port}"}}
        accounts = {"demo": AccountConfig.model_validate(values | account)}
        desk: Any = Desk(accounts)
        server = SmppServer(SmppConfig.model_validate({"listeners": []} | (smpp or {})), desk, tick=0.02)
        await server.start()

        async def yes(account: str) -> bool:
            return True

        callers = Callers(server, accounts, waits or yes)
        try:
            await work(server, callers, client)
        finally:
            await callers.close()
            await server.stop(0.1)
            listening.close()

    with structlog.testing.capture_logs() as log:
        asyncio.run(whole())
    return log


async def until(what: Any) -> None:
    async with asyncio.timeout(5):
        while not what():  # noqa: ASYNC110 (nobody is told of everything that is waited for here)
            await asyncio.sleep(0.01)


def test_it_is_called_once_however_often_we_look() -> None:
    async def work(server: SmppServer, callers: Callers, client: Client) -> None:
        for _ in range(5):
            callers.look()
        await until(lambda: server.bound.receivers("demo"))
        callers.look()
        assert client.calls == 1
        assert server.guard.connections == 1
        assert server.guard.unbound == 0

    log = story(work)
    assert [line["account"] for line in log if line["event"] == "outbind"] == ["demo"]


def test_who_binds_as_transmitter_is_bound_and_not_called_again_meanwhile() -> None:
    async def work(server: SmppServer, callers: Callers, client: Client) -> None:
        callers.look()
        await until(lambda: server.bound.of("demo"))
        callers.look()
        await until(lambda: not callers._calling)
        assert client.calls == 1
        (link,) = server.bound.of("demo")
        link.close("test")
        await until(lambda: not server.links)
        callers.look()
        assert client.calls == 1

    log = story(work, bind=BindTransmitter)
    (failed,) = [line for line in log if line["event"] == "outbind failed"]
    assert failed["reason"] == "it did not bind as receiver or transceiver"


async def _broken(account: str) -> bool:
    raise OSError("the disk is full")


async def _nothing(account: str) -> bool:
    return False


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"outbind": {"address": "127.0.0.1:1"}}, "Connection refused"),
        ({"allowed_networks": ["192.0.2.0/24"]}, "127.0.0.1 is not in allowed_networks"),
        ({"waits": _broken}, "the disk is full"),
        ({"waits": _nothing}, None),
    ],
)
def test_who_is_not_reached(settings: dict[str, Any], reason: str | None) -> None:
    async def work(server: SmppServer, callers: Callers, client: Client) -> None:
        callers.look()
        await until(lambda: not callers._calling)
        assert server.guard.connections == len(server.links)

    failed = [line for line in story(work, **settings) if line["event"] == "outbind failed"]
    if reason is None:
        assert failed == []
    else:
        assert reason in failed[0]["reason"]
        assert failed[0]["again_in"] == 30


def test_a_limit_of_connections_holds_for_calls_too() -> None:
    async def work(server: SmppServer, callers: Callers, client: Client) -> None:
        for _ in range(server.config.max_connections):
            server.guard.connections += 1
        callers.look()
        await until(lambda: not callers._calling)
        assert client.calls == 0

    (failed,) = [line for line in story(work, smpp={"max_connections": 3}) if line["event"] == "outbind failed"]
    assert failed["reason"] == "max_connections is reached"


def test_who_is_no_longer_to_be_called_is_hung_up_on_unless_bound() -> None:
    async def work(server: SmppServer, callers: Callers, client: Client) -> None:
        callers.look()
        await until(lambda: server.links and not callers._calling)
        callers.reload({})
        await until(lambda: not server.links)

    story(work, bind=None)

    async def bound(server: SmppServer, callers: Callers, client: Client) -> None:
        callers.look()
        await until(lambda: server.bound.receivers("demo"))
        callers.reload({})
        await client.answered.wait()
        assert len(server.bound.receivers("demo")) == 1

    story(bound)
