"""Clients that speak otherwise: each dialect from the bind to the receipt, over a real socket."""

from __future__ import annotations

import re
from urllib.parse import quote_plus, urlencode

import pytest
from typer.testing import CliRunner

from pdu import (
    CancelSm,
    CommandStatus,
    DataSm,
    DataSmResp,
    DeliverSm,
    MessageState,
    QuerySm,
    ReplaceSm,
    Segment,
    SmeAddress,
    SubmitMulti,
    Tag,
    gsm0338,
    segment_header,
    tlv,
)
from smppbridge.cli.main import app

TOKEN = "t" * 24
SMSC = f"""
[providers.smsc]
adapter = "smsc"
base_url = "http://127.0.0.1:9/sys/"
login = "shop"
password = "secret"
callback_token = "{TOKEN}"
callback_unsigned = true
callback_charset = "utf-8"

[[incoming]]
destination = ["7401"]
account = "demo"
"""
LINE = re.compile(
    r"id:(\d+) sub:001 dlvrd:001 submit date:(\d{10}) done date:(\d{10}) stat:DELIVRD err:000 text:(.{0,20})"
)
OFFICIAL = {Tag.RECEIPTED_MESSAGE_ID, Tag.MESSAGE_STATE, Tag.NETWORK_ERROR_CODE}
UDHI = 0x40


def speaking(start, dialect, *extra):
    """A gateway whose client speaks so; `dialect` is TOML."""
    return start(*extra, **{"[accounts.demo]": f"[accounts.demo]\ndialect = {dialect}"})


def write(gateway, text):
    """A subscriber's message, as the provider hands it on."""
    form = urlencode({"id": "1", "phone": "380501234567", "mes": text, "to": "7401"}, quote_via=quote_plus)
    assert gateway.get(f"/callback/smsc/{TOKEN}", form.encode()) == (200, "OK")


def sent(gateway, id):
    """The message with this id, as it was understood."""
    return gateway.call(gateway.gateway.store.find(int(id))).command


@pytest.mark.journey
@pytest.mark.parametrize(
    ("profile", "vendors"), [("smsc.ru", True), ("kannel", False), ("jasmin", False), ("spec", False)]
)
def test_a_profile_from_bind_to_receipt(start, connect, profile, vendors):
    gateway = speaking(start, f'"{profile}"')
    esme = connect(gateway)
    assert esme.bind(interface_version=0x34).command_status == 0
    answer = esme.submit("Hello")
    receipt = esme.receipt()
    assert LINE.fullmatch(receipt.short_message.decode("ascii"))[1] == answer.message_id
    assert receipt.option(Tag.RECEIPTED_MESSAGE_ID) == answer.message_id
    tags = {tag for tag, _ in receipt.tlvs}
    assert tags >= OFFICIAL
    assert (tags > OFFICIAL) is vendors


@pytest.mark.journey
def test_ids_in_hexadecimal_and_receipts_in_decimal(start, connect):
    gateway = speaking(start, '{ response_ids = "hex", response_id_length = 16, receipt_dates = "YYMMDDhhmmss" }')
    esme = connect(gateway)
    esme.bind()
    answer = esme.submit("Hello")
    assert re.fullmatch("[0-9A-F]{16}", answer.message_id)
    receipt = esme.receipt()
    assert receipt.option(Tag.RECEIPTED_MESSAGE_ID) == str(int(answer.message_id, 16))
    assert re.search(r"submit date:\d{12} done date:\d{12} ", receipt.short_message.decode("ascii"))


@pytest.mark.journey
def test_the_id_of_a_repetition_is_written_so_too(start, connect):
    gateway = speaking(start, '{ response_ids = "hex" }')
    esme = connect(gateway)
    esme.bind()
    first = esme.submit("Hello")
    esme.receipt()
    again = esme.submit("Hello")
    assert again.command_status == CommandStatus.ESME_RSUBMITFAIL
    assert first.message_id in str(again.option(Tag.ADDITIONAL_STATUS_INFO_TEXT))
    esme.reset()
    esme = connect(gateway)
    esme.bind()
    # The first response may have been lost with its link: the same id again.
    assert esme.submit("Hello").message_id == first.message_id


def answered(esme):
    """The next DATA_SM, answered with status 0."""
    pdu = esme.wait_for(lambda found: isinstance(found, DataSm | DeliverSm))
    assert isinstance(pdu, DataSm)
    esme.send(DataSmResp(sequence_number=pdu.sequence_number))
    return pdu


@pytest.mark.journey
def test_everything_comes_in_data_sm(start, connect):
    gateway = speaking(start, '{ deliver_with = "data_sm" }', SMSC)
    esme = connect(gateway)
    esme.bind("receiver")
    write(gateway, "Привет")
    pdu = answered(esme)
    assert (pdu.source_addr, pdu.destination_addr, pdu.data_coding) == ("380501234567", "7401", 8)
    assert pdu.tlv(Tag.MESSAGE_PAYLOAD).decode("utf-16-be") == "Привет"
    sender = connect(gateway)
    sender.bind("transmitter")
    answer = sender.submit("Hello")
    receipt = answered(esme)
    assert receipt.esm_class == 0x04
    assert LINE.fullmatch(receipt.tlv(Tag.MESSAGE_PAYLOAD).decode("ascii"))[1] == answer.message_id
    # Both were answered, so neither comes again.
    esme.unbind()
    esme = connect(gateway)
    esme.bind("receiver")
    sender.submit("another")
    assert answered(esme).tlv(Tag.MESSAGE_PAYLOAD).endswith(b"text:another")


@pytest.mark.journey
def test_a_data_sm_that_is_not_taken_comes_again(start, connect):
    gateway = speaking(start, '{ deliver_with = "data_sm" }')
    esme = connect(gateway)
    esme.bind()
    esme.submit("Hello")
    first = esme.wait_for(lambda found: isinstance(found, DataSm))
    esme.reset()
    esme = connect(gateway)
    esme.bind()
    assert answered(esme).tlv(Tag.MESSAGE_PAYLOAD) == first.tlv(Tag.MESSAGE_PAYLOAD)


@pytest.mark.journey
def test_a_client_of_3_3_gets_a_plain_deliver_sm_whatever_the_dialect_says(start, connect):
    gateway = speaking(start, '{ deliver_with = "data_sm", response_ids = "hex" }')
    esme = connect(gateway)
    bound = esme.bind(interface_version=0x33)
    assert bound.tlvs == []
    answer = esme.submit("Hello")
    receipt = esme.receipt()
    assert receipt.tlvs == []
    assert receipt.short_message.decode("ascii").startswith(f"id:{int(answer.message_id, 16)} ")


@pytest.mark.journey
@pytest.mark.parametrize(
    ("dialect", "data_coding", "octets", "text"),
    [
        ('{ data_codings = { "1" = "gsm" } }', 1, b"a\x02\x00", "a$@"),
        ('{ data_codings = { "0" = "gsm_packed" } }', 0, gsm0338.pack(b"hello \x02"), "hello $"),
        ('{ data_codings = { "0" = "utf8" } }', 0, "Привет".encode(), "Привет"),
        ('{ data_codings = { "8" = "ucs2_le" } }', 8, "Привет".encode("utf-16-le"), "Привет"),
        ("{ nul_terminated = true }", 0, b"Hello\0", "Hello"),
        ("{ nul_terminated = true }", 8, "Ж\0".encode("utf-16-be"), "Ж"),
    ],
)
@pytest.mark.parametrize("payload", [False, True])
def test_a_text_in_the_clients_octets(start, connect, dialect, data_coding, octets, text, payload):
    gateway = speaking(start, dialect)
    esme = connect(gateway)
    esme.bind()
    if payload:
        answer = esme.submit(b"", data_coding=data_coding, tlvs=[tlv(Tag.MESSAGE_PAYLOAD, octets)])
    else:
        answer = esme.submit(octets, data_coding=data_coding)
    assert answer.command_status == 0, answer
    assert sent(gateway, answer.message_id).text == text


@pytest.mark.journey
def test_parts_of_packed_septets_over_a_restart(start, connect):
    """Each part has fill bits of its own and is stored as it came; the whole is read in the end."""
    gateway = speaking(start, '{ data_codings = { "0" = "gsm_packed" } }')
    halves = ("0123456789" * 15, "the rest {of} it")

    def part(number):
        header = segment_header(Segment(9, 2, number))
        septets = gsm0338.encode(halves[number - 1])
        return header + gsm0338.pack(septets, gsm0338.fill_bits(len(header)))

    esme = connect(gateway)
    esme.bind()
    first = esme.submit(part(1), esm_class=UDHI)
    assert first.command_status == 0
    esme.unbind()
    gateway.stop()
    gateway = speaking(start, '{ data_codings = { "0" = "gsm_packed" } }')
    esme = connect(gateway)
    esme.bind()
    assert esme.submit(part(2), esm_class=UDHI).command_status == 0
    assert sent(gateway, first.message_id).text == "".join(halves)


@pytest.mark.journey
def test_an_answer_in_the_octets_that_the_client_reads(start, connect):
    gateway = speaking(start, '{ data_codings = { "0" = "gsm_packed", "8" = "ucs2_le" } }', SMSC)
    esme = connect(gateway)
    esme.bind()
    write(gateway, "hello $")
    pdu = esme.receipt()
    assert (pdu.data_coding, gsm0338.decode(gsm0338.unpack(pdu.short_message))) == (0, "hello $")


@pytest.mark.journey
def test_a_header_that_is_none_and_one_that_is_not_told(start, connect):
    gateway = speaking(start, '{ headers = "lenient" }')
    esme = connect(gateway)
    esme.bind()
    answer = esme.submit("Hello", esm_class=UDHI)
    assert sent(gateway, answer.message_id).text == "Hello"
    first, second = (
        esme.submit(segment_header(Segment(3, 2, number)) + text) for number, text in ((1, b"one "), (2, b"two"))
    )
    assert (first.command_status, second.command_status) == (0, 0)
    assert sent(gateway, first.message_id).text == "one two"


@pytest.mark.journey
def test_without_a_dialect_a_header_that_is_none_is_refused(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    assert esme.submit("Hello", esm_class=UDHI).command_status != 0


@pytest.mark.journey
@pytest.mark.parametrize(("profile", "status"), [("kannel", 0), ("smsc.ru", CommandStatus.ESME_RINVPASWD)])
def test_a_password_that_the_client_cuts_off(start, connect, profile, status):
    gateway = start(**{'password = "demo"': f'password = "demo-demo-demo"\ndialect = "{profile}"'})
    assert connect(gateway).bind(password="demo-dem").command_status == status


@pytest.mark.journey
def test_a_reload_changes_the_dialect(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    assert esme.submit("one").message_id.isdecimal()
    text = gateway.path.read_text().replace("[accounts.demo]", '[accounts.demo]\ndialect = { response_ids = "hex" }')
    gateway.path.write_text(text)
    gateway.reload()
    answer = esme.submit("two")
    assert len(answer.message_id) < 18
    assert sent(gateway, int(answer.message_id, 16)).text == "two"


DIALECTS = [
    '"smsc.ru"',
    '"kannel"',
    '"jasmin"',
    '"spec"',
    '{ response_ids = "hex", response_id_length = 20 }',
    '{ receipt_ids = "hex", receipt_tlvs = false, receipt_text = "stat:{stat} id:{id} end" }',
    '{ receipt_text = "{id}" }',
    '{ deliver_with = "data_sm" }',
    '{ data_codings = { "0" = "gsm_packed", "8" = "utf8" } }',
    '{ data_codings = { "0" = "binary" } }',
]


@pytest.mark.journey
def test_the_commands_speak_every_dialect(start):
    gateway = speaking(start, '"smsc.ru"\nduplicate_window = 0')
    written = gateway.path.read_text().replace("127.0.0.1:0", f"127.0.0.1:{gateway.port}", 1)
    for number, dialect in enumerate(DIALECTS):
        # Each to a number of its own: parts that have the reference of earlier ones by chance would be those again.
        to = f"799912345{number:02d}"
        gateway.path.write_text(written.replace('dialect = "smsc.ru"', f"dialect = {dialect}"))
        gateway.reload()
        for text in ("Hello {you}", "Привет", "x" * 300):
            explained = CliRunner().invoke(app, ["explain", text, "--config", str(gateway.path)])
            assert explained.exit_code == 0, explained.output
            assert text[:5] in explained.output
            assert ("gsm_packed to this account" in explained.output) is ("gsm_packed" in dialect and text.isascii())
            sent = CliRunner().invoke(app, ["send", text, "--to", to, "--config", str(gateway.path)])
            assert sent.exit_code == 0, sent.output


@pytest.mark.journey
def test_other_operations_take_an_id_in_either_form(start, connect):
    gateway = speaking(start, '{ response_ids = "hex", receipt_id_length = 19 }')
    esme = connect(gateway)
    esme.bind()
    id = esme.submit("Hello", schedule_delivery_time="000001000000000R").message_id
    for written in (id, id.lower(), f"{int(id, 16):019d}"):
        answer = esme.ask(QuerySm(message_id=written, source_addr="TEST"))
        assert (answer.command_status, answer.message_state) == (0, MessageState.SCHEDULED)
        # As the client asked.
        assert answer.message_id == written
    for nonsense in ("xyz", f"0x{id}", "-1"):
        answer = esme.ask(QuerySm(message_id=nonsense, source_addr="TEST"))
        assert answer.command_status == CommandStatus.ESME_RINVMSGID
    replaced = esme.ask(ReplaceSm(message_id=id, source_addr="TEST", short_message=b"Hello again"))
    assert replaced.command_status == 0
    assert sent(gateway, int(id, 16)).text == "Hello again"
    assert esme.ask(CancelSm(message_id=id, source_addr="TEST", destination_addr="79991234567")).command_status == 0


@pytest.mark.journey
def test_submit_multi_and_data_sm_in_the_clients_octets(start, connect):
    gateway = speaking(start, '{ data_codings = { "0" = "gsm_packed" }, response_ids = "hex" }')
    esme = connect(gateway)
    esme.bind()
    packed = gsm0338.pack(b"hello \x02")
    addresses = [SmeAddress(destination_addr=f"7999123456{number}") for number in (1, 2)]
    many = esme.ask(SubmitMulti(source_addr="TEST", dest_addresses=addresses, short_message=packed))
    one = esme.ask(DataSm(source_addr="TEST", destination_addr="79991234569", tlvs=[tlv(Tag.MESSAGE_PAYLOAD, packed)]))
    assert (many.command_status, one.command_status) == (0, 0)
    assert sent(gateway, int(one.message_id, 16)).text == "hello $"
    messages = gateway.call(gateway.gateway.store.find_all(int(many.message_id, 16)))
    assert [message.command.text for message in messages] == ["hello $"] * 2
