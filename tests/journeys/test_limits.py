"""Limits are answered, and the answer names the limit; fields that cannot be are refused as the specification says."""

import asyncio
import re

import pytest

from pdu import CommandStatus, SubmitSm, Tag, Unbind, encode
from smppbridge.config import load
from smppbridge.smpp.admission import hash_password
from smppbridge.smpp.events import BindRequest

THROTTLED, FULL = CommandStatus.ESME_RTHROTTLED, CommandStatus.ESME_RMSGQFUL
REFUSED = CommandStatus.ESME_RSUBMITFAIL


def account(*settings):
    """Settings for the account of the gateway under test."""
    return {'password = "demo"': "\n".join(('password = "demo"', *settings))}


@pytest.mark.journey
@pytest.mark.parametrize(
    ("setting", "sent", "status", "reason"),
    [
        ("throughput = 0.1\nburst = 2", [{}, {}], THROTTLED, r"more than 0.1 messages a second, free again in \d+ s"),
        ("per_minute = 2", [{}, {}], THROTTLED, r"more than 2 messages a minute, free again in \d+ s"),
        ("per_hour = 1", [{}], THROTTLED, r"more than 1 messages an hour, free again in \d+ min"),
        ("per_day = 1\nper_hour = 1", [{}], THROTTLED, r"more than 1 messages a day, free again in \d+ h"),
        (
            "max_waiting = 2",
            [{"schedule_delivery_time": "000000010000000R"}] * 2,
            FULL,
            "2 messages of yours wait for a provider",
        ),
        ('kinds = ["viber", "mail"]', [], REFUSED, "this account may not send sms, only mail, viber"),
        (
            'destinations = ["+380*", "7401"]',
            [{"to": "+380501234567"}, {"to": "380501234567"}, {"to": "7401"}],
            CommandStatus.ESME_RINVDSTADR,
            r"this account may send to \+380\*, 7401 alone",
        ),
        (
            'senders = ["SHOP*", "INFO"]',
            [{"source_addr": "INFO"}, {"source_addr": "SHOP24"}],
            CommandStatus.ESME_RINVSRCADR,
            r"source_addr of this account is SHOP\*, INFO",
        ),
        (
            "flood_messages = 2",
            [{}, {}, {"to": "79990000000"}],
            REFUSED,
            r"more than 2 messages to one subscriber at gaps under 30 s, free again in \d+ s",
        ),
        (
            'flood_messages = 1\nflood_gap = "1h"\nflood_status = "ESME_RINVDSTADR"',
            [{}],
            CommandStatus.ESME_RINVDSTADR,
            r"more than 1 messages to one subscriber at gaps under 60 min, free again in \d+ min",
        ),
    ],
)
def test_every_limit_has_its_status_and_says_its_number(start, connect, setting, sent, status, reason):
    gateway = start(**account(setting))
    esme = connect(gateway)
    esme.bind()
    for number, fields in enumerate(sent):
        assert esme.submit(f"number {number}", **fields).command_status == 0
    refused = esme.submit("one too many")
    assert refused.command_status == status
    assert re.fullmatch(reason, refused.option(Tag.ADDITIONAL_STATUS_INFO_TEXT))
    limit = re.match(r"\w+", setting)[0]
    _, metrics = gateway.get("/metrics")
    assert f'smppbridge_messages_limited_total{{account="demo",limit="{limit}"}} 1.0' in metrics


@pytest.mark.journey
def test_a_message_that_is_refused_for_another_reason_is_not_counted(start, connect):
    esme = connect(start(**account("per_day = 2", "flood_messages = 2")))
    esme.bind()
    assert esme.submit("first").command_status == 0
    # A text that cannot be, an identical message, a destination that is none: nobody pays for them.
    for text, fields in (("__TGM__: not a code", {}), ("first", {}), ("x", {"to": "nobody"})):
        assert esme.submit(text, **fields).command_status not in (0, CommandStatus.ESME_RTHROTTLED)
    assert esme.submit("second").command_status == 0
    assert esme.submit("third").command_status == CommandStatus.ESME_RTHROTTLED


@pytest.mark.journey
def test_clients_of_5_0_hear_how_near_the_limit_is_and_others_do_not(start, connect):
    gateway = start(**account("throughput = 0.01", "burst = 9"))
    told = {}
    for version in (0x50, 0x34):
        esme = connect(gateway)
        esme.bind(interface_version=version)
        told[version] = [esme.submit(f"{version} number {n}").option(Tag.CONGESTION_STATE) for n in range(10)]
        gateway.path.write_text(gateway.path.read_text().replace("throughput = 0.01", "throughput = 0.02"))
        gateway.reload()
    # Nine of nine leave room for none: one more would be ten of ten.
    assert told == {0x50: [None] * 7 + [80, 90, 99], 0x34: [None] * 10}


@pytest.mark.journey
def test_throughput_has_a_burst_and_says_its_name(start, connect):
    esme = connect(start(**{'password = "demo"': 'password = "demo"\nthroughput = 1\nburst = 3'}))
    esme.bind()
    answers = [esme.submit(f"number {n}") for n in range(4)]
    assert [answer.command_status for answer in answers] == [0, 0, 0, CommandStatus.ESME_RTHROTTLED]
    assert "1 messages a second" in answers[3].option(Tag.ADDITIONAL_STATUS_INFO_TEXT)


@pytest.mark.journey
@pytest.mark.parametrize(
    ("settings", "limit", "reason"),
    [
        (account("max_pending = 1"), "max_pending", "1 messages of yours are being stored"),
        ({"[smpp]": "[smpp]\nmax_pending = 1"}, "max_pending of [smpp]", "1 messages are being stored, all clients"),
    ],
)
def test_what_is_being_stored_is_bounded(start, connect, settings, limit, reason):
    gateway = start(**settings)
    esme = connect(gateway)
    esme.bind()
    flood = [
        SubmitSm(source_addr="T", destination_addr="79991234567", short_message=b"%d" % n, sequence_number=n)
        for n in range(100, 120)
    ]
    esme.socket.sendall(b"".join(encode(pdu) for pdu in flood))
    answers = {pdu.sequence_number: pdu for pdu in (esme.receive() for _ in flood)}
    statuses = {answer.command_status for answer in answers.values()}
    assert statuses == {CommandStatus.ESME_ROK, CommandStatus.ESME_RMSGQFUL}
    assert len(answers) == len(flood)
    refused = [answer for answer in answers.values() if answer.command_status]
    assert {answer.option(Tag.ADDITIONAL_STATUS_INFO_TEXT) for answer in refused} == {reason}
    _, metrics = gateway.get("/metrics")
    assert f'smppbridge_messages_limited_total{{account="demo",limit="{limit}"}} {len(refused)}.0' in metrics


@pytest.mark.journey
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"to": ""}, CommandStatus.ESME_RINVDSTADR),
        ({"to": "nobody"}, CommandStatus.ESME_RINVDSTADR),
        ({"priority_flag": 9}, CommandStatus.ESME_RINVPRTFLG),
        ({"validity_period": "nonsense"}, CommandStatus.ESME_RINVEXPIRY),
        ({"schedule_delivery_time": "nonsense"}, CommandStatus.ESME_RINVSCHED),
        ({"validity_period": "000000000001000R", "schedule_delivery_time": "000001000000000R"}, 0x62),
        ({"replace_if_present_flag": 1}, CommandStatus.ESME_RREPLACEFAIL),
    ],
)
def test_fields_that_cannot_be(start, connect, fields, status):
    esme = connect(start())
    esme.bind()
    answer = esme.submit("x", **fields)
    assert answer.command_status == status


@pytest.mark.journey
def test_a_kind_without_a_route_is_refused_at_once(start, connect):
    route = '[[routes]]\nkinds = ["sms"]\nproviders = ["sandbox"]'
    esme = connect(start(**{'[[routes]]\nproviders = ["sandbox"]': route}))
    esme.bind()
    assert esme.submit("plain").command_status == 0
    refused = esme.submit("__VIBER__: x")
    assert refused.command_status == CommandStatus.ESME_RSUBMITFAIL
    assert "route" in refused.option(Tag.ADDITIONAL_STATUS_INFO_TEXT)


@pytest.mark.journey
def test_a_scheduled_message_waits_and_one_out_of_validity_expires(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    later = esme.submit("later", schedule_delivery_time="000000010000000R")
    assert later.command_status == 0
    kept = gateway.call(gateway.gateway.store.find(int(later.message_id)))
    assert kept.progress.stage.name == "WAITING"
    assert 3_500_000 < kept.progress.due - kept.accepted_at <= 3_600_000


@pytest.mark.journey
def test_reload_changes_limits_without_dropping_a_bind(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    assert esme.submit("one").command_status == 0
    text = gateway.path.read_text()
    gateway.path.write_text(text.replace('password = "demo"', 'password = "demo"\nthroughput = 0.1\nburst = 1'))
    gateway.reload()
    assert esme.submit("two").command_status == 0
    assert esme.submit("three").command_status == CommandStatus.ESME_RTHROTTLED
    # Nor does another one begin anew what was counted.
    gateway.reload()
    assert esme.submit("four").command_status == CommandStatus.ESME_RTHROTTLED


@pytest.mark.journey
def test_a_bind_whose_password_is_being_hashed_when_its_account_goes_is_refused(start):
    gateway = start(**{'password = "demo"': f'password_hash = "{hash_password("demo")}"'})
    without = gateway.path.read_text().replace("[accounts.demo]", "[accounts.other]")

    async def bind_and_reload():
        request = BindRequest(bind_type="transceiver", system_id="demo", password="demo")
        bind = asyncio.create_task(gateway.gateway.admit(request, "127.0.0.1:1", None))
        await asyncio.sleep(0)
        gateway.path.write_text(without)
        gateway.gateway.reload(load(gateway.path))
        return await bind

    assert gateway.call(bind_and_reload()).status == CommandStatus.ESME_RINVSYSID


def test_reload_sends_off_whose_account_is_gone_and_nobody_else(start, connect):
    second = """
        [accounts.second]
        password = "second"
        allowed_networks = ["127.0.0.0/8"]
    """
    gateway = start(second)
    stays, goes = connect(gateway), connect(gateway)
    stays.bind()
    goes.bind(system_id="second", password="second")
    gateway.path.write_text(gateway.path.read_text().partition("[accounts.second]")[0])
    gateway.reload()
    assert isinstance(goes.receive(), Unbind)
    assert stays.submit("still here").command_status == CommandStatus.ESME_ROK
