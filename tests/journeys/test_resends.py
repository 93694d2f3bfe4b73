"""The one-minute rule, and the resend that it must not refuse."""

import pytest

from pdu import CommandStatus, SubmitSm, Tag, encode


@pytest.mark.journey
def test_an_identical_message_is_refused_for_a_minute_with_a_permanent_status(start, connect):
    esme = connect(start())
    esme.bind()
    first = esme.submit("the same")
    again = esme.submit("the same")
    assert again.command_status == CommandStatus.ESME_RSUBMITFAIL
    assert first.message_id in again.option(Tag.ADDITIONAL_STATUS_INFO_TEXT)


@pytest.mark.journey
@pytest.mark.parametrize(
    "changed",
    [{"source_addr": "OTHER"}, {"to": "79991230099"}, {"data_coding": 4, "text": "the sam\xe9".encode("latin-1")}],
)
def test_what_differs_is_not_identical(start, connect, changed):
    esme = connect(start())
    esme.bind()
    esme.submit("the same")
    assert esme.submit(**({"text": "the same"} | changed)).command_status == CommandStatus.ESME_ROK


@pytest.mark.journey
def test_another_kind_with_the_same_words_is_not_identical(start, connect):
    esme = connect(start())
    esme.bind()
    assert esme.submit("__VIBER__: the same").command_status == 0
    assert esme.submit("__SOC__: the same").command_status == 0


@pytest.mark.journey
def test_the_window_and_the_status_are_settings(start, connect):
    account = 'password = "demo"\nduplicate_window = 0'
    esme = connect(start(**{'password = "demo"': account}))
    esme.bind()
    assert esme.submit("the same").command_status == 0
    assert esme.submit("the same").command_status == 0


@pytest.mark.journey
def test_a_resend_after_a_lost_link_gets_the_same_id_and_is_sent_once(start, connect):
    gateway = start()
    first = connect(gateway)
    first.bind()
    # The response is never read: the link breaks first.
    first.send(SubmitSm(source_addr="TEST", destination_addr="79991234567", short_message=b"hi", registered_delivery=1))
    deadline = 100
    while not gateway.call(gateway.gateway.store.last_id()) and deadline:
        deadline -= 1
    first.reset()
    second = connect(gateway)
    second.bind()
    again = second.submit("hi")
    assert again.command_status == CommandStatus.ESME_ROK
    assert list(second.receipts(1)) == [again.message_id]
    assert gateway.call(gateway.gateway.store.last_id()) == int(again.message_id)
    kept = gateway.gateway.store
    lines = [line.event for _ in range(100) for line in gateway.call(kept.timeline(int(again.message_id)))]
    assert "resent" in lines


@pytest.mark.journey
def test_a_repetition_after_an_unbind_is_refused(start, connect):
    gateway = start()
    first = connect(gateway)
    first.bind()
    assert first.submit("hi").command_status == 0
    first.unbind()
    second = connect(gateway)
    second.bind()
    assert second.submit("hi").command_status == CommandStatus.ESME_RSUBMITFAIL


@pytest.mark.journey
def test_a_resend_after_a_restart_gets_the_same_id(start, connect):
    gateway = start()
    first = connect(gateway)
    first.bind()
    answer = first.submit("hi", registered_delivery=0)
    first.reset()
    gateway.stop()
    second = connect(start())
    second.bind()
    assert second.submit("hi", registered_delivery=0).message_id == answer.message_id


@pytest.mark.journey
def test_two_identical_ones_in_one_packet_are_one_message(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    twins = [
        SubmitSm(source_addr="T", destination_addr="79991234567", short_message=b"twin", sequence_number=number)
        for number in (100, 101)
    ]
    esme.socket.sendall(b"".join(encode(twin) for twin in twins))
    statuses = [esme.receive().command_status for _ in twins]
    assert statuses == [CommandStatus.ESME_ROK, CommandStatus.ESME_RSUBMITFAIL]
