"""The wording of receipts, held against the expressions that clients read them with."""

import re
from urllib.parse import parse_qs

import pytest

from pdu import MessageState, Tag, VendorTag, encode
from smppbridge.config import AccountConfig, Dialect
from smppbridge.delivery.data_sm import as_data_sm, carries_data_sm
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


@pytest.mark.parametrize(
    ("state", "version", "told"),
    [
        (MessageState.SKIPPED, 0x50, 9),
        (MessageState.SKIPPED, 0x34, 5),
        (MessageState.SCHEDULED, 0x50, 0),
        (MessageState.SCHEDULED, 0x34, 1),
        (MessageState.DELIVERED, 0x34, 2),
    ],
)
def test_a_client_of_3_4_is_told_no_state_that_only_5_0_has(state, version, told):
    account = ACCOUNT.model_copy(update={"dialect": Dialect(receipt_text="{id} {state}")})
    pdu = deliver_sm(make_receipt(Sms(text="x"), state), ID, account, version)
    assert (pdu.option(Tag.MESSAGE_STATE), pdu.short_message) == (told, b"855469 %d" % told)


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


# Dialects ------------------------------------------------------------------------------------------------------------

# What Kannel's SMPP client scans a receipt with, as an expression: one sscanf() with these widths, all seven of them or
# it searches for "id:", "stat:" and "err:" one by one.
KANNEL = re.compile(
    r"id:(?P<id>[^ ]{1,64}) sub:\d+ dlvrd:\d+ submit date:[0-9]{1,14} done date:[0-9]{1,14} "
    r"stat:(?P<stat>[^ ]{1,15}) err:(?P<err>[^ ]{1,3})(?: |$)"
)
# What Jasmin's SMPP client looks for, one by one; an id and a state are enough, from the line or from TLVs.
JASMIN = [
    re.compile(pattern)
    for pattern in (
        r"id:(?P<id>[\dA-Za-z-_]+)",
        r"sub:(?P<sub>\d{3})",
        r"dlvrd:(?P<dlvrd>\d{3})",
        r"submit date:(?P<sdate>\d+)",
        r"done date:(?P<ddate>\d+)",
        r"stat:(?P<stat>\w{7})",
        r"err:(?P<err>\w{3})",
        r"text:(?P<text>.*)",
    )
]
LINE = (
    "id:855469 sub:001 dlvrd:000 submit date:2611211200 done date:2611211201 stat:UNDELIV err:006 "
    "text:Hello, how are you t"
)
OFFICIAL = [Tag.RECEIPTED_MESSAGE_ID, Tag.MESSAGE_STATE, Tag.NETWORK_ERROR_CODE]
VENDORS = [VendorTag.SMSC_COST, VendorTag.SMSC_FLAGS, VendorTag.SMSC_PARTS]


def told(dialect, version=0x34, command=None, **about):
    command = command or Sms(text="Hello, how are you today?")
    receipt = make_receipt(command, MessageState.UNDELIVERABLE, err=6, cost="1.40", parts=1, **about)
    account = AccountConfig.model_validate({"allowed_networks": [], "dialect": dialect})
    pdu = deliver_sm(receipt, ID, account, version)
    encode(pdu)
    return pdu


@pytest.mark.parametrize(
    ("profile", "tags"),
    [("smsc.ru", OFFICIAL + VENDORS), ("kannel", OFFICIAL), ("jasmin", OFFICIAL), ("spec", OFFICIAL)],
)
def test_what_each_profile_is_told(profile, tags):
    pdu = told(profile)
    assert pdu.short_message.decode("ascii") == LINE
    assert [tag for tag, _ in pdu.tlvs] == tags
    assert pdu.option(Tag.RECEIPTED_MESSAGE_ID) == "855469"


@pytest.mark.parametrize("profile", ["smsc.ru", "kannel", "jasmin", "spec"])
@pytest.mark.parametrize("state", list(MessageState))
def test_kannel_and_jasmin_read_every_profile_and_every_state(profile, state):
    line = receipt_text(make_receipt(Sms(text="id:1 stat:X err:9"), state, err=42), ID, "UTC", Dialect(like=profile))
    scanned = KANNEL.match(line)
    assert (scanned["id"], scanned["err"], len(scanned["stat"])) == ("855469", "042", 7)
    found = {name: value for one in JASMIN for name, value in one.search(line).groupdict().items()}
    assert (found["id"], found["stat"], found["err"]) == ("855469", scanned["stat"], "042")
    assert (found["sdate"], found["ddate"]) == ("2611211200", "2611211201")


def test_jasmin_and_kannel_find_an_hlr_look_up_too():
    line = receipt_text(make_receipt(Hlr(), hlr=FOUND), ID, "UTC", Dialect(like="jasmin"))
    assert JASMIN[0].search(line)["id"] == "855469"
    assert JASMIN[5].search(line)["stat"] == "DELIVRD"
    assert KANNEL.match(line) is None
    assert "id:855469 stat:DELIVRD err:000 " in line


@pytest.mark.parametrize(
    ("dialect", "line"),
    [
        ({"receipt_ids": "hex"}, LINE.replace("855469", "D0DAD")),
        ({"receipt_ids": "hex", "receipt_id_length": 8}, LINE.replace("855469", "000D0DAD")),
        ({"receipt_id_length": 10}, LINE.replace("855469", "0000855469")),
        ({"response_ids": "hex"}, LINE),
        ({"receipt_dates": "YYMMDDhhmmss"}, LINE.replace("211200", "21120000").replace("211201", "21120100")),
        ({"receipt_dates": "YYYYMMDDhhmm"}, LINE.replace("261121", "20261121")),
        (
            {"receipt_dates": "YYYYMMDDhhmmss"},
            LINE.replace("2611211200", "20261121120000").replace("2611211201", "20261121120100"),
        ),
        # As Jasmin's own server words it.
        (
            {
                "receipt_text": "id:{id} submit date:{submit_date} done date:{done_date} stat:{stat} err:{err}",
                "receipt_dates": "YYYYMMDDhhmm",
            },
            "id:855469 submit date:202611211200 done date:202611211201 stat:UNDELIV err:006",
        ),
        (
            {"receipt_text": "100% {id}: {state} {source}>{destination} {cost} %s %(id)s {sub}/{dlvrd}"},
            "100% 855469: 5 SENDER>79991234567 1.40 %s %(id)s 001/000",
        ),
    ],
)
def test_how_a_line_can_differ(dialect, line):
    assert told(dialect).short_message.decode("ascii") == line


def test_the_id_is_the_same_in_line_and_parameter():
    pdu = told({"receipt_ids": "hex", "receipt_id_length": 16})
    assert pdu.option(Tag.RECEIPTED_MESSAGE_ID) == "00000000000D0DAD"
    assert pdu.short_message.startswith(b"id:00000000000D0DAD ")
    hlr = told({"receipt_ids": "hex"}, command=Hlr())
    assert hlr.option(Tag.RECEIPTED_MESSAGE_ID) == "D0DAD"
    assert hlr.short_message.startswith(b"id:D0DAD stat:")


def test_seconds_are_those_of_the_moment():
    receipt = make_receipt(Sms(text="x"))
    receipt.message.accepted_at += 7_999
    line = receipt_text(receipt, ID, "UTC", Dialect(receipt_dates="YYMMDDhhmmss"))
    assert "submit date:261121120007 " in line
    assert "submit date:2611211200 " in receipt_text(receipt, ID, "UTC", Dialect())


def test_an_address_cannot_break_the_line():
    receipt = make_receipt(Sms(text="x"))
    receipt.message.source = "a\r\nb\xff{id}%s"
    line = receipt_text(receipt, ID, "UTC", Dialect(receipt_text="id:{id} from:{source}"))
    assert line == "id:855469 from:a  b??id?%s"


def test_without_parameters_a_long_line_is_cut():
    long = HlrResult(cn="Ж" * 60, net="Щ" * 40)
    pdu = told({"receipt_tlvs": False}, command=Hlr(), hlr=long)
    assert (pdu.tlvs, len(pdu.short_message)) == ([], 254)
    assert told({"receipt_tlvs": False}).tlvs == []
    assert told({"receipt_tlvs": False}).short_message.decode("ascii") == LINE


def test_a_data_sm_says_the_same():
    dialect = {"deliver_with": "data_sm"}
    plain = told(dialect)
    pdu = as_data_sm(plain)
    assert pdu.tlv(Tag.MESSAGE_PAYLOAD).decode("ascii") == LINE
    assert [tag for tag, _ in pdu.tlvs] == [*OFFICIAL, *VENDORS, Tag.MESSAGE_PAYLOAD]
    assert pdu.esm_class == 0x04
    for name in ("source_addr", "source_addr_ton", "destination_addr", "dest_addr_ton", "data_coding"):
        assert getattr(pdu, name) == getattr(plain, name)
    encode(pdu)


def test_a_data_sm_needs_no_other_parameters_for_a_long_line():
    long = HlrResult(cn="Ж" * 60, net="Щ" * 40)
    pdu = as_data_sm(told({"deliver_with": "data_sm", "receipt_tlvs": False}, command=Hlr(), hlr=long))
    assert [tag for tag, _ in pdu.tlvs] == [Tag.MESSAGE_PAYLOAD]
    assert HLR_EXPRESSION.match(pdu.tlv(Tag.MESSAGE_PAYLOAD).decode("ascii"))


@pytest.mark.parametrize(
    ("deliver_with", "version", "carried"),
    [("deliver_sm", 0x50, False), ("data_sm", 0x33, False), ("data_sm", 0x34, True), ("data_sm", 0x50, True)],
)
def test_who_gets_a_data_sm(deliver_with, version, carried):
    assert carries_data_sm(Dialect(deliver_with=deliver_with), version) is carried
