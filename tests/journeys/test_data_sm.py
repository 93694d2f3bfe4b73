"""DATA_SM from clients: another envelope for the same message, with an answer of its own."""

import re
import time

import pytest
import smpplib.client
import smpplib.smpp

from pdu import CommandStatus, DataSm, DataSmResp, SubmitSm, SubmitSmResp, Tag, gsm0338, tlv
from smppbridge.model import Mail, Sms, Viber
from smppbridge.store.base import Filter

OK = CommandStatus.ESME_ROK
TEXT = "a long text that goes in parts, " * 8


def data_sm(text, to="79991234567", tlvs=(), **fields):
    fields.setdefault("registered_delivery", 1)
    fields.setdefault("source_addr", "TEST")
    data = text if isinstance(text, bytes) else text.encode("ascii")
    return DataSm(destination_addr=to, tlvs=[tlv(Tag.MESSAGE_PAYLOAD, data), *tlvs], **fields)


def send(esme, text, **fields):
    answer = esme.ask(data_sm(text, **fields))
    assert isinstance(answer, DataSmResp)
    return answer


def kept(gateway, answer):
    return gateway.call(gateway.gateway.store.find(int(answer.message_id)))


@pytest.fixture
def bound(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    return gateway, esme


@pytest.mark.journey
@pytest.mark.parametrize("kind", ["transceiver", "transmitter"])
def test_its_text_stands_in_message_payload_and_its_receipt_comes(start, connect, kind):
    gateway = start()
    esme, listener = connect(gateway), connect(gateway)
    esme.bind(kind)
    listener.bind("receiver")
    answer = send(esme, "__VIBER__: hello")
    assert answer.command_status == OK
    receiver = esme if kind == "transceiver" else listener
    if kind == "transceiver":
        listener.unbind()
    assert "stat:DELIVRD" in receiver.receipts(1)[answer.message_id]
    assert kept(gateway, answer).command == Viber(text="hello")


@pytest.mark.journey
def test_a_receiver_may_send_one_too(start, connect):
    # SMPP 3.4 §2.3: in BOUND_RX a DATA_SM goes either way.
    esme = connect(start())
    esme.bind("receiver")
    answer = send(esme, "hello")
    assert answer.command_status == OK
    assert answer.message_id in esme.receipts(1)


@pytest.mark.journey
@pytest.mark.parametrize("tlvs", [[], [tlv(Tag.MESSAGE_PAYLOAD, b"")]])
def test_without_a_text_it_is_refused(bound, tlvs):
    _, esme = bound
    answer = esme.ask(DataSm(source_addr="TEST", destination_addr="79991234567", tlvs=tlvs))
    assert (type(answer), answer.command_status, answer.message_id) == (DataSmResp, CommandStatus.ESME_RINVMSGLEN, "")
    assert answer.option(Tag.ADDITIONAL_STATUS_INFO_TEXT)


@pytest.mark.journey
def test_a_look_up_needs_no_text_but_its_prefix(bound):
    gateway, esme = bound
    answer = send(esme, "__HLR__")
    assert kept(gateway, answer).kind == "hlr"


@pytest.mark.journey
def test_a_refusal_tells_its_reason_to_those_who_can_read_it(start, connect):
    gateway = start()
    for version, told in ((0x34, False), (0x50, True)):
        esme = connect(gateway)
        esme.bind(interface_version=version)
        answer = send(esme, "hello", to="nobody")
        assert (answer.command_status, answer.message_id) == (CommandStatus.ESME_RINVDSTADR, "")
        assert bool(answer.tlvs) is told


@pytest.mark.journey
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"source_addr": "s" * 20}, OK),
        ({"source_addr": "s" * 21}, CommandStatus.ESME_RINVSRCADR),
        ({"to": "7" * 20}, OK),
        ({"to": "7" * 21}, CommandStatus.ESME_RINVDSTADR),
        ({"to": "+" + "7" * 19}, OK),
        ({"to": "+" + "7" * 20}, CommandStatus.ESME_RINVDSTADR),
        ({"to": "somebody.with.a.long@example.com"}, CommandStatus.ESME_RINVDSTADR),
        ({"data_coding": 5}, CommandStatus.ESME_RSUBMITFAIL),
        ({"tlvs": [tlv(Tag.QOS_TIME_TO_LIVE, 0)]}, CommandStatus.ESME_RINVEXPIRY),
    ],
)
def test_its_fields_are_judged_as_those_of_a_submit_sm(bound, fields, status):
    _, esme = bound
    assert send(esme, "hello", **fields).command_status == status


@pytest.mark.journey
def test_an_e_mail_address_of_64_characters_fits_and_its_receipt_goes_out(bound):
    gateway, esme = bound
    address = f"{'a' * 52}@example.com"
    assert len(address) == 64
    answer = send(esme, "__MAIL__: Hello\nsubj:News", to=address)
    assert kept(gateway, answer).command == Mail(text="Hello", subject="News", to=address)
    receipt = esme.receipt()
    assert receipt.option(Tag.RECEIPTED_MESSAGE_ID) == answer.message_id
    # What a DELIVER_SM has room for.
    assert receipt.source_addr == address[:20]


@pytest.mark.journey
def test_it_lives_as_long_as_qos_time_to_live_says(bound):
    gateway, esme = bound
    message = kept(gateway, send(esme, "hello", tlvs=[tlv(Tag.QOS_TIME_TO_LIVE, 90)]))
    assert message.expires - message.accepted_at == 90_000
    message = kept(gateway, send(esme, "for ever", tlvs=[tlv(Tag.QOS_TIME_TO_LIVE, 0xFFFFFFFF)]))
    assert message.expires - message.accepted_at == 7 * 86_400_000
    message = kept(gateway, send(esme, "as usual"))
    assert message.expires - message.accepted_at == 86_400_000


@pytest.mark.journey
def test_a_tlv_that_cannot_be_read_is_refused_in_its_own_response(bound):
    _, esme = bound
    answer = send(esme, "hello", tlvs=[(Tag.QOS_TIME_TO_LIVE, b"\1")])
    assert answer.command_status == CommandStatus.ESME_RINVPARLEN


# Parts ---------------------------------------------------------------------------------------------------------------


def envelopes(parts, *, first_is_data, header):
    """The parts in DATA_SM and SUBMIT_SM by turns; by header or by SAR parameters."""
    for number, part in enumerate(parts, 1):
        sar = [
            tlv(Tag.SAR_MSG_REF_NUM, 7),
            tlv(Tag.SAR_TOTAL_SEGMENTS, len(parts)),
            tlv(Tag.SAR_SEGMENT_SEQNUM, number),
        ]
        octets = bytes((5, 0, 3, 7, len(parts), number)) + part if header else part
        fields = {"esm_class": 0x40} if header else {"tlvs": sar}
        if (number % 2 == 1) is first_is_data:
            yield data_sm(octets, **fields)
        else:
            fields |= {"source_addr": "TEST", "destination_addr": "79991234567", "registered_delivery": 1}
            yield SubmitSm(short_message=octets, **fields)


@pytest.mark.journey
@pytest.mark.parametrize("first_is_data", [True, False])
@pytest.mark.parametrize("header", [True, False])
def test_its_parts_join_those_of_submit_sm(bound, first_is_data, header):
    gateway, esme = bound
    whole = gsm0338.encode(TEXT)
    parts = [whole[at : at + 100] for at in range(0, len(whole), 100)]
    ids = []
    for pdu in envelopes(parts, first_is_data=first_is_data, header=header):
        answer = esme.ask(pdu)
        assert type(answer) is (DataSmResp if isinstance(pdu, DataSm) else SubmitSmResp)
        assert answer.command_status == OK
        ids.append(answer.message_id)
    assert esme.receipts(len(ids)).keys() == set(ids)
    message = gateway.call(gateway.gateway.store.find(int(ids[0])))
    assert message.command == Sms(text=TEXT)


@pytest.mark.journey
def test_a_part_sent_again_has_the_first_id_and_a_data_sm_resp(bound):
    _, esme = bound
    part = data_sm(b"\5\0\3\7\2\1" + b"x" * 100, esm_class=0x40)
    first = esme.ask(part)
    part.sequence_number = 0
    again = esme.ask(part)
    assert (type(again), again.message_id) == (DataSmResp, first.message_id)


@pytest.mark.journey
@pytest.mark.parametrize("header", [b"\x05\x00\x03\x01\x02\x03", b"\x09\x00\x03\x01"])
def test_a_header_that_makes_no_sense_is_refused(bound, header):
    _, esme = bound
    answer = send(esme, header, esm_class=0x40)
    assert answer.command_status != OK
    assert answer.option(Tag.ADDITIONAL_STATUS_INFO_TEXT)


@pytest.mark.journey
def test_the_last_part_of_a_malformed_command_is_refused_with_a_data_sm_resp(bound):
    _, esme = bound
    whole = b"__TGM__: " + b"not a code " * 12
    first = send(esme, b"\5\0\3\7\2\1" + whole[:100], esm_class=0x40)
    last = send(esme, b"\5\0\3\7\2\2" + whole[100:], esm_class=0x40)
    assert last.command_status == CommandStatus.ESME_RSUBMITFAIL
    assert "stat:REJECTD" in esme.receipts(1)[first.message_id]


# Repetitions, resends and restarts -----------------------------------------------------------------------------------


@pytest.mark.journey
def test_an_identical_one_is_refused_whatever_the_envelope(bound):
    _, esme = bound
    first = send(esme, "hello")
    again = send(esme, "hello")
    assert again.command_status == CommandStatus.ESME_RSUBMITFAIL
    assert first.message_id in again.option(Tag.ADDITIONAL_STATUS_INFO_TEXT)
    assert esme.submit("hello").command_status == CommandStatus.ESME_RSUBMITFAIL


@pytest.mark.journey
@pytest.mark.parametrize("again_by", [data_sm, None])
def test_a_resend_after_a_lost_link_has_the_first_id(start, connect, again_by):
    gateway = start()
    first = connect(gateway)
    first.bind("transmitter")
    first.send(data_sm("hi"))
    deadline = time.monotonic() + 10
    while not gateway.call(gateway.gateway.store.list(Filter())) and time.monotonic() < deadline:
        pass
    first.reset()
    second = connect(gateway)
    second.bind()
    again = send(second, "hi") if again_by else second.submit("hi")
    assert again.command_status == OK
    assert list(second.receipts(1)) == [again.message_id]
    [message] = gateway.call(gateway.gateway.store.list(Filter()))
    assert str(message.id) == again.message_id


@pytest.mark.journey
def test_what_was_answered_outlives_a_restart(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind("transmitter")
    part = send(esme, b"\5\0\3\7\2\1" + b"x" * 100, esm_class=0x40)
    waiting = send(esme, "hello")
    esme.close()
    gateway.stop()
    again = start()
    esme = connect(again)
    esme.bind()
    last = send(esme, b"\5\0\3\7\2\2" + b"y" * 10, esm_class=0x40)
    receipts = esme.receipts(3)
    assert receipts.keys() == {part.message_id, waiting.message_id, last.message_id}
    assert all(re.search("stat:DELIVRD", line) for line in receipts.values())


@pytest.mark.journey
def test_a_failed_disk_is_answered_in_a_data_sm_resp(bound):
    gateway, esme = bound
    gateway.call(gateway.gateway.store.close())
    assert send(esme, "hello").command_status == CommandStatus.ESME_RSYSERR
    assert send(esme, b"\5\0\3\7\2\1x", esm_class=0x40).command_status == CommandStatus.ESME_RSYSERR


@pytest.mark.journey
def test_it_counts_in_every_limit(start, connect):
    esme = connect(start(**{'password = "demo"': 'password = "demo"\nthroughput = 0.001\nburst = 2'}))
    esme.bind()
    assert send(esme, "one").command_status == OK
    assert esme.submit("two").command_status == OK
    assert send(esme, "three").command_status == CommandStatus.ESME_RTHROTTLED


# Somebody else's client ----------------------------------------------------------------------------------------------


@pytest.mark.journey
def test_smpplib_sends_one_and_reads_the_answer(start):
    gateway = start()
    client = smpplib.client.Client("127.0.0.1", gateway.port, allow_unknown_opt_params=True)
    client.connect()
    try:
        client.bind_transceiver(system_id="demo", password="demo")
        fields = {"source_addr": "TEST", "destination_addr": "79991234567", "registered_delivery": 1}
        client.send_pdu(smpplib.smpp.make_pdu("data_sm", client=client, message_payload=b"hello", **fields))
        answer = client.read_pdu()
        assert (answer.command, answer.status) == ("data_sm_resp", OK)
        receipt = client.read_pdu()
        assert receipt.command == "deliver_sm"
        assert receipt.receipted_message_id == answer.message_id
        client.send_pdu(smpplib.smpp.make_pdu("deliver_sm_resp", client=client, sequence=receipt.sequence))
        client.send_pdu(smpplib.smpp.make_pdu("data_sm", client=client, message_payload=b"hello", **fields))
        refused = client.read_pdu()
        assert (refused.command, refused.status) == ("data_sm_resp", CommandStatus.ESME_RSUBMITFAIL)
        client.unbind()
    finally:
        client.disconnect()
    message = gateway.call(gateway.gateway.store.find(int(answer.message_id)))
    assert message.command == Sms(text="hello")
