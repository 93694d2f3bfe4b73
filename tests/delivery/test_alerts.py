"""Who is to be told of whom, and in which words."""

import pytest

from pdu import DataSm, MessageState, SubmitSm, Tag, Tlv, encode, tlv
from smppbridge.config import AccountConfig
from smppbridge.delivery.alerts import Watch, alert_notification
from smppbridge.model import Incoming, Kind, Message, Notify, Progress, Sms, Stage

ASKED = [tlv(Tag.SET_DPF, 1)]


def message(state=MessageState.UNDELIVERABLE, err=6, to="+79991230004", account="demo", kind=Kind.SMS, **values):
    pdu = SubmitSm(sequence_number=1, destination_addr=to, tlvs=values.pop("tlvs", ASKED))
    return Message(
        id=1,
        account=account,
        bind=1,
        sequence=1,
        kind=kind,
        command=Sms(text="Hello"),
        source="shop",
        source_ton=5,
        source_npi=0,
        destination=to,
        destination_ton=1,
        destination_npi=1,
        priority=0,
        registered_delivery=0,
        notify=Notify.NOBODY,
        data_coding=0,
        pdu=values.pop("pdu", None) or encode(pdu),
        accepted_at=1,
        expires=2,
        progress=Progress(stage=Stage.FINAL, state=state, err=err, done_at=7, **values),
    )


def watch(anybody=True, **account):
    return Watch({"demo": AccountConfig(password="x", allowed_networks=(), **account)}, lambda: anybody)


DELIVERED = {"state": MessageState.DELIVERED, "err": 0}


@pytest.mark.parametrize(
    ("settings", "values", "wanted"),
    [
        ({}, {}, True),
        ({}, {"state": MessageState.EXPIRED}, True),
        ({}, {"tlvs": []}, False),
        ({}, {"tlvs": [tlv(Tag.SET_DPF, 0)]}, False),
        ({}, {"tlvs": [Tlv(Tag.SET_DPF, b"\1\1\1")]}, False),
        ({}, {"pdu": encode(DataSm(sequence_number=1, destination_addr="7", tlvs=ASKED))}, True),
        ({}, {"pdu": b"no PDU"}, False),
        ({}, {"err": 1}, False),
        ({}, {"err": 0}, False),
        ({}, {"account": "gone"}, False),
        ({}, {"state": MessageState.DELIVERED}, False),
        ({"alerts": "always"}, {"tlvs": []}, True),
        ({"alerts": "never"}, {}, False),
        ({"alert_errors": (1, 27)}, {"err": 27}, True),
        ({"alert_errors": (1, 27)}, {}, False),
        ({"alert_errors": ()}, {}, False),
    ],
)
def test_who_wants_to_hear(settings, values, wanted):
    here = watch(**settings)
    here.ended([message(**values)])
    absent, _ = here.take()
    assert bool(absent) is wanted


def test_what_is_remembered():
    here = watch()
    here.ended([message(), message()])
    (one,), reached = here.take()
    assert (one.account, one.subscriber, one.destination, one.source, one.source_ton, one.at) == (
        "demo",
        "79991230004",
        "+79991230004",
        "shop",
        5,
        7,
    )
    assert reached == []
    assert here.take() == ([], [])


@pytest.mark.parametrize(
    ("values", "reached"),
    [
        (DELIVERED, True),
        (DELIVERED | {"account": "another"}, True),
        (DELIVERED | {"kind": Kind.PING}, True),
        (DELIVERED | {"kind": Kind.HLR}, True),
        (DELIVERED | {"kind": Kind.VIBER}, False),
        (DELIVERED | {"kind": Kind.VIBER, "channel": "sms"}, True),
        (DELIVERED | {"channel": "whatsapp"}, False),
        ({"err": 0}, False),
        ({"state": MessageState.UNKNOWN}, False),
    ],
)
def test_what_says_that_a_subscriber_can_be_reached(values, reached):
    here = watch(alerts="never")
    here.ended([message(**values)])
    assert here.take()[1] == (["79991230004"] if reached else [])


def test_nothing_is_gathered_where_nobody_waits():
    here = watch(anybody=False)
    here.ended([message(**DELIVERED)])
    assert here.take() == ([], [])
    # Somebody does since a moment ago, and the store does not know it yet.
    here.ended([message(), message(**DELIVERED)])
    assert [len(what) for what in here.take()] == [1, 1]
    here.ended([message()])
    here.ended([message(**DELIVERED)])
    assert [len(what) for what in here.take()] == [1, 1]


def test_the_last_that_was_heard_counts():
    here = watch()
    here.ended([message(**DELIVERED), message()])
    assert [len(what) for what in here.take()] == [1, 0]
    here.ended([message(), message(**DELIVERED)])
    assert [len(what) for what in here.take()] == [1, 1]


def test_what_the_store_did_not_take_is_told_again():
    here = watch()
    here.ended([message(), message(**DELIVERED), message(to="1", **DELIVERED)])
    taken = here.take()
    here.put_back(*taken)
    absent, reached = here.take()
    assert (absent, sorted(reached)) == (taken[0], ["1", "79991230004"])
    here.ended([message()])
    here.put_back([], reached)
    assert here.take()[1] == ["1"]


@pytest.mark.parametrize(("version", "tlvs"), [(0x33, []), (0x34, [tlv(Tag.MS_AVAILABILITY_STATUS, 0)])])
def test_the_words(version, tlvs):
    row = Incoming(provider="", ref="", source="+79991230004", destination="shop", text="", alert=(1, 2, 5, 0))
    pdu = alert_notification(row, version)
    assert (pdu.source_addr, pdu.source_addr_ton, pdu.source_addr_npi) == ("+79991230004", 1, 2)
    assert (pdu.esme_addr, pdu.esme_addr_ton, pdu.esme_addr_npi) == ("shop", 5, 0)
    assert pdu.tlvs == tlvs
    assert encode(pdu)


def test_a_number_with_a_nul_is_nobody():
    here = watch()
    here.met("7\0009")
    here.met("79")
    assert here.take() == ([], ["79"])
