"""Several binds of one account: pairs, who gets which receipt, who has to go, and what a lost one had in flight."""

import threading

import pytest

from pdu import CommandStatus, Unbind, UnbindResp

SUBMITTER = {'password = "demo"': 'password = "demo"\nreceipts_to = "submitter"'}
REPLACE = {'password = "demo"': 'password = "demo"\nmax_binds = 2\nbinds_beyond = "replace"'}
SLOW = {'status_delay = "20ms"': 'status_delay = "300ms"'}


def bound(gateway, connect, kind="transceiver"):
    client = connect(gateway)
    assert client.bind(kind).command_status == 0
    return client


def test_a_pair_of_transmitter_and_receiver(start, connect):
    gateway = start(**SUBMITTER)
    sends, reads = bound(gateway, connect, "transmitter"), bound(gateway, connect, "receiver")
    ids = {sends.submit(f"Hello {n}").message_id for n in range(5)}
    assert set(reads.receipts(5)) == ids


def test_each_submitter_gets_its_own_receipts(start, connect):
    gateway = start(**SUBMITTER)
    clients = [bound(gateway, connect) for _ in range(3)]
    ids = [{client.submit(f"Hello {n} {id(client)}").message_id for n in range(5)} for client in clients]
    assert [set(client.receipts(5)) for client in clients] == ids


def test_a_submitter_that_answers_nothing_holds_up_nobody_but_itself(start, connect):
    gateway = start(**SUBMITTER, **{"[smpp]": "[smpp]\nwindow = 2"})
    slow, quick = bound(gateway, connect), bound(gateway, connect)
    mine = [slow.submit(f"Hello {n}").message_id for n in range(5)]
    slow.receipt(answer=False)
    slow.receipt(answer=False)
    theirs = {quick.submit(f"Good day {n}").message_id for n in range(5)}
    assert set(quick.receipts(5)) == theirs
    # It goes: what was for it goes to the other one, in flight or held.
    slow.reset()
    assert set(quick.receipts(5)) == set(mine)


def test_one_of_two_receivers_goes_away_in_mid_window(start, connect):
    gateway = start(**SLOW)
    sends = bound(gateway, connect, "transmitter")
    one, two = bound(gateway, connect, "receiver"), bound(gateway, connect, "receiver")
    ids = {sends.submit(f"Hello {n}").message_id for n in range(20)}
    for _ in range(3):
        one.receipt(answer=False)
    one.reset()
    assert set(two.receipts(20)) == ids


def test_a_receiver_that_unbinds_in_mid_window_gives_back_what_it_did_not_answer(start, connect):
    gateway = start(**SLOW)
    sends, one = bound(gateway, connect, "transmitter"), bound(gateway, connect, "receiver")
    ids = {sends.submit(f"Hello {n}").message_id for n in range(6)}
    had = set(one.receipts(2))
    one.receipt(answer=False)
    one.unbind()
    two = bound(gateway, connect, "receiver")
    assert set(two.receipts(4)) == ids - had


# One bind more than max_binds ----------------------------------------------------------------------------------------


def test_one_more_is_refused(start, connect):
    gateway = start(**{'password = "demo"': 'password = "demo"\nmax_binds = 1'})
    first = bound(gateway, connect)
    assert connect(gateway).bind().command_status == CommandStatus.ESME_RBINDFAIL
    assert first.submit("Hello").command_status == 0


def test_the_oldest_is_sent_off_for_it(start, connect):
    gateway = start(**REPLACE)
    oldest, middle = bound(gateway, connect), bound(gateway, connect)
    newest = bound(gateway, connect)
    pdu = oldest.wait_for(lambda found: isinstance(found, Unbind))
    # What it had submitted before it read that is still taken.
    assert oldest.submit("Hello").command_status == 0
    oldest.send(UnbindResp(sequence_number=pdu.sequence_number))
    with pytest.raises(EOFError):
        oldest.wait_for(lambda found: False)
    for client in (middle, newest):
        assert client.submit(f"Hello {id(client)}").command_status == 0
    assert gateway.gateway.smpp.stats.binds_replaced == 1


def test_what_the_replaced_one_had_not_answered_goes_to_the_new_one(start, connect):
    gateway = start(**{'password = "demo"': 'password = "demo"\nmax_binds = 1\nbinds_beyond = "replace"'})
    old = bound(gateway, connect)
    id = old.submit("Hello").message_id
    old.receipt(answer=False)
    new = bound(gateway, connect)
    pdu = old.wait_for(lambda found: isinstance(found, Unbind))
    old.send(UnbindResp(sequence_number=pdu.sequence_number))
    assert list(new.receipts(1)) == [id]


def test_many_at_the_same_moment_are_never_more_than_there_may_be(start, connect):
    """Clients that answer no UNBIND: as many as may be bound stay, and no more than that are leaving."""
    gateway = start(**REPLACE)
    clients = [connect(gateway) for _ in range(20)]
    threads = [threading.Thread(target=client.bind) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Who is closed is told so at the end of the turn in which it was.
    links = [link for link in gateway.gateway.bound.of("demo") if link.session.ending is None]
    assert len([link for link in links if not link.leaving]) == 2
    assert len(links) <= 4
    # The account lives: the next one is let in.
    assert bound(gateway, connect).submit("Hello").command_status == 0
