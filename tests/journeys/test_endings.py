"""Links that end in every way, with something under way: what was asked is answered, and no receipt is lost."""

import socket

import pytest

from pdu import (
    BindTransmitter,
    CommandStatus,
    DeliverSm,
    EnquireLink,
    EnquireLinkResp,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
    encode,
)


def submits(count, **fields):
    return b"".join(
        encode(
            SubmitSm(
                source_addr="TEST",
                destination_addr="79991234567",
                registered_delivery=1,
                short_message=b"number %d" % number,
                sequence_number=number,
                **fields,
            )
        )
        for number in range(1, count + 1)
    )


def everything(esme):
    """What comes until the server closes."""
    found = []
    try:
        while True:
            found.append(esme.receive())
    except EOFError:
        return found


@pytest.mark.journey
def test_who_closes_its_half_gets_every_answer_and_its_receipts_later(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    esme.socket.sendall(submits(300))
    esme.socket.shutdown(socket.SHUT_WR)
    found = everything(esme)
    answers = [pdu for pdu in found if isinstance(pdu, SubmitSmResp)]
    assert [pdu.command_status for pdu in answers] == [0] * 300
    ids = {pdu.message_id for pdu in answers}
    # A receipt that went out before the end counts as not delivered: nobody can have answered it.
    again = connect(gateway)
    again.bind("receiver")
    assert again.receipts(300).keys() == ids


@pytest.mark.journey
def test_who_binds_submits_and_closes_its_half_in_one_breath_is_answered(start, connect):
    esme = connect(start())
    esme.socket.sendall(encode(BindTransmitter(system_id="demo", password="demo", sequence_number=9)) + submits(3))
    esme.socket.shutdown(socket.SHUT_WR)
    assert [pdu.command_status for pdu in everything(esme)] == [0] * 4


@pytest.mark.journey
def test_who_closed_its_half_may_have_read_nothing_so_the_same_again_is_a_resend(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    esme.socket.sendall(submits(1))
    esme.socket.shutdown(socket.SHUT_WR)
    (first,) = [pdu for pdu in everything(esme) if isinstance(pdu, SubmitSmResp)]
    second = connect(gateway)
    second.bind("transmitter")
    again = second.submit("number 1")
    assert (again.command_status, again.message_id) == (CommandStatus.ESME_ROK, first.message_id)


@pytest.mark.journey
def test_receipts_under_way_at_an_unbind_come_again(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    answers = [esme.submit(f"text {number}") for number in range(5)]
    first = esme.receipt(answer=True)
    for _ in range(4):
        esme.receipt(answer=False)
    assert isinstance(esme.ask(Unbind()), UnbindResp)
    again = connect(gateway)
    again.bind("receiver")
    ids = {answer.message_id for answer in answers}
    assert again.receipts(4).keys() == {id for id in ids if f"id:{id} ".encode() not in first.short_message}


@pytest.mark.journey
def test_a_greedy_client_is_answered_to_the_last_and_another_one_does_not_wait_for_it(start, connect):
    account = 'password = "demo"\nsubmit_window = 5\nduplicate_window = 0'
    gateway = start(**{'password = "demo"': account})
    greedy, other = connect(gateway), connect(gateway)
    greedy.bind("transmitter")
    other.bind("transmitter")
    greedy.socket.sendall(submits(500))
    assert isinstance(other.ask(EnquireLink()), EnquireLinkResp)
    assert other.submit("hello").command_status == 0
    assert [greedy.receive().command_status for _ in range(500)] == [0] * 500
    (link, _) = gateway.gateway.bound.links.values()
    assert link.session.submitted == 500


@pytest.mark.journey
def test_more_than_the_window_is_throttled_where_the_account_says_so(start, connect):
    account = 'password = "demo"\nsubmit_window = 5\nsubmit_window_full = "throttle"\nduplicate_window = 0'
    esme = connect(start(**{'password = "demo"': account}))
    esme.bind("transmitter")
    esme.socket.sendall(submits(200))
    answers = [esme.receive() for _ in range(200)]
    assert sorted(pdu.sequence_number for pdu in answers) == list(range(1, 201))
    refused = [pdu for pdu in answers if pdu.command_status]
    assert {pdu.command_status for pdu in refused} == {CommandStatus.ESME_RTHROTTLED}
    assert 5 <= len(answers) - len(refused) < 200


@pytest.mark.journey
def test_receipts_for_who_never_reads_go_to_who_does(start, connect):
    gateway = start()
    deaf, reader = connect(gateway), connect(gateway)
    deaf.bind()
    answer = deaf.submit("one")
    assert isinstance(deaf.receipt(answer=False), DeliverSm)
    reader.bind("receiver")
    deaf.reset()
    assert list(reader.receipts(1)) == [answer.message_id]
