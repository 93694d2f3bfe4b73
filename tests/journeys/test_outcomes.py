"""Receipts: who asked for what, who was away, what the provider did."""

import re

import pytest

from pdu import CommandStatus, DeliverSm, DeliverSmResp, EnquireLink, Tag


def stat(line):
    return re.search(r"stat:(\w+)", line)[1]


#: The sandbox's magic endings (its docstring lists them).
DELIVERED, REJECTED, UNDELIVERABLE = "79991230001", "79991230003", "79991230004"


@pytest.mark.journey
@pytest.mark.parametrize(
    ("asked", "destination", "comes"),
    [
        (1, DELIVERED, "DELIVRD"),
        (1, UNDELIVERABLE, "UNDELIV"),
        (2, DELIVERED, None),
        (2, UNDELIVERABLE, "UNDELIV"),
        (3, DELIVERED, "DELIVRD"),
        (3, UNDELIVERABLE, None),
        (0, DELIVERED, None),
    ],
)
def test_registered_delivery_decides(start, connect, asked, destination, comes):
    esme = connect(start())
    esme.bind()
    esme.submit("one", to=destination, registered_delivery=asked)
    # A message that certainly has a receipt closes the wait: receipts leave in the order of their outcomes.
    last = esme.submit("two")
    found = {}
    while last.message_id not in found:
        found |= esme.receipts(1)
    others = [stat(line) for id, line in found.items() if id != last.message_id]
    assert others == ([comes] if comes else [])


@pytest.mark.journey
def test_intermediate_notifications_come_when_asked_for(start, connect):
    esme = connect(start())
    esme.bind()
    esme.submit("one", to=DELIVERED, registered_delivery=0x11)
    first, second = esme.receipt(), esme.receipt()
    assert (first.esm_class, stat(first.short_message.decode())) == (0x20, "ENROUTE")
    assert (second.esm_class, stat(second.short_message.decode())) == (0x04, "DELIVRD")


@pytest.mark.journey
def test_receipts_wait_for_a_client_that_is_away_and_come_in_order(start, connect):
    gateway = start()
    sender = connect(gateway)
    sender.bind("transmitter")
    ids = [sender.submit(f"number {n}").message_id for n in range(30)]
    receiver = connect(gateway)
    receiver.bind("receiver")
    assert list(receiver.receipts(30)) == ids


@pytest.mark.journey
def test_a_receipt_that_was_not_answered_comes_again(start, connect):
    gateway = start()
    first = connect(gateway)
    first.bind()
    answer = first.submit("one")
    first.receipt(answer=False)
    first.reset()
    second = connect(gateway)
    second.bind()
    assert list(second.receipts(1)) == [answer.message_id]
    second.unbind()
    # Answered now: nobody gets it a second time.
    third = connect(gateway)
    third.bind()
    other = third.submit("two")
    assert list(third.receipts(1)) == [other.message_id]


@pytest.mark.journey
def test_receipts_survive_a_restart(start, connect, tmp_path):
    gateway = start()
    esme = connect(gateway)
    esme.bind("transmitter")
    ids = [esme.submit(f"number {n}").message_id for n in range(5)]
    gateway.stop()
    again = start()
    receiver = connect(again)
    receiver.bind("receiver")
    assert sorted(receiver.receipts(5)) == sorted(ids)


@pytest.mark.journey
def test_a_client_that_answers_with_an_error_keeps_its_receipt(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    answer = esme.submit("one")
    pdu = esme.receipt(answer=False)
    esme.send(DeliverSmResp(sequence_number=pdu.sequence_number, command_status=CommandStatus.ESME_RX_T_APPN))
    # The next one is not held up by it …
    other = esme.submit("two")
    assert list(esme.receipts(1)) == [other.message_id]
    # … and after another bind it comes again.
    esme.unbind()
    again = connect(gateway)
    again.bind()
    assert list(again.receipts(1)) == [answer.message_id]


@pytest.mark.journey
@pytest.mark.parametrize(("destination", "word"), [(REJECTED, "REJECTD"), (UNDELIVERABLE, "UNDELIV")])
def test_what_the_provider_refuses_ends_with_a_receipt(start, connect, destination, word):
    esme = connect(start())
    esme.bind()
    answer = esme.submit("x", to=destination)
    assert stat(esme.receipts(1)[answer.message_id]) == word


@pytest.mark.journey
def test_the_response_comes_before_its_receipt(start, connect):
    esme = connect(start())
    esme.bind()
    for n in range(50):
        sequence_of_answer = esme.submit(f"number {n}")
        assert not [pdu for pdu in esme.aside if pdu.option(Tag.RECEIPTED_MESSAGE_ID) == sequence_of_answer.message_id]
        esme.receipt()


@pytest.mark.journey
def test_the_time_line_tells_the_whole_story(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    answer = esme.submit("hello")
    esme.receipts(1)
    esme.ask(EnquireLink())
    esme.unbind()
    events = [entry.event for entry in gateway.call(gateway.gateway.store.timeline(int(answer.message_id)))]
    assert events[0] == "accepted"
    assert "sent" in events
    assert "final" in events
    assert not [pdu for pdu in esme.aside if isinstance(pdu, DeliverSm)]
