"""Messages from subscribers: a provider's callback → the store → DELIVER_SM, whoever is away, whatever comes twice."""

from __future__ import annotations

from urllib.parse import quote_plus, urlencode

import pytest

from pdu import DeliverSmResp, Tag, VendorTag, decode_text, join, segment_of, user_data

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
"""
TO_DEMO = '[[incoming]]\ndestination = ["7401"]\naccount = "demo"\n'


def write(gateway, text, ref="1", to="7401"):
    """A subscriber's message, as the provider hands it on."""
    form = urlencode({"id": ref, "phone": "380501234567", "mes": text, "to": to}, quote_via=quote_plus)
    return gateway.get(f"/callback/smsc/{TOKEN}", form.encode())


@pytest.mark.journey
def test_a_bound_client_gets_it_at_once(start, connect):
    gateway = start(SMSC, TO_DEMO)
    esme = connect(gateway)
    esme.bind("receiver")
    assert write(gateway, "Привет") == (200, "OK")
    pdu = esme.receipt()
    assert (pdu.source_addr, pdu.destination_addr, pdu.esm_class, pdu.data_coding) == ("380501234567", "7401", 0, 8)
    assert pdu.short_message.decode("utf-16-be") == "Привет"
    assert pdu.option(VendorTag.INCOMING_ID) == "1"
    status, metrics = gateway.get("/metrics")
    assert status == 200
    assert 'smppbridge_incoming_messages_total{account="demo",provider="smsc"} 1.0' in metrics


@pytest.mark.journey
def test_it_waits_for_its_client_over_a_restart_and_comes_once(start, connect):
    gateway = start(SMSC, TO_DEMO)
    assert write(gateway, "first", "1") == (200, "OK")
    gateway.stop()
    gateway = start(SMSC, TO_DEMO)
    # The provider did not hear our answer: it brings the same again.
    assert write(gateway, "first", "1") == (200, "OK")
    assert write(gateway, "second", "2") == (200, "OK")
    esme = connect(gateway)
    esme.bind()
    assert [esme.receipt().short_message for _ in range(2)] == [b"first", b"second"]
    esme.unbind()
    again = connect(gateway)
    again.bind()
    assert write(gateway, "third", "3") == (200, "OK")
    assert again.receipt().short_message == b"third"


@pytest.mark.journey
def test_what_the_client_did_not_take_comes_again(start, connect):
    gateway = start(SMSC, TO_DEMO)
    esme = connect(gateway)
    esme.bind()
    assert write(gateway, "hello") == (200, "OK")
    assert esme.receipt(answer=False).short_message == b"hello"
    esme.reset()
    esme = connect(gateway)
    esme.bind()
    pdu = esme.receipt(answer=False)
    assert pdu.short_message == b"hello"
    esme.send(DeliverSmResp(sequence_number=pdu.sequence_number))


@pytest.mark.journey
@pytest.mark.parametrize("way", ["parts", "sar", "payload"])
def test_a_long_one_in_the_way_the_account_reads(start, connect, way):
    text = "Длинное сообщение, " * 12
    gateway = start(SMSC, TO_DEMO, **{"[accounts.demo]": f'[accounts.demo]\nincoming_long = "{way}"'})
    esme = connect(gateway)
    esme.bind()
    assert write(gateway, text) == (200, "OK")
    pdus = [esme.receipt()]
    if way == "payload":
        data = pdus[0].tlv(Tag.MESSAGE_PAYLOAD)
    else:
        pdus += [esme.receipt() for _ in range(segment_of(pdus[0]).total - 1)]
        data = join((segment_of(pdu), user_data(pdu)[1]) for pdu in pdus)
    assert decode_text(data, pdus[0].data_coding) == text


@pytest.mark.journey
def test_for_nobody_means_come_again(start, connect, capfd):
    gateway = start(SMSC, TO_DEMO)
    assert write(gateway, "who hears me?", to="7402")[0] == 503
    text = gateway.path.read_text()
    gateway.path.write_text(text.replace('"7401"', '"74*"'))
    gateway.reload()
    assert write(gateway, "who hears me?", to="7402") == (200, "OK")
    esme = connect(gateway)
    esme.bind()
    assert esme.receipt().short_message == b"who hears me?"
    said = capfd.readouterr()
    assert "for no account" in said.out + said.err
    assert "hears me" not in said.out + said.err
