"""Every provider of conf/rehearsal.toml, by smpplib through the gateway and over real HTTP to the simulator.

What the simulator has processed would have been charged: whatever breaks on the way, it is one message.
"""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import smpplib.client
import smpplib.consts

from smppbridge.simulator.mischief import Fault, Misbehaviour
from smppbridge.simulator.server import Simulator
from smppbridge.simulator.vendor import Push, Reply, Settings, Vendor
from smppbridge.web.listener import Listener

from ..conftest import Running

SHIPPED = Path(__file__).parents[2] / "conf" / "rehearsal.toml"
#: Seconds until something that has to come counts as missing.
PATIENCE = 20.0


class Case(NamedTuple):
    """A provider of the configuration. The source address chooses it."""

    source: str
    vendor: str
    #: Where it sends; endings take the place of the last four digits.
    to: str
    #: What becomes of a message that was processed and whose answer never came.
    in_doubt: str


CASES = [
    Case("omnicell", "omnicell", "380631111111", "UNKNOWN"),
    Case("omnikey", "omnicell", "380631111111", "DELIVRD"),
    Case("smsgate", "smsgate", "79801234567", "DELIVRD"),
    Case("smsgate-xml", "smsgate", "79801234567", "DELIVRD"),
    Case("smsgate-get", "smsgate", "79801234567", "UNKNOWN"),
    Case("iba", "iba", "375291234567", "UNKNOWN"),
    Case("naimar", "naimar", "421901727051", "DELIVRD"),
    Case("smsc", "smsc", "79991234567", "DELIVRD"),
]
#: Providers without code of their own, by the descriptions that are shipped.
DESCRIBED = [
    Case("twilio", "twilio", "79991234567", "UNKNOWN"),
    Case("infobip", "infobip", "79991234567", "DELIVRD"),
]
EVERYBODY = [*CASES, *DESCRIBED]
#: What the descriptions read from the environment.
ENVIRONMENT = {
    "TWILIO_AUTH_TOKEN": "demo",
    "TWILIO_CALLBACK_TOKEN": "demo-callback-token",
    "INFOBIP_API_KEY": "demo",
    "INFOBIP_WEBHOOK_PASSWORD": "demo",
    "INFOBIP_CALLBACK_TOKEN": "demo-callback-token",
}


class Stage:
    """The simulator in a thread of its own, and a configuration that knows where everybody is."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self.smpp, self.http = free_port(), free_port()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="simulator")
        self.thread.start()
        # smsgate by GET would not answer a second question for a minute, so that is shorter, too.
        told = {"delay": 0.2, "retry": 0.1, "tries": 200, "minute": 0.2} | settings
        self.simulator = Simulator(Settings(callback=f"http://127.0.0.1:{self.http}", **told))
        self.listener: Listener = self.call(Listener.start(self.simulator, "127.0.0.1:0"))
        self.config = folder / "rehearsal.toml"
        self.config.write_text(self._configured(folder), encoding="utf-8")
        # As it is shipped: anybody may read it.
        self.config.chmod(0o644)

    def _configured(self, folder: Path) -> str:
        described = "".join(self._described(case.source) for case in DESCRIBED)
        # The first route that fits decides.
        text = SHIPPED.read_text(encoding="utf-8").replace("[[routes]]", f"{described}[[routes]]", 1)
        for old, new in (
            ("127.0.0.1:2775", f"127.0.0.1:{self.smpp}"),
            ("127.0.0.1:8080", f"127.0.0.1:{self.http}"),
            ("127.0.0.1:8099", self.listener.address),
            ("var/rehearsal.db", f"{folder}/rehearsal.db"),
            # Shorter still than in a rehearsal.
            ('timeout = "3s"', 'timeout = "600ms"'),
            ('poll_first = "2s"', 'poll_first = "300ms"'),
            ('retry_first = "1s"', 'retry_first = "100ms"'),
        ):
            assert old in text
            text = text.replace(old, new)
        return text

    def _described(self, name: str) -> str:
        """The provider of a description, aimed at the simulator, and a route to it."""
        text = SHIPPED.with_name(f"http-{name}.toml").read_text(encoding="utf-8")
        table = text[text.index(f"[providers.{name}]") : text.index("[[routes]]")]
        for old, new in (
            ('adapter = "http"', 'adapter = "http"\ntimeout = "3s"\nretry_first = "1s"\npoll_first = "2s"'),
            (
                {"twilio": "https://api.twilio.com", "infobip": "https://example.api.infobip.com"}[name],
                f"http://127.0.0.1:8099/{name}",
            ),
            ("https://sms.example.com", "http://127.0.0.1:8080"),
        ):
            assert old in table
            table = table.replace(old, new)
        return f'{table}\n[[routes]]\nsource = ["{name}"]\nproviders = ["{name}"]\n\n'

    def call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)

    def do(self, work: Callable[[], Any]) -> Any:
        """Something that takes no time, in the simulator's own loop."""

        async def done() -> Any:
            return work()

        return self.call(done())

    def vendor(self, case: Case) -> Vendor:
        return self.simulator.vendors[case.vendor]

    def misbehave(self, fault: Fault) -> None:
        """At the first request of each provider."""
        for name, vendor in self.simulator.vendors.items():
            times = sum(case.vendor == name for case in EVERYBODY)
            vendor.mischief.set(Misbehaviour(fault=fault, times=times, seconds=1))

    def write(self, vendor: str, reply: Reply) -> Push:
        push = self.do(lambda: self.simulator.write(vendor, reply))
        assert push is not None
        return push

    def close(self) -> None:
        async def closed() -> None:
            await self.simulator.close()
            await self.listener.stop()

        self.call(closed())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class Client:
    """An ordinary client, on smpplib."""

    def __init__(self, port: int) -> None:
        self.client = smpplib.client.Client("127.0.0.1", port, timeout=0.2, allow_unknown_opt_params=True)
        self.ids: list[str] = []
        self.receipts: dict[str, str] = {}
        self.incoming: list[Any] = []
        self.client.set_message_sent_handler(self._sent)
        self.client.set_message_received_handler(self._received)
        self.client.connect()
        self.client.bind_transceiver(system_id="demo", password="demo")

    def submit(self, text: str, case: Case, to: str = "", source: str = "") -> str:
        """The id that the gateway answers with."""
        before = len(self.ids)
        self.client.send_message(
            source_addr=source or case.source,
            destination_addr=to or case.to,
            short_message=text.encode("ascii"),
            registered_delivery=1,
        )
        self._read(lambda: len(self.ids) > before)
        return self.ids[-1]

    def stat(self, id: str) -> str:
        """The final state of a message, once its receipt has come."""
        self._read(lambda: id in self.receipts)
        found = re.search(r"stat:(\w+)", self.receipts[id])
        assert found
        return found[1]

    def next_incoming(self) -> Any:
        self._read(lambda: bool(self.incoming))
        return self.incoming.pop(0)

    def close(self) -> None:
        self.client.state = smpplib.consts.SMPP_CLIENT_STATE_OPEN
        self.client.disconnect()

    def _sent(self, pdu: Any) -> None:
        assert not pdu.is_error()
        self.ids.append(pdu.message_id.decode())

    def _received(self, pdu: Any) -> int:
        if pdu.receipted_message_id:
            self.receipts[pdu.receipted_message_id.decode().rstrip("\0")] = pdu.short_message.decode()
        else:
            self.incoming.append(pdu)
        return 0

    def _read(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline
            self.client.read_once()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def settings() -> dict[str, Any]:
    """For the simulator, where a test wants others."""
    return {}


@pytest.fixture
def stage(tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    stage = Stage(tmp_path, settings)
    yield stage
    stage.close()


@pytest.fixture
def run(stage: Stage) -> Iterator[Callable[[], Running]]:
    """Start the gateway; what runs is stopped at the end."""
    running: list[Running] = []

    def run() -> Running:
        running.append(Running(stage.config))
        return running[-1]

    yield run
    for gateway in running:
        gateway.stop()


@pytest.fixture
def connect(stage: Stage) -> Iterator[Callable[[], Client]]:
    clients: list[Client] = []

    def connect() -> Client:
        clients.append(Client(stage.smpp))
        return clients[-1]

    yield connect
    for client in clients:
        client.close()


Run = Callable[[], Running]
Connect = Callable[[], Client]


# Sending: all providers at once, for they do not know of each other ---------------------------------------------------


def send(client: Client, *, to: str = "") -> dict[str, str]:
    """A message by each provider, to its number or to one with another ending. Source → id."""
    return {
        case.source: client.submit(f"Hello & <all> by {case.source}", case, to=case.to[:-4] + to if to else case.to)
        for case in EVERYBODY
    }


def outcomes(client: Client, ids: dict[str, str]) -> dict[str, str]:
    return {source: client.stat(id) for source, id in ids.items()}


def processed(stage: Stage) -> dict[str, int]:
    """How often each message would have been charged. Source → times."""
    vendors = stage.simulator.vendors.values()

    def look() -> tuple[int, list[str]]:
        messages = [message for vendor in vendors for message in vendor.messages.values()]
        return sum(vendor.counts.processed for vendor in vendors), [message.text for message in messages]

    charged, texts = stage.do(look)
    # smsc would know two with the same id as one.
    assert charged == len(texts)
    times = dict.fromkeys((case.source for case in EVERYBODY), 0)
    for words, _, source in (text.rpartition(" by ") for text in texts):
        assert words == "Hello & <all>"
        times[source] += 1
    return times


ONCE = {case.source: 1 for case in EVERYBODY}
DELIVERED = {case.source: "DELIVRD" for case in EVERYBODY}
IN_DOUBT = {case.source: case.in_doubt for case in EVERYBODY}


@pytest.mark.journey
def test_messages_and_their_receipts(stage: Stage, run: Run, connect: Connect) -> None:
    run()
    client = connect()
    assert outcomes(client, send(client)) == DELIVERED
    assert processed(stage) == ONCE


@pytest.mark.journey
def test_a_refusal_costs_nothing(stage: Stage, run: Run, connect: Connect) -> None:
    run()
    client = connect()
    assert outcomes(client, send(client, to="0003")) == dict.fromkeys(DELIVERED, "REJECTD")
    assert processed(stage) == dict.fromkeys(ONCE, 0)


@pytest.mark.journey
@pytest.mark.parametrize("fault", [Fault.TIMEOUT, Fault.RESET, Fault.GARBLED, Fault.EMPTY])
def test_an_answer_that_is_lost_costs_nothing_more(stage: Stage, run: Run, connect: Connect, fault: Fault) -> None:
    run()
    client = connect()
    stage.misbehave(fault)
    assert outcomes(client, send(client)) == IN_DOUBT
    assert processed(stage) == ONCE


@pytest.mark.journey
def test_what_was_not_taken_goes_later(stage: Stage, run: Run, connect: Connect) -> None:
    run()
    client = connect()
    stage.misbehave(Fault.BUSY)
    assert outcomes(client, send(client)) == DELIVERED
    assert processed(stage) == ONCE


# Restarts ------------------------------------------------------------------------------------------------------------


@pytest.mark.journey
@pytest.mark.parametrize("settings", [{"delay": 1.0}], ids=["slow"])
def test_a_restart_between_sending_and_delivery(stage: Stage, run: Run, connect: Connect) -> None:
    first = run()
    client = connect()
    ids = send(client)
    until(lambda: processed(stage) == ONCE)
    client.close()
    first.stop()
    run()
    assert outcomes(connect(), ids) == DELIVERED
    assert processed(stage) == ONCE


@pytest.mark.journey
def test_a_crash_between_sending_and_recording(stage: Stage, run: Run, connect: Connect) -> None:
    """The providers have processed the requests, and the gateway dies before it has an answer."""
    stage.misbehave(Fault.TIMEOUT)
    # It has to live until the last one has been processed.
    stage.config.write_text(stage.config.read_text().replace('timeout = "600ms"', 'timeout = "30s"'))
    command = [sys.executable, "-m", "smppbridge", "serve", "--config", str(stage.config)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        until(lambda: reachable(stage.smpp))
        client = connect()
        ids = send(client)
        until(lambda: processed(stage) == ONCE)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE)
    client.close()
    run()
    assert outcomes(connect(), ids) == IN_DOUBT
    assert processed(stage) == ONCE


def reachable(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), PATIENCE).close()
    except ConnectionRefusedError:
        return False
    return True


# Messages of subscribers ---------------------------------------------------------------------------------------------


def written(stage: Stage, text: str) -> dict[str, Push]:
    """A subscriber writes by every vendor. Vendor → push."""
    replies = {
        name: Reply(source="421901727051", destination="7401", text=f"{text} by {name}")
        for name in stage.simulator.vendors
    }
    return {name: stage.write(name, reply) for name, reply in replies.items()}


def heard(client: Client, count: int) -> list[tuple[str, str, str]]:
    """What comes: from, to, text; in the order of the texts."""
    found = [client.next_incoming() for _ in range(count)]
    return sorted(
        ((pdu.source_addr.decode(), pdu.destination_addr.decode(), pdu.short_message.decode()) for pdu in found),
        key=lambda one: one[2],
    )


def expected(stage: Stage, text: str) -> list[tuple[str, str, str]]:
    """An interactive notification of Omnicell names no number of ours: it stands in the configuration."""
    return [
        ("421901727051", "4321" if name == "omnicell" else "7401", f"{text} by {name}")
        for name in sorted(stage.simulator.vendors)
    ]


@pytest.mark.journey
def test_subscribers_write_while_the_gateway_is_away(stage: Stage, run: Run, connect: Connect) -> None:
    pushes = written(stage, "Yes & <no>")
    until(lambda: all(push.tries >= 2 for push in pushes.values()))
    assert not any(push.done for push in pushes.values())
    run()
    assert heard(connect(), len(pushes)) == expected(stage, "Yes & <no>")
    until(lambda: all(push.done for push in pushes.values()))


@pytest.mark.journey
def test_a_message_that_is_pushed_again_comes_once(stage: Stage, run: Run, connect: Connect) -> None:
    run()
    client = connect()
    pushes = written(stage, "once")
    until(lambda: all(push.done for push in pushes.values()))

    def again() -> None:
        for push in pushes.values():
            push.done = False
            stage.simulator.push(push)

    stage.do(again)
    until(lambda: all(push.done for push in pushes.values()))
    more = written(stage, "then another")
    told = heard(client, len(pushes) + len(more))
    assert told == expected(stage, "once") + expected(stage, "then another")


# What only one of them has -------------------------------------------------------------------------------------------

NAIMAR = next(case for case in CASES if case.source == "naimar")
SMSC = next(case for case in CASES if case.source == "smsc")
SMSGATE = next(case for case in CASES if case.source == "smsgate")


@pytest.mark.journey
def test_a_billed_message_answers_one_of_the_subscriber(stage: Stage, run: Run, connect: Connect) -> None:
    run()
    client = connect()
    assert client.stat(client.submit("too early", NAIMAR, source="7401")) == "REJECTD"
    assert stage.vendor(NAIMAR).counts.requests == 0
    stage.write("naimar", Reply(source=NAIMAR.to, destination="7401", text="GO"))
    assert client.next_incoming().short_message == b"GO"
    assert client.stat(client.submit("Thank you", NAIMAR, source="7401")) == "DELIVRD"
    [message] = stage.vendor(NAIMAR).messages.values()
    assert message.what == "billed sms"


#: Text conventions, and as what smsc takes them. Binary data has a coding of its own.
KINDS = {
    "Hello": "sms",
    "__VIBER__: Hello": "viber",
    "__CALL__: Your code is 1 2 3 4\nvoice:w2\n~~~\nparam:25,60,3": "call",
    "__MAIL__: Hello\nsubj:Greetings\nto:somebody@example.com": "mail",
    "__SOC__: Hello": "soc",
    "__TGM__: 123456": "sms",
    "__BOT__: Hello\nbot:@my_bot": "sms",
    "__HLR__": "hlr",
    "__PING__": "ping",
}


@pytest.mark.journey
def test_smsc_takes_every_kind(stage: Stage, run: Run, connect: Connect) -> None:
    run()
    client = connect()
    ids = {text: client.submit(text, SMSC) for text in KINDS}
    assert outcomes(client, ids) == dict.fromkeys(KINDS, "DELIVRD")
    taken = sorted(message.what for message in stage.vendor(SMSC).messages.values())
    assert taken == sorted(KINDS.values())
    assert (
        "imsi:250023012345678 msc:79232510066 mcc:250 mnc:02 cn:Russian+Federation" in client.receipts[ids["__HLR__"]]
    )


@pytest.mark.journey
@pytest.mark.parametrize(
    ("source", "to", "what"),
    [
        ("omnicell", "380631111111", "OTT"),
        ("smsgate", "79801234567", "viber+vk+sms"),
        ("smsgate-xml", "79801234567", "viber+sms"),
    ],
)
def test_viber_with_line_breaks(stage: Stage, run: Run, connect: Connect, source: str, to: str, what: str) -> None:
    run()
    client = connect()
    case = Case(source, source.partition("-")[0], to, "")
    assert client.stat(client.submit("__VIBER__: one\ntwo \\ three & <four>", case)) == "DELIVRD"
    [message] = stage.vendor(case).messages.values()
    assert (message.what, message.text) == (what, "one\ntwo \\ three & <four>")


@pytest.mark.journey
def test_a_reply_in_viber(stage: Stage, run: Run, connect: Connect) -> None:
    run()
    client = connect()
    assert client.stat(client.submit("__VIBER__: Shall we?", SMSGATE)) == "DELIVRD"
    push = stage.write("smsgate", Reply(source=SMSGATE.to, destination="smsgate", text="We shall"))
    pdu = client.next_incoming()
    assert (pdu.source_addr, pdu.short_message) == (SMSGATE.to.encode(), b"We shall")
    until(lambda: push.done)


@pytest.mark.journey
def test_a_cascade_tells_which_channel_delivered(stage: Stage, run: Run, connect: Connect) -> None:
    gateway = run()
    client = connect()
    id = client.submit("__VIBER__: Hello", SMSGATE, to="79801230032")
    assert client.stat(id) == "DELIVRD"
    message = gateway.call(gateway.gateway.store.find(int(id)))
    # Every channel that was tried has its price.
    assert (message.progress.channel, message.progress.cost) == ("sms", "2.35")


@pytest.mark.journey
def test_a_partial_refusal_touches_its_own_messages_only(stage: Stage, run: Run, connect: Connect) -> None:
    run()
    client = connect()
    ending = {"one": "1111", "two": "0016", "three": "1112", "four": "0003"}
    ids = {text: client.submit(text, SMSGATE, to=f"7980123{digits}") for text, digits in ending.items()}
    assert outcomes(client, ids) == {"one": "DELIVRD", "two": "REJECTD", "three": "DELIVRD", "four": "REJECTD"}
