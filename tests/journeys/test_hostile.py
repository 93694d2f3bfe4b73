"""Clients that do what no client should, and what they are promised all the same."""

import pytest

from pdu import CommandStatus, SubmitSm, SubmitSmResp, encode


def part(number, text, sequence, total=2, reference=1):
    """A part of a long message, as octets."""
    return encode(
        SubmitSm(
            source_addr="TEST",
            destination_addr="79991234567",
            esm_class=0x40,
            registered_delivery=1,
            short_message=bytes([5, 0, 3, reference, total, number]) + text,
            sequence_number=sequence,
        )
    )


def answers(esme, count):
    """The next responses to SUBMIT_SM, by sequence_number."""
    return {pdu.sequence_number: pdu for pdu in (esme.wait_for(is_answer) for _ in range(count))}


def is_answer(pdu):
    return isinstance(pdu, SubmitSmResp)


@pytest.mark.journey
def test_the_last_part_sent_twice_at_once_is_refused_twice_when_the_whole_is_refused(start, connect):
    esme = connect(start())
    esme.bind()
    # Without the colon it is malformed, which only the whole shows.
    esme.socket.sendall(part(1, b"__VIBER__ one", 101) + part(2, b"two", 102) + part(2, b"two", 103))
    found = answers(esme, 3)
    assert [found[sequence].command_status for sequence in (101, 102, 103)] == [
        CommandStatus.ESME_ROK,
        CommandStatus.ESME_RSUBMITFAIL,
        CommandStatus.ESME_RSUBMITFAIL,
    ]


@pytest.mark.journey
def test_the_last_part_sent_twice_at_once_has_one_id_and_one_receipt(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    esme.socket.sendall(part(1, b"one", 101) + part(2, b"two", 102) + part(2, b"two", 103))
    found = answers(esme, 3)
    assert found[102].message_id == found[103].message_id
    assert esme.receipts(2).keys() == {found[101].message_id, found[102].message_id}
    last = esme.submit("last")
    assert list(esme.receipts(1)) == [last.message_id]
