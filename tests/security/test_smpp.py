"""Clients that mean no good, before and after their bind, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import pytest

from pdu import (
    CancelSm,
    CommandStatus,
    DeliverSm,
    EnquireLink,
    QuerySm,
    ReplaceSm,
    SmeAddress,
    SubmitMulti,
    Tag,
    tlv,
)
from smppbridge.config import AccountConfig
from smppbridge.smpp import admission
from smppbridge.smpp.admission import Doorkeeper, hash_password
from smppbridge.smpp.events import BindRequest

OTHER = """
[accounts.other]
password = "other"
allowed_networks = ["127.0.0.0/8"]
"""
#: From networks that this machine is not in.
STRANGER = """
[accounts.shop]
password = "shop"
allowed_networks = ["192.0.2.0/24"]
"""

Start = Callable[..., Any]
Connect = Callable[..., Any]


@pytest.mark.journey
def test_ids_of_others_open_nothing_and_do_not_even_show_that_they_are_there(start: Start, connect: Connect) -> None:
    """Ids are ordered in time, so anybody can guess some."""
    gateway = start(OTHER)
    owner, other = connect(gateway), connect(gateway)
    owner.bind()
    other.bind(system_id="other", password="other")
    later = "000000100000000R"
    id = owner.submit("mine", schedule_delivery_time=later).message_id
    nobody = str(int(id) + 1)

    def tried(esme: Any, id: str) -> list[CommandStatus]:
        asked = (
            QuerySm(message_id=id, source_addr="TEST"),
            CancelSm(message_id=id, source_addr="TEST"),
            CancelSm(source_addr="TEST", destination_addr="79991234567"),
            ReplaceSm(message_id=id, source_addr="TEST", short_message=b"other"),
        )
        return [esme.ask(one).command_status for one in asked]

    statuses = tried(other, id)
    assert CommandStatus.ESME_ROK not in statuses
    assert statuses == tried(other, nobody)
    mine = owner.ask(QuerySm(message_id=id, source_addr="TEST"))
    assert mine.command_status == 0
    assert owner.ask(CancelSm(message_id=id, source_addr="TEST")).command_status == 0


@pytest.mark.journey
def test_receipts_go_to_the_account_of_the_message_alone(start: Start, connect: Connect) -> None:
    gateway = start(OTHER)
    owner, other = connect(gateway), connect(gateway, timeout=1)
    owner.bind()
    other.bind(system_id="other", password="other")
    sent = owner.submit("mine")
    assert list(owner.receipts(1)) == [sent.message_id]
    with pytest.raises(TimeoutError):
        other.receive()


@pytest.mark.journey
def test_a_receipt_that_a_client_makes_up_changes_nothing(start: Start, connect: Connect) -> None:
    gateway = start(OTHER)
    owner, other = connect(gateway), connect(gateway)
    owner.bind()
    other.bind(system_id="other", password="other")
    id = owner.submit("mine", schedule_delivery_time="000000100000000R").message_id
    text = f"id:{id} sub:001 dlvrd:001 submit date:2601010000 done date:2601010000 stat:DELIVRD err:000 text:".encode()
    made_up = DeliverSm(
        source_addr="79991234567",
        destination_addr="TEST",
        esm_class=0x04,
        short_message=text,
        tlvs=[tlv(Tag.RECEIPTED_MESSAGE_ID, id), tlv(Tag.MESSAGE_STATE, 2)],
    )
    for esme in (owner, other):
        made_up.sequence_number = 0
        assert esme.ask(made_up).command_status != CommandStatus.ESME_ROK
    assert owner.ask(QuerySm(message_id=id, source_addr="TEST")).message_state != 2
    # And a SUBMIT_SM that looks like one is a message, and nothing else.
    assert other.submit(text, esm_class=0x04).message_id != id
    assert owner.ask(QuerySm(message_id=id, source_addr="TEST")).message_state != 2


@pytest.mark.journey
def test_a_submit_multi_counts_for_each_destination(start: Start, connect: Connect) -> None:
    """254 messages by one PDU must not pass where 254 PDUs would not."""
    gateway = start(**{'password = "demo"': 'password = "demo"\nper_day = 10'})
    esme = connect(gateway)
    esme.bind()
    many = [SmeAddress(destination_addr=f"7999{n:07}") for n in range(254)]
    answer = esme.ask(SubmitMulti(source_addr="TEST", dest_addresses=many, short_message=b"Hi"))
    # All of them or none, or so many: never more than the account may.
    accepted = 0 if answer.command_status else len(many) - len(answer.unsuccess_smes)
    assert accepted <= 10
    assert gateway.gateway.submission.accounts["demo"].accepted <= 10


@pytest.mark.journey
def test_who_is_on_the_way_sends_no_proxy_header_of_his_own(start: Start, connect: Connect) -> None:
    """To a listener without `proxy_from` it is a lost framing, whomever it names."""
    gateway = start(STRANGER)
    for header in (b"PROXY TCP4 192.0.2.7 127.0.0.1 40000 2775\r\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12)):
        esme = connect(gateway)
        esme.socket.sendall(header)
        with pytest.raises((EOFError, ConnectionError)):
            esme.bind(system_id="shop", password="shop")
    assert not gateway.gateway.bound.links


@pytest.mark.journey
def test_a_flood_of_http_leaves_smpp_alone(start: Start, connect: Connect) -> None:
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    host, port = gateway.gateway.http_address.rsplit(":", 1)
    octets = b"GET /callback/sandbox/guess HTTP/1.1\r\nHost: x\r\n\r\n"
    stop = False

    async def flood() -> None:
        while not stop:
            reader, writer = await asyncio.open_connection(host, int(port))
            with contextlib.suppress(OSError):
                writer.write(octets * 200)
                await reader.read(65536)
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def both() -> list[float]:
        nonlocal stop
        attackers = [asyncio.create_task(flood()) for _ in range(50)]

        def asked() -> list[float]:
            seconds = []
            for _ in range(50):
                began = time.monotonic()
                assert esme.ask(EnquireLink()).command_status == 0
                seconds.append(time.monotonic() - began)
            return sorted(seconds)

        seconds = await asyncio.to_thread(asked)
        assert esme.submit("through").command_status == 0
        stop = True
        await asyncio.gather(*attackers)
        return seconds

    # Within a second, as is said of every flood; it takes a sixth of one. Two may meet what else the machine does.
    seconds = asyncio.run(both())
    assert seconds[-3] < 1
    assert seconds[-1] < 3
    assert gateway.gateway.http_door.refused["pipelining"] > 0


# Who may bind --------------------------------------------------------------------------------------------------------


def ask(system_id: str, peer: str, hashed: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(admission, "verify_password", lambda *given: hashed.append(given[0]) or False)
    account = AccountConfig(allowed_networks=("192.0.2.0/24",), password_hash=hash_password("secret"))  # type: ignore[arg-type]
    request = BindRequest(
        system_id=system_id, password="guess", bind_type="transceiver", system_type="", interface_version=0x34
    )  # fmt: skip
    found = asyncio.run(Doorkeeper({"shop": account}).admit(request, peer))
    return found.status


@pytest.mark.parametrize("peer", ["203.0.113.7:1", "[2001:db8::1]:1", "[::ffff:203.0.113.7]:1", "[::]:1", ":1", "x:1"])
def test_a_stranger_learns_no_name_and_costs_no_hash(peer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same answer in the same time: neither looks at a password."""
    hashed: list[str] = []
    assert ask("shop", peer, hashed, monkeypatch) == ask("nobody", peer, hashed, monkeypatch)
    assert hashed == []


def test_an_address_mapped_into_ipv6_is_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    assert ask("shop", "[::ffff:192.0.2.7]:1", hashed, monkeypatch) == CommandStatus.ESME_RINVPASWD
    assert hashed == ["guess"]
