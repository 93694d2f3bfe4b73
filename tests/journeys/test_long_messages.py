"""Long messages: parts by header and by SAR parameters, in any order, over several binds."""

import re

import pytest
from structlog.testing import capture_logs

from pdu import CommandStatus, DataSm, DataSmResp, Tag, gsm0338, tlv
from smppbridge.model import Mail, Sms, Viber
from smppbridge.store.base import Filter

TEXT = "__VIBER__: " + "a long text that goes in parts, " * 8


def parts_of(data, size=100, wide=False):
    """The octets of each part, with a header in front."""
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    for number, piece in enumerate(pieces, 1):
        start = (6, 8, 4, 0x12, 0x34) if wide else (5, 0, 3, 0x77)
        yield bytes((*start, len(pieces), number)) + piece


@pytest.mark.journey
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("order", ["in order", "backwards"])
def test_parts_are_joined_before_the_prefix_is_read(start, connect, wide, order):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    parts = list(parts_of(gsm0338.encode(TEXT), wide=wide))
    numbered = list(enumerate(parts, 1))
    if order == "backwards":
        numbered.reverse()
    ids = {number: esme.submit(part, esm_class=0x40).message_id for number, part in numbered}
    assert len(set(ids.values())) == len(parts)
    receipts = esme.receipts(len(parts))
    # Every part asked for a receipt, and gets its own.
    assert receipts.keys() == set(ids.values())
    kept = gateway.call(gateway.gateway.store.find(int(ids[1])))
    assert kept.command == Viber(text=TEXT.removeprefix("__VIBER__: "))
    assert gateway.call(gateway.gateway.store.find(int(ids[2]))).id == kept.id


@pytest.mark.journey
def test_parts_by_sar_parameters_over_two_binds(start, connect):
    gateway = start()
    clients = [connect(gateway), connect(gateway)]
    for client in clients:
        client.bind()
    pieces = ["__MAIL__: Good day, ", "this is long\nsubj:News\n", "to:somebody@example.com"]
    for number, piece in enumerate(pieces, 1):
        sar = [
            tlv(Tag.SAR_MSG_REF_NUM, 9),
            tlv(Tag.SAR_TOTAL_SEGMENTS, len(pieces)),
            tlv(Tag.SAR_SEGMENT_SEQNUM, number),
        ]
        answer = clients[number % 2].submit(piece, tlvs=sar, registered_delivery=0)
        assert answer.command_status == 0
    kept = gateway.call(gateway.gateway.store.find(int(answer.message_id)))
    assert kept.command == Mail(text="Good day, this is long", subject="News", to="somebody@example.com")


@pytest.mark.journey
def test_a_joined_message_has_its_line_in_the_log(start, connect):
    with capture_logs() as lines:
        esme = connect(start())
        esme.bind()
        ids = [esme.submit(part, esm_class=0x40).message_id for part in parts_of(gsm0338.encode("w" * 150))]
        esme.receipts(len(ids))
    [line] = [line for line in lines if line["event"] == "accepted"]
    assert (line["id"], line["kind"], line["parts"], line["text"]) == (ids[0], "sms", 2, "w" * 150)


@pytest.mark.journey
def test_parts_wait_over_a_restart(start, connect):
    first = start()
    esme = connect(first)
    esme.bind("transmitter")
    parts = list(parts_of(gsm0338.encode("plain words, and many of them, " * 6)))
    ids = [esme.submit(part, esm_class=0x40).message_id for part in parts[:-1]]
    first.stop()
    again = start()
    esme = connect(again)
    esme.bind()
    ids.append(esme.submit(parts[-1], esm_class=0x40).message_id)
    assert esme.receipts(len(ids)).keys() == set(ids)
    assert isinstance(again.call(again.gateway.store.find(int(ids[0]))).command, Sms)


@pytest.mark.journey
def test_the_last_part_of_a_malformed_command_is_refused_and_the_others_end_rejected(start, connect):
    esme = connect(start())
    esme.bind()
    parts = list(parts_of(b"__TGM__: " + b"not a code " * 12))
    ids = [esme.submit(part, esm_class=0x40).message_id for part in parts[:-1]]
    refused = esme.submit(parts[-1], esm_class=0x40)
    assert refused.command_status == CommandStatus.ESME_RSUBMITFAIL
    receipts = esme.receipts(len(ids))
    assert receipts.keys() == set(ids)
    assert {re.search(r"stat:(\w+)", line)[1] for line in receipts.values()} == {"REJECTD"}


@pytest.mark.journey
def test_a_set_that_never_becomes_whole_expires_with_a_receipt(start, connect):
    gateway = start(**{'password = "demo"': 'password = "demo"\nparts_timeout = "1ms"'})
    esme = connect(gateway)
    esme.bind()
    part = next(parts_of(b"x" * 150))
    answer = esme.submit(part, esm_class=0x40)
    # Each round takes its time; a millisecond is over soon.
    while gateway.call(gateway.gateway.store.find(int(answer.message_id))) is None:
        gateway.call(gateway.gateway.submission.parts.sweep())
    assert "stat:EXPIRED" in esme.receipts(1)[answer.message_id]


@pytest.mark.journey
def test_a_part_sent_twice_keeps_its_id(start, connect):
    esme = connect(start())
    esme.bind()
    first, second = parts_of(b"y" * 150)
    one = esme.submit(first, esm_class=0x40).message_id
    assert esme.submit(first, esm_class=0x40).message_id == one
    two = esme.submit(second, esm_class=0x40).message_id
    assert esme.receipts(2).keys() == {one, two}


@pytest.mark.journey
@pytest.mark.parametrize("header", [b"\x05\x00\x03\x01\x02\x03", b"\x05\x00\x03\x01\x00\x01", b"\x09\x00\x03\x01", b""])
def test_a_header_that_makes_no_sense_is_refused(start, connect, header):
    esme = connect(start())
    esme.bind()
    answer = esme.submit(header, esm_class=0x40)
    assert answer.command_status != 0
    assert answer.option(Tag.ADDITIONAL_STATUS_INFO_TEXT)


@pytest.mark.journey
def test_a_part_that_comes_again_after_the_whole_was_sent_is_answered_and_does_nothing(start, connect):
    first = start()
    esme = connect(first)
    esme.bind()
    parts = list(parts_of(gsm0338.encode("said once, and only once, " * 6), wide=True))
    ids = [esme.submit(part, esm_class=0x40).message_id for part in parts]
    assert esme.receipts(len(ids)).keys() == set(ids)
    # Each with another sequence_number; the last one would complete a set.
    assert [esme.submit(part, esm_class=0x40).message_id for part in parts] == ids
    first.stop()
    again = start()
    esme = connect(again)
    esme.bind()
    assert [esme.submit(part, esm_class=0x40).message_id for part in reversed(parts)] == ids[::-1]
    assert again.call(again.gateway.store.held_parts(2**62, 10)) == []
    assert len(again.call(again.gateway.store.list(Filter()))) == 1


@pytest.mark.journey
def test_parts_by_submit_sm_and_data_sm_over_a_transmitter_and_a_receiver(start, connect):
    gateway = start(**{'password = "demo"': 'password = "demo"\nparts_receipts = "all"'})
    sends, listens = connect(gateway), connect(gateway)
    sends.bind("transmitter")
    listens.bind("receiver")
    one, two = "the first half comes last, ", "the second half first"
    addresses = {"source_addr": "TEST", "destination_addr": "79991234567"}

    def sar(number):
        return [
            tlv(Tag.SAR_MSG_REF_NUM, 500),
            tlv(Tag.SAR_TOTAL_SEGMENTS, 2),
            tlv(Tag.SAR_SEGMENT_SEQNUM, number),
        ]

    late = sends.ask(DataSm(tlvs=[*sar(2), tlv(Tag.MESSAGE_PAYLOAD, two.encode("ascii"))], **addresses))
    # As Kannel does it, only the first part asks for a receipt.
    early = sends.submit(one, tlvs=sar(1))
    assert isinstance(late, DataSmResp)
    assert (late.command_status, early.command_status) == (0, 0)
    assert listens.receipts(2).keys() == {early.message_id, late.message_id}
    kept = gateway.call(gateway.gateway.store.find(int(late.message_id)))
    assert (kept.id, kept.command) == (int(early.message_id), Sms(text=one + two))


@pytest.mark.journey
def test_a_long_message_in_one_piece_is_no_part(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    text = "a long message need not come in parts, " * 20
    answer = esme.submit("", tlvs=[tlv(Tag.MESSAGE_PAYLOAD, text.encode("ascii"))])
    assert esme.receipts(1).keys() == {answer.message_id}
    assert gateway.call(gateway.gateway.store.find(int(answer.message_id))).command == Sms(text=text)


@pytest.mark.journey
def test_where_a_long_message_counts_once_its_parts_do_not_stop_it(start, connect):
    gateway = start(**{'password = "demo"': 'password = "demo"\nper_minute = 1\nparts_count = "once"'})
    esme = connect(gateway)
    esme.bind()
    parts = list(parts_of(b"one message is one message, " * 8))
    assert [esme.submit(part, esm_class=0x40).command_status for part in parts] == [0] * len(parts)
    assert esme.submit("another one").command_status == CommandStatus.ESME_RTHROTTLED
