"""An absent subscriber who can be reached again: ALERT_NOTIFICATION, from the message that failed to the bind."""

import socket

import pytest

from pdu import AlertNotification, Tag, tlv
from smppbridge.model import Incoming

#: The sandbox: the subscriber is offline, err 6.
ABSENT = "79991230004"
ASKS = [tlv(Tag.SET_DPF, 1)]

#: Another account, whose provider reaches everybody.
SHOP = """
[providers.other]
adapter = "sandbox"
status_delay = "20ms"
magic = false

[accounts.shop]
password = "shop"
allowed_networks = ["127.0.0.0/8"]
"""
ROUTES = {"[[routes]]": '[[routes]]\naccount = "shop"\nproviders = ["other"]\n\n[[routes]]'}


def alert(client):
    return client.wait_for(lambda pdu: isinstance(pdu, AlertNotification))


def absent(client, **fields):
    """A message to a subscriber who is not there, up to its receipt."""
    assert client.submit("Hello", to="+" + ABSENT, source_addr="shop", source_addr_ton=5, **fields).command_status == 0
    assert b"stat:UNDELIV err:006" in client.receipt().short_message


def nothing_comes(client):
    client.socket.settimeout(2.5)
    with pytest.raises(socket.timeout):
        alert(client)
    client.socket.settimeout(10)


def writes(gateway):
    """The subscriber is back, and writes."""
    one = Incoming(provider="sandbox", ref="1", source=ABSENT, destination="7401", text="I am back")
    gateway.call(gateway.gateway._receive("sandbox", [one]))


MINE = '[[incoming]]\naccount = "demo"'


def test_a_client_that_asked_is_told_when_the_subscriber_is_back(start, connect):
    gateway = start(MINE)
    client = connect(gateway)
    client.bind(interface_version=0x34)
    absent(client, tlvs=ASKS)
    gateway.call(gateway.gateway._alert())
    writes(gateway)
    client.receipt()
    pdu = alert(client)
    assert (pdu.source_addr, pdu.esme_addr, pdu.esme_addr_ton) == ("+" + ABSENT, "shop", 5)
    assert pdu.option(Tag.MS_AVAILABILITY_STATUS) == 0
    gateway.call(gateway.gateway.outbox.drain())
    assert gateway.call(gateway.gateway.store.receipts("demo", 0, 10)) == []
    # Once, for one message that failed.
    gateway.gateway.watch.met(ABSENT)
    nothing_comes(client)


def test_who_did_not_ask_is_not_told(start, connect):
    gateway = start(MINE)
    client = connect(gateway)
    client.bind()
    absent(client)
    gateway.call(gateway.gateway._alert())
    writes(gateway)
    client.receipt()
    nothing_comes(client)


def test_an_alert_waits_for_a_receiver_and_survives_a_restart(start, connect):
    always = ('[accounts.demo]\npassword = "demo"', '[accounts.demo]\npassword = "demo"\nalerts = "always"')
    gateway = start(**{always[0]: always[1]})
    client = connect(gateway)
    client.bind(interface_version=0x33)
    absent(client)
    client.unbind()
    gateway.stop()
    gateway = start(**{always[0]: always[1]})
    gateway.gateway.watch.met(ABSENT)
    gateway.call(gateway.gateway._alert())
    transmitter = connect(gateway)
    transmitter.bind("transmitter")
    client = connect(gateway)
    client.bind("receiver", interface_version=0x33)
    pdu = alert(client)
    # SMPP 3.3 has no optional parameters.
    assert (pdu.source_addr, pdu.esme_addr, pdu.tlvs) == ("+" + ABSENT, "shop", [])


@pytest.mark.parametrize("text", ["Hello", "__PING__", "__HLR__"])
def test_what_another_account_delivers_tells_too(start, connect, text):
    gateway = start(SHOP, **ROUTES)
    client, other = connect(gateway), connect(gateway)
    client.bind()
    other.bind(system_id="shop", password="shop")
    absent(client, tlvs=ASKS)
    other.submit(text, to=ABSENT)
    assert b"stat:DELIVRD" in other.receipt().short_message
    assert alert(client).source_addr == "+" + ABSENT


def test_another_number_tells_nothing(start, connect):
    gateway = start(SHOP, **ROUTES)
    client, other = connect(gateway), connect(gateway)
    client.bind()
    other.bind(system_id="shop", password="shop")
    absent(client, tlvs=ASKS)
    other.submit("Hello", to="79991230099")
    assert b"stat:DELIVRD" in other.receipt().short_message
    nothing_comes(client)
