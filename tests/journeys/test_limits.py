"""Limits are answered, and the answer names the limit; fields that cannot be are refused as the specification says."""

import pytest

from pdu import CommandStatus, SubmitSm, Tag, Unbind, encode


@pytest.mark.journey
def test_throughput_has_a_burst_and_says_its_name(start, connect):
    esme = connect(start(**{'password = "demo"': 'password = "demo"\nthroughput = 1\nburst = 3'}))
    esme.bind()
    answers = [esme.submit(f"number {n}") for n in range(4)]
    assert [answer.command_status for answer in answers] == [0, 0, 0, CommandStatus.ESME_RTHROTTLED]
    assert "1 messages a second" in answers[3].option(Tag.ADDITIONAL_STATUS_INFO_TEXT)


@pytest.mark.journey
def test_what_is_being_stored_is_bounded(start, connect):
    esme = connect(start(**{'password = "demo"': 'password = "demo"\nmax_pending = 1'}))
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
    gateway.path.write_text(text.replace('password = "demo"', 'password = "demo"\nthroughput = 1\nburst = 1'))
    gateway.reload()
    assert esme.submit("two").command_status == 0
    assert esme.submit("three").command_status == CommandStatus.ESME_RTHROTTLED


@pytest.mark.journey
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
