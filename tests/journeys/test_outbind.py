"""Clients that wait to be called: OUTBIND, the bind over our own connection, and what waited for it."""

import socket
import time

import pytest

from pdu import AlertNotification, BindReceiverResp, Framer, Outbind
from smppbridge.model import Stage

OUTBIND = """
[accounts.demo.outbind]
address = "127.0.0.1:{port}"
password = "sesame"
retry = "1s"
"""


@pytest.fixture
def door():
    """Where the client waits to be called."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        yield listening


def begin(start, door, *extra, **replaced):
    return start(*extra, OUTBIND.format(port=door.getsockname()[1]), **replaced)


@pytest.fixture
def called(door, connect):
    """The next call, as a client that has read OUTBIND."""
    opened = []

    def called(like):
        client = object.__new__(type(like))
        client.socket, _ = door.accept()
        client.socket.settimeout(10)
        client.framer, client.sequence, client.aside = Framer(65536), 0, []
        opened.append(client)
        pdu = client.receive()
        assert isinstance(pdu, Outbind)
        assert (pdu.system_id, pdu.password) == ("smppbridge", "sesame")
        return client

    yield called
    for client in opened:
        client.close()


def waiting(gateway, connect):
    """A transmitter whose receipt waits."""
    transmitter = connect(gateway)
    transmitter.bind("transmitter")
    id = transmitter.submit("Hello").message_id
    return transmitter, id


@pytest.mark.parametrize("kind", ["receiver", "transceiver"])
def test_who_is_called_binds_and_gets_what_waited(start, connect, door, called, kind):
    gateway = begin(start, door)
    transmitter, id = waiting(gateway, connect)
    client = called(transmitter)
    answer = client.bind(kind)
    assert answer.command_status == 0
    assert list(client.receipts(1)) == [id]
    # It is a bind as any other.
    again = transmitter.submit("Good day").message_id
    assert list(client.receipts(1)) == [again]
    client.unbind()


def test_nobody_is_called_while_nothing_waits_or_a_receiver_is_bound(start, connect, door):
    gateway = begin(start, door)
    receiver = connect(gateway)
    receiver.bind("receiver")
    _, id = waiting(gateway, connect)
    assert list(receiver.receipts(1)) == [id]
    gateway.call(gateway.gateway.outbox.drain())
    receiver.unbind()
    door.settimeout(2.5)
    with pytest.raises(TimeoutError):
        door.accept()


def test_a_call_that_leads_to_no_bind_is_made_again(start, connect, door, called):
    gateway = begin(start, door)
    transmitter, id = waiting(gateway, connect)
    called(transmitter).close()
    client = called(transmitter)
    # A wrong password is refused as over any other connection, and the client may try again.
    assert client.bind("receiver", password="wrong").command_status != 0
    assert client.bind("receiver").command_status == 0
    assert list(client.receipts(1)) == [id]


def test_one_that_does_not_bind_in_time_is_closed(start, connect, door, called):
    gateway = begin(
        start, door, **{"[smpp]": '[smpp]\nsession_init_timeout = "1s"', "[http]": "[http]\nmax_body = 4096"}
    )
    transmitter, _ = waiting(gateway, connect)
    client = called(transmitter)
    with pytest.raises(EOFError):
        client.receive()
    called(transmitter)


def test_a_lost_bind_is_called_again_and_gets_what_it_had_not_answered(start, connect, door, called):
    gateway = begin(start, door)
    transmitter, id = waiting(gateway, connect)
    client = called(transmitter)
    assert isinstance(client.bind("receiver"), BindReceiverResp)
    client.receipt(answer=False)
    client.reset()
    client = called(transmitter)
    client.bind("receiver")
    assert list(client.receipts(1)) == [id]


def test_it_is_called_for_an_alert_too(start, connect, door, called):
    always = {'password = "demo"': 'password = "demo"\nalerts = "always"'}
    gateway = begin(start, door, **always)
    transmitter = connect(gateway)
    transmitter.bind("transmitter")
    id = int(transmitter.submit("Hello", to="79991230004", registered_delivery=0).message_id)
    here = gateway.gateway
    while gateway.call(here.store.find(id)).progress.stage is not Stage.FINAL:
        time.sleep(0.02)
    gateway.call(here._alert())
    here.watch.met("79991230004")
    client = called(transmitter)
    client.bind("receiver")
    assert client.wait_for(lambda pdu: isinstance(pdu, AlertNotification)).source_addr == "79991230004"


def test_a_reload_without_it_hangs_up_and_calls_no_more(start, connect, door, called):
    gateway = begin(start, door)
    transmitter, _ = waiting(gateway, connect)
    client = called(transmitter)
    gateway.path.write_text(gateway.path.read_text().partition("[accounts.demo.outbind]")[0])
    gateway.reload()
    with pytest.raises(EOFError):
        client.receive()
    door.settimeout(2.5)
    with pytest.raises(TimeoutError):
        door.accept()


def test_a_shutdown_closes_it(start, connect, door, called):
    gateway = begin(start, door)
    transmitter, _ = waiting(gateway, connect)
    client = called(transmitter)
    transmitter.close()
    gateway.stop()
    with pytest.raises(EOFError):
        client.receive()
