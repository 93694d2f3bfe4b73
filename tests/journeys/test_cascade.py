"""Viber first, then SMS: one message, one receipt, both legs on the time-line."""

import re
import time

import pytest

from pdu import DeliverSm
from smppbridge.model import LEG

VIBER = """
[providers.viber]
adapter = "sandbox"
kinds = ["viber", "sms"]
state = "{state}"
status_delay = "{delay}"
poll_first = "100ms"
"""


def cascade(second="sandbox", wait="5s", unknown="stop"):
    """Instead of the route of `conftest.CONFIG`."""
    first = f'{{ kind = "viber", providers = ["viber"], wait = "{wait}", unknown = "{unknown}" }}'
    return {
        'providers = ["sandbox"]': f'cascade = [{first}, {{ kind = "sms", providers = ["{second}"], source = "SHOP" }}]'
    }


def viber(state, delay="20ms"):
    return VIBER.format(state=state, delay=delay)


def timeline(gateway, id):
    return gateway.call(gateway.gateway.store.timeline(int(id)))


def stat(line):
    return re.search(r"stat:(\w+)", line)[1]


@pytest.mark.journey
def test_what_viber_does_not_deliver_goes_by_sms(start, connect):
    gateway = start(viber("undeliverable"), **cascade())
    esme = connect(gateway)
    esme.bind()
    answers = [esme.submit(f"number {n}") for n in range(20)]
    found = esme.receipts(20)
    assert {id: stat(line) for id, line in found.items()} == {one.message_id: "DELIVRD" for one in answers}
    for id in found:
        lines = timeline(gateway, id)
        assert [entry.event for entry in lines][:5] == ["accepted", "sent", "next leg", "sent", "final"]
        route = "by route 1 (everything): viber by viber for 5 s, then sms by sandbox"
        assert [entry.detail for entry in lines[1:4]] == [
            f"viber has it as sb-{id} {route}",
            "leg 1 (viber) is over: viber: UNDELIVERABLE",
            f"sandbox has it as sb-{int(id) + LEG} {route}",
        ]
        # The second leg follows at once, not with the next look at the clock.
        assert lines[3].at - lines[2].at < 900
        message = gateway.call(gateway.gateway.store.find(int(id)))
        assert (message.progress.channel, message.progress.leg) == ("sms", 1)
    # Nobody hears of it twice.
    esme.unbind()
    assert not [pdu for pdu in esme.aside if isinstance(pdu, DeliverSm)]


@pytest.mark.journey
def test_what_viber_delivers_is_not_sent_by_sms(start, connect):
    gateway = start(viber("delivered"), **cascade())
    esme = connect(gateway)
    esme.bind()
    answer = esme.submit("hello")
    assert stat(esme.receipts(1)[answer.message_id]) == "DELIVRD"
    assert [entry.event for entry in timeline(gateway, answer.message_id)][:3] == ["accepted", "sent", "final"]
    assert gateway.gateway.dispatcher.stats["providers"]["sandbox"]["requests"] == 0


@pytest.mark.journey
@pytest.mark.parametrize(
    ("destination", "event"), [("79991230003", "refused by the sandbox"), ("79991230016", "no route")]
)
def test_what_viber_refuses_goes_by_sms_through_the_same_provider(start, connect, destination, event):
    """The endings meet both legs alike, so the second one fails too: once, and told once."""
    gateway = start(viber("delivered"), **cascade(second="viber"))
    esme = connect(gateway)
    esme.bind()
    answer = esme.submit("hello", to=destination)
    assert stat(esme.receipts(1)[answer.message_id]) == "REJECTD"
    lines = timeline(gateway, answer.message_id)
    assert [entry.event for entry in lines][:3] == ["accepted", "next leg", "final"]
    assert event in lines[1].detail
    assert gateway.gateway.dispatcher.stats["providers"]["viber"]["requests"] == 2


@pytest.mark.journey
def test_on_request_it_goes_on_though_nobody_knows(start, connect):
    gateway = start(viber("delivered", delay="60s"), **cascade(wait="300ms", unknown="next"))
    esme = connect(gateway)
    esme.bind()
    answer = esme.submit("hello")
    assert stat(esme.receipts(1)[answer.message_id]) == "DELIVRD"
    lines = timeline(gateway, answer.message_id)
    assert "next leg" in [entry.event for entry in lines]
    assert any(entry.detail.endswith("viber: no final status within this leg") for entry in lines)


@pytest.mark.journey
def test_a_restart_between_two_legs(start, connect):
    first = start(viber("undeliverable", delay="60s"), **cascade(wait="2s"))
    esme = connect(first)
    esme.bind("transmitter")
    answer = esme.submit("hello")
    until = time.monotonic() + 10
    while "sent" not in [entry.event for entry in timeline(first, answer.message_id)]:
        assert time.monotonic() < until
        time.sleep(0.01)
    esme.unbind()
    first.stop()
    # The provider has forgotten it and says what becomes of it when it is asked: with the end of the leg at the latest.
    second = start(viber("undeliverable"), **cascade(wait="2s"))
    receiver = connect(second)
    receiver.bind("receiver")
    assert stat(receiver.receipts(1)[answer.message_id]) == "DELIVRD"
    events = [entry.event for entry in timeline(second, answer.message_id)]
    assert events[:5] == ["accepted", "sent", "next leg", "sent", "final"]


@pytest.mark.journey
def test_one_provider_has_both_channels(start, connect):
    """What a newcomer tries with the sandbox alone."""
    gateway = start(viber("delivered"), **cascade(second="viber"))
    esme = connect(gateway)
    esme.bind()
    answer = esme.submit("hello", to="79991230021")
    assert stat(esme.receipts(1)[answer.message_id]) == "DELIVRD"
    assert [entry.event for entry in timeline(gateway, answer.message_id)][1:4] == ["sent", "next leg", "sent"]
