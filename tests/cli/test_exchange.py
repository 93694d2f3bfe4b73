"""The PDUs of a message: what came as it came, and what we said as it can be rebuilt."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from pdu import DataSm, DataSmResp, DeliverSm, MessageState, Pdu, SubmitSm, SubmitSmResp, decode, encode
from smppbridge.cli.exchange import Exchanged, exchanged
from smppbridge.config import AccountConfig
from smppbridge.model import Kind, Message, Notify, Part, Progress, Receipt, Sms, Stage

NOON = 1_769_860_800_000
ACCOUNT = AccountConfig(allowed_networks=(ip_network("127.0.0.0/8"),))
FINAL = Progress(stage=Stage.FINAL, state=MessageState.DELIVERED, done_at=NOON + 5000)


def message(pdu: Pdu | None = None, **fields: Any) -> Message:
    known: dict[str, Any] = {
        "id": 101,
        "account": "demo",
        "bind": 1,
        "sequence": 7,
        "kind": Kind.SMS,
        "command": Sms(text="Hello"),
        "source": "Shop",
        "source_ton": 5,
        "source_npi": 0,
        "destination": "79991234567",
        "destination_ton": 1,
        "destination_npi": 1,
        "priority": 0,
        "registered_delivery": 1,
        "notify": Notify.SMPP,
        "data_coding": 0,
        "pdu": encode(pdu or SubmitSm(sequence_number=7, short_message=b"Hello")),
        "accepted_at": NOON,
        "expires": NOON + 86_400_000,
    }
    return Message(**{**known, **fields})


def part(number: int, id: int) -> Part:
    pdu = SubmitSm(sequence_number=number, short_message=b"part %d" % number)
    return Part(
        id=id,
        account="demo",
        bind=1,
        source="Shop",
        destination="79991234567",
        reference=1,
        total=2,
        number=number,
        registered_delivery=1,
        notify=Notify.SMPP,
        alphabet="gsm",
        pdu=encode(pdu),
        accepted_at=NOON,
        expires=NOON,
    )


def pdus(found: list[Exchanged]) -> list[Any]:
    return [decode(one.frame) for one in found]


def test_a_message_and_its_response() -> None:
    came, answered = exchanged(message(), (), (), ACCOUNT)
    assert (came.frame, came.received, came.note) == (message().pdu, True, "")
    assert not answered.received
    assert answered.note == "rebuilt from id, sequence_number and status"
    response = decode(answered.frame)
    assert isinstance(response, SubmitSmResp)
    assert (response.sequence_number, response.message_id, response.command_status) == (7, "101", 0)


def test_a_data_sm_has_its_own_response() -> None:
    found = pdus(exchanged(message(DataSm(sequence_number=9)), (), (), ACCOUNT))
    assert [type(pdu) for pdu in found] == [DataSm, DataSmResp]


def test_each_part_of_a_long_message_with_its_id() -> None:
    long = message(progress=FINAL, part_ids=(101, 102))
    found = pdus(exchanged(long, [part(1, 101), part(2, 102)], (), ACCOUNT))
    assert [(type(pdu).__name__, pdu.sequence_number) for pdu in found] == [
        ("SubmitSm", 1),
        ("SubmitSmResp", 1),
        ("SubmitSm", 2),
        ("SubmitSmResp", 2),
        ("DeliverSm", 0),
        ("DeliverSm", 0),
    ]
    assert [pdu.message_id for pdu in found if isinstance(pdu, SubmitSmResp)] == ["101", "102"]
    assert [pdu.short_message[:6] for pdu in found if isinstance(pdu, DeliverSm)] == [b"id:101", b"id:102"]


def test_a_receipt_that_waits_is_told_as_it_waits() -> None:
    waiting = Receipt(
        seq=1,
        account="demo",
        channel=Notify.SMPP,
        message=message(progress=FINAL),
        state=MessageState.DELIVERED,
        err=0,
        done_at=NOON,
        ids=(101,),
    )
    *_, receipt = exchanged(message(progress=FINAL), (), [waiting], ACCOUNT)
    assert receipt.note == "rebuilt from what waits in the outbox; its sequence_number is not known"
    assert b"stat:DELIVRD" in receipt.frame


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"progress": FINAL}, True),
        ({}, False),
        ({"progress": FINAL, "notify": Notify.NOBODY}, False),
        ({"progress": FINAL, "notify": Notify.HTTP}, False),
        ({"progress": FINAL, "registered_delivery": 2}, False),
    ],
)
def test_a_receipt_only_where_one_was_due(fields: dict[str, Any], told: bool) -> None:
    found = exchanged(message(**fields), (), (), ACCOUNT)
    assert len(found) == (3 if told else 2)


def test_settings_that_are_not_to_be_had_are_said() -> None:
    *_, receipt = exchanged(message(progress=FINAL, kind=Kind.HLR), (), (), None)
    assert receipt.note == (
        "rebuilt from the state it ended in, by default settings because the account's are not to be had; "
        "what the look-up found is not kept; its sequence_number is not known"
    )
