"""The wording of receipts, held against the expressions that clients read them with."""

import re
from urllib.parse import parse_qs

import pytest

from pdu import MessageState, Tag, VendorTag, encode
from smppbridge.config import AccountConfig, Dialect
from smppbridge.delivery.receipts import deliver_sm, receipt_text, vendor_type
from smppbridge.model import (
    KIND_OF,
    Binary,
    Command,
    Hlr,
    HlrResult,
    Message,
    Notify,
    Ping,
    Progress,
    Receipt,
    Sms,
    TelegramCode,
    Viber,
    text_of,
)

ACCOUNT = AccountConfig(password="x", allowed_networks=())
# 2026-11-21 12:00 and 12:01 UTC
SUBMITTED, DONE = 1_795_262_400_000, 1_795_262_460_000
ID = 855469

# The two recipes of the vendor's documentation: a regular expression, and strtr(": ", "=&") with parse_str.
HLR_EXPRESSION = re.compile(
    r"^id:(\d+) stat:(\w+) err:(\d+) imsi:(\d*) msc:(\d*) mcc:(\d*) mnc:(\d*) "
    r"cn:([^ ]*) net:([^ ]*) rcn:([^ ]*) rnet:([^ ]*)"
)


def parse_str(line: str) -> dict[str, str]:
    query = line.translate(str.maketrans(": ", "=&"))
    return {key: values[0] for key, values in parse_qs(query, keep_blank_values=True).items()}


def make_receipt(
    command: Command,
    state: MessageState = MessageState.DELIVERED,
    err: int = 0,
    hlr: HlrResult | None = None,
    **progress,
) -> Receipt:
    message = Message(
        id=ID,
        account="demo",
        bind=1,
        sequence=1,
        kind=KIND_OF[type(command)],
        command=command,
        source="SENDER",
        source_ton=5,
        source_npi=0,
        destination="79991234567",
        destination_ton=1,
        destination_npi=1,
        priority=0,
        registered_delivery=1,
        notify=Notify.SMPP,
        data_coding=0,
        pdu=b"",
        accepted_at=SUBMITTED,
        expires=SUBMITTED + 1,
        progress=Progress(**progress),
    )
    return Receipt(
        seq=1,
        account="demo",
        channel=Notify.SMPP,
        message=message,
        state=state,
        err=err,
        done_at=DONE,
        hlr=hlr,
        ids=(ID,),
    )


def test_an_ordinary_receipt_is_the_appendix_b_line():
    line = receipt_text(make_receipt(Sms(text="Hello, how are you today?"), parts=1), ID, "UTC", Dialect())
    assert line == (
        "id:855469 sub:001 dlvrd:001 submit date:2611211200 done date:2611211201 stat:DELIVRD err:000 "
        "text:Hello, how are you t"
    )


@pytest.mark.parametrize(
    ("expression", "found"), [(r"^id:(.*) sub:", "855469"), (r"stat:([A-Z]+)", "UNDELIV"), (r"err:([0-9]+)", "006")]
)
def test_public_clients_of_the_vendor_find_what_they_look_for(expression, found):
    line = receipt_text(make_receipt(Sms(text="x"), MessageState.UNDELIVERABLE, err=6), ID, "UTC", Dialect())
    assert re.search(expression, line)[1] == found


def test_parts_are_counted_and_only_a_delivered_message_has_delivered_parts():
    assert " sub:003 dlvrd:003 " in receipt_text(make_receipt(Sms(text="x"), parts=3), ID, "UTC", Dialect())
    assert " sub:003 dlvrd:000 " in receipt_text(
        make_receipt(Sms(text="x"), MessageState.EXPIRED, parts=3), ID, "UTC", Dialect()
    )


def test_dates_are_in_the_time_zone_of_the_account():
    assert "submit date:2611211400" in receipt_text(make_receipt(Sms(text="x")), ID, "Europe/Kyiv", Dialect())


FOUND = HlrResult(
    imsi="250023012345678",
    msc="79232510066",
    mcc="250",
    mnc="02",
    cn="Russian Federation",
    net="MegaFON open Joint Stock Company",
)


def test_an_hlr_receipt_satisfies_both_recipes_of_the_vendor():
    line = receipt_text(make_receipt(Hlr(), hlr=FOUND), ID, "UTC", Dialect())
    assert line == (
        "id:855469 stat:DELIVRD err:000 imsi:250023012345678 msc:79232510066 mcc:250 mnc:02 "
        "cn:Russian+Federation net:MegaFON+open+Joint+Stock+Company rcn: rnet:"
    )
    assert HLR_EXPRESSION.match(line).groups()[7:9] == ("Russian+Federation", "MegaFON+open+Joint+Stock+Company")
    assert parse_str(line)["cn"] == "Russian Federation"
    assert parse_str(line)["rnet"] == ""


def test_an_hlr_look_up_that_found_nothing_still_has_every_key():
    line = receipt_text(make_receipt(Hlr(), MessageState.UNDELIVERABLE, err=1), ID, "UTC", Dialect())
    assert HLR_EXPRESSION.match(line).groups() == ("855469", "UNDELIV", "001", *[""] * 8)


def test_a_name_cannot_break_the_line():
    evil = HlrResult(cn="a b:c&d=e imsi:1", imsi="25 0:0", net="Ж")
    line = receipt_text(make_receipt(Hlr(), hlr=evil), ID, "UTC", Dialect())
    assert HLR_EXPRESSION.match(line)
    assert parse_str(line)["cn"] == "a b:c&d=e imsi:1"
    assert parse_str(line)["imsi"] == "2500"


def test_a_ping_answers_with_an_ordinary_receipt():
    assert receipt_text(make_receipt(Ping()), ID, "UTC", Dialect()).endswith("stat:DELIVRD err:000 text:")


def test_addresses_are_swapped_and_the_parameters_tell_the_same():
    pdu = deliver_sm(make_receipt(Sms(text="x"), err=0, cost="1.40", parts=2), ID, ACCOUNT, 0x34)
    assert (pdu.source_addr_ton, pdu.source_addr_npi, pdu.source_addr) == (1, 1, "79991234567")
    assert (pdu.dest_addr_ton, pdu.dest_addr_npi, pdu.destination_addr) == (5, 0, "SENDER")
    assert pdu.esm_class == 0x04
    assert pdu.option(Tag.RECEIPTED_MESSAGE_ID) == "855469"
    assert pdu.option(Tag.MESSAGE_STATE) == 2
    assert pdu.tlv(Tag.NETWORK_ERROR_CODE) == b"\x03\x00\x00"
    assert pdu.tlv(VendorTag.SMSC_COST) == b"1.40\0"
    assert pdu.tlv(VendorTag.SMSC_FLAGS) == b"\0\0"
    assert pdu.tlv(VendorTag.SMSC_PARTS) == b"\0\2"
    encode(pdu)


@pytest.mark.parametrize(
    ("cost", "told"),
    [
        ("1.40", b"1.40\0"),
        ("0.0500", b"0.050\0"),
        ("123.456789", b"123.4\0"),
        ("1234.56", b"1234\0"),
        ("12345.6", b"12345\0"),
        ("123456", None),
        ("", None),
    ],
)
def test_a_price_that_is_longer_than_its_parameter_loses_decimals(cost, told):
    pdu = deliver_sm(make_receipt(Sms(text="x"), cost=cost), ID, ACCOUNT, 0x34)
    assert pdu.tlv(VendorTag.SMSC_COST) == told
    encode(pdu)


def test_the_vendor_parameters_can_be_switched_off():
    plain = ACCOUNT.model_copy(update={"vendor_tlvs": False})
    pdu = deliver_sm(make_receipt(Sms(text="x"), cost="1.40", parts=2), ID, plain, 0x34)
    assert [tag for tag, _ in pdu.tlvs] == [Tag.RECEIPTED_MESSAGE_ID, Tag.MESSAGE_STATE, Tag.NETWORK_ERROR_CODE]


def test_a_client_of_3_3_gets_no_parameters():
    assert not deliver_sm(make_receipt(Sms(text="x")), ID, ACCOUNT, 0x33).tlvs


def test_a_state_that_is_not_final_is_an_intermediate_notification():
    assert deliver_sm(make_receipt(Sms(text="x"), MessageState.ENROUTE), ID, ACCOUNT, 0x34).esm_class == 0x20


def test_a_line_longer_than_short_message_goes_as_payload():
    long = HlrResult(cn="Ж" * 60, net="Щ" * 40)
    pdu = deliver_sm(make_receipt(Hlr(), hlr=long), ID, ACCOUNT, 0x34)
    assert pdu.short_message == b""
    assert HLR_EXPRESSION.match(pdu.tlv(Tag.MESSAGE_PAYLOAD).decode("ascii"))


@pytest.mark.parametrize(
    ("command", "number"),
    [(Sms(text="x"), 0), (Sms(text="x", flash=True), 1), (Hlr(), 4), (Ping(), 5), (Viber(text="x"), 10)],
)
def test_the_vendor_has_a_number_for_every_type(command, number):
    assert vendor_type(make_receipt(command).message) == number


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (Viber(text="hi"), "hi"),
        (TelegramCode(code="1234"), "1234"),
        (Binary(data=b"x", data_coding=4), ""),
        (Hlr(), ""),
    ],
)
def test_the_receipt_repeats_what_was_sent_not_what_was_submitted(command, text):
    assert text_of(command) == text
