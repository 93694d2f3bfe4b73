"""QUERY_SM, CANCEL_SM and REPLACE_SM over a bind: what is answered, and what becomes of the messages."""

import re
import time

import pytest
import smpplib.client
import smpplib.smpp

from pdu import (
    CancelSm,
    CommandStatus,
    MessageState,
    QuerySm,
    ReplaceSm,
    SmeAddress,
    SubmitMulti,
    Tag,
    parse_time,
    tlv,
)

ROK = CommandStatus.ESME_ROK
QUERYFAIL = CommandStatus.ESME_RQUERYFAIL
CANCELFAIL = CommandStatus.ESME_RCANCELFAIL
REPLACEFAIL = CommandStatus.ESME_RREPLACEFAIL
INVMSGID = CommandStatus.ESME_RINVMSGID

#: Far enough away that it never comes, and as a relative time (SMPP 3.4 §7.1.1.2): a day.
LATER = "000001000000000R"
#: One request at a time, and each takes a while, so that what comes after the first one waits in the lane.
SLOW = {"[providers.sandbox]": '[providers.sandbox]\nbatch = 1\nmax_in_flight = 1\naccept_delay = "250ms"'}

pytestmark = pytest.mark.journey


def query(esme, id, source="TEST", **fields):
    return esme.ask(QuerySm(message_id=id, source_addr=source, **fields))


def cancel(esme, id="", source="TEST", to="", **fields):
    return esme.ask(CancelSm(message_id=id, source_addr=source, destination_addr=to, **fields)).command_status


def replace(esme, id, text, source="TEST", **fields):
    fields.setdefault("registered_delivery", 1)
    answer = esme.ask(ReplaceSm(message_id=id, source_addr=source, short_message=text.encode("ascii"), **fields))
    return answer.command_status


def found(gateway, id):
    return gateway.call(gateway.gateway.store.find(int(id)))


def events(gateway, id):
    return [entry.event for entry in gateway.call(gateway.gateway.store.timeline(int(id)))]


def stat(receipt):
    return re.search(r"stat:(\w+)", receipt.short_message.decode("ascii"))[1]


def reason(answer):
    return answer.option(Tag.ADDITIONAL_STATUS_INFO_TEXT)


def until(holds, seconds=10):
    end = time.monotonic() + seconds
    while not (value := holds()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return value


# QUERY_SM ------------------------------------------------------------------------------------------------------------


def test_a_query_tells_how_far_a_message_has_come(start, connect):
    gateway = start(**{'password = "demo"': 'password = "demo"\ntimezone = "Asia/Kathmandu"'})
    esme = connect(gateway)
    esme.bind()
    waiting = esme.submit("later", schedule_delivery_time=LATER).message_id
    answer = query(esme, waiting)
    assert (answer.command_status, answer.message_id) == (ROK, waiting)
    assert (answer.message_state, answer.final_date, answer.error_code) == (MessageState.SCHEDULED, "", 0)

    delivered, absent = esme.submit("now").message_id, esme.submit("now", to="79990000004").message_id
    esme.receipts(2)
    answer = query(esme, delivered)
    assert (answer.message_state, answer.error_code) == (MessageState.DELIVERED, 0)
    # 5 h 45 min, in quarters of an hour.
    assert answer.final_date.endswith("23+")
    message = found(gateway, delivered)
    ended = parse_time(answer.final_date, None).timestamp()
    assert abs(ended - message.progress.done_at / 1000) < 0.2
    answer = query(esme, absent)
    assert (answer.message_state, answer.error_code) == (MessageState.UNDELIVERABLE, 6)


def test_smpplib_asks_and_reads_the_answer(start, connect):
    gateway = start()
    client = smpplib.client.Client("127.0.0.1", gateway.port, allow_unknown_opt_params=True)
    client.connect()
    try:
        client.bind_transceiver(system_id="demo", password="demo")
        fields = {"source_addr": "TEST", "destination_addr": "79991234567", "registered_delivery": 0}
        client.send_message(short_message=b"hello", schedule_delivery_time=LATER, **fields)
        id = client.read_pdu().message_id.decode("ascii")

        def state():
            client.query_message(message_id=id, source_addr_ton=0, source_addr_npi=0, source_addr="TEST")
            answer = client.read_pdu()
            assert (answer.command, answer.message_id.decode("ascii")) == ("query_sm_resp", id)
            return answer.message_state, bool(answer.final_date)

        assert state() == (MessageState.ENROUTE, False)
        other = connect(gateway)
        other.bind()
        assert cancel(other, id) == ROK
        assert state() == (MessageState.DELETED, True)
        client.query_message(message_id="1", source_addr_ton=0, source_addr_npi=0, source_addr="TEST")
        assert client.read_pdu().status == QUERYFAIL
    finally:
        client.disconnect()


def test_a_client_of_3_4_hears_of_no_state_that_it_does_not_know(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind(interface_version=0x34)
    waiting = esme.submit("later", schedule_delivery_time=LATER).message_id
    assert query(esme, waiting).message_state == MessageState.ENROUTE


def test_only_the_sender_of_a_message_hears_of_it(start, connect):
    gateway = start(
        """
        [accounts.other]
        password = "other"
        allowed_networks = ["127.0.0.0/8"]
        """
    )
    esme, other = connect(gateway), connect(gateway)
    esme.bind()
    other.bind(system_id="other", password="other")
    number = esme.submit("later", source_addr="+79990001122", schedule_delivery_time=LATER).message_id
    nameless = esme.submit("later", source_addr="", schedule_delivery_time=LATER).message_id
    # A plus makes no difference, nor do TON and NPI.
    assert query(esme, number, source="79990001122", source_addr_ton=1, source_addr_npi=1).command_status == ROK
    assert query(esme, nameless, source="").command_status == ROK
    for client, id, source in (
        (other, number, "+79990001122"),
        (esme, number, ""),
        (esme, number, "79990001123"),
        (esme, nameless, "TEST"),
        (esme, str(int(number) + 256), "+79990001122"),
    ):
        answer = query(client, id, source=source)
        assert answer.command_status == QUERYFAIL
        assert reason(answer) == "this account has no message with this id and source_addr"
        assert cancel(client, id, source=source) == CANCELFAIL
        assert replace(client, id, "x", source=source) == REPLACEFAIL
    for id in ("", "no id", "-5", "99999999999999999999999"):
        assert query(esme, id).command_status == INVMSGID
        assert replace(esme, id, "x") == INVMSGID
    assert cancel(esme, "no id") == INVMSGID
    assert events(gateway, number) == ["accepted"]


def test_a_held_part_is_under_way_and_nothing_else(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    part = [tlv(Tag.SAR_MSG_REF_NUM, 7), tlv(Tag.SAR_TOTAL_SEGMENTS, 2), tlv(Tag.SAR_SEGMENT_SEQNUM, 1)]
    first = esme.submit("one ", tlvs=part, schedule_delivery_time=LATER).message_id
    answer = query(esme, first)
    assert (answer.command_status, answer.message_state, answer.final_date) == (ROK, MessageState.ENROUTE, "")
    answer = esme.ask(CancelSm(message_id=first, source_addr="TEST"))
    assert answer.command_status == CANCELFAIL
    assert reason(answer) == "the other parts of this message have not come yet; without them it ends as EXPIRED"
    assert replace(esme, first, "x") == REPLACEFAIL
    # Once it is whole, either id stands for all of it.
    part[2] = tlv(Tag.SAR_SEGMENT_SEQNUM, 2)
    second = esme.submit("two", tlvs=part, schedule_delivery_time=LATER).message_id
    assert query(esme, second).message_state == MessageState.SCHEDULED
    assert cancel(esme, second) == ROK
    assert query(esme, first).message_state == MessageState.DELETED
    assert {id: line[-4:] for id, line in esme.receipts(2).items()}.keys() == {first, second}


# CANCEL_SM -----------------------------------------------------------------------------------------------------------


def test_a_message_that_waits_is_cancelled_and_ends_as_deleted(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    told = esme.submit("later", schedule_delivery_time=LATER).message_id
    silent = esme.submit("on success", schedule_delivery_time=LATER, registered_delivery=3).message_id
    assert cancel(esme, told, to="79990000000") == CANCELFAIL
    assert cancel(esme, told, to="+79991234567") == ROK
    receipt = esme.receipt()
    assert (receipt.option(Tag.RECEIPTED_MESSAGE_ID), stat(receipt)) == (told, "DELETED")
    assert cancel(esme, silent) == ROK
    for id in (told, silent):
        answer = query(esme, id)
        assert (answer.message_state, answer.error_code) == (MessageState.DELETED, 0)
        assert answer.final_date
        answer = esme.ask(CancelSm(message_id=id, source_addr="TEST"))
        assert (answer.command_status, reason(answer)) == (CANCELFAIL, "it has ended as DELETED")
        assert replace(esme, id, "x") == REPLACEFAIL
    assert events(gateway, silent) == ["accepted", "final"]
    assert gateway.gateway.store.unsent_of("demo") == 0


def test_what_a_provider_has_is_not_cancelled(start, connect):
    gateway = start(**{'status_delay = "20ms"': 'status_delay = "60s"'})
    esme = connect(gateway)
    esme.bind()
    id = esme.submit("now").message_id
    until(lambda: "sent" in events(gateway, id))
    answer = esme.ask(CancelSm(message_id=id, source_addr="TEST"))
    assert (answer.command_status, reason(answer)) == (CANCELFAIL, "a provider has it")
    answer = esme.ask(ReplaceSm(message_id=id, source_addr="TEST", short_message=b"x"))
    assert (answer.command_status, reason(answer)) == (REPLACEFAIL, "a provider has it")
    assert query(esme, id).message_state == MessageState.ENROUTE


def test_all_from_a_source_to_a_destination_are_cancelled(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()

    def later(text, **fields):
        return esme.submit(text, schedule_delivery_time=LATER, registered_delivery=0, **fields).message_id

    these = [later(f"number {n}") for n in range(5)]
    mail = [later(f"mail {n}", service_type="VMN") for n in range(2)]
    others = [later("a", to="79990000001"), later("b", source_addr="OTHER")]
    assert cancel(esme, to="") == CommandStatus.ESME_RINVDSTADR
    assert cancel(esme, to="79995555555") == CANCELFAIL
    assert cancel(esme, to="79991234567", service_type="CPT") == CANCELFAIL
    assert cancel(esme, to="79991234567", service_type="VMN") == ROK
    assert [query(esme, id).message_state for id in mail] == [MessageState.DELETED] * 2
    assert {query(esme, id).message_state for id in these} == {MessageState.SCHEDULED}
    assert cancel(esme, to="79991234567") == ROK
    assert {query(esme, id).message_state for id in these} == {MessageState.DELETED}
    assert query(esme, others[0]).message_state == MessageState.SCHEDULED
    assert query(esme, others[1], source="OTHER").message_state == MessageState.SCHEDULED
    assert cancel(esme, to="79991234567") == CANCELFAIL


def test_of_a_submit_multi_all_that_wait_are_cancelled(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    numbers = [f"7999555000{n}" for n in range(3)]
    request = SubmitMulti(
        source_addr="TEST",
        dest_addresses=[SmeAddress(destination_addr=number) for number in numbers],
        schedule_delivery_time=LATER,
        registered_delivery=1,
        short_message=b"to all",
    )
    id = esme.ask(request).message_id
    assert query(esme, id).message_state == MessageState.SCHEDULED
    assert replace(esme, id, "another") == REPLACEFAIL
    # One of them, and it is not over before the last one is.
    assert cancel(esme, id, to=numbers[1]) == ROK
    assert esme.receipt().source_addr == numbers[1]
    assert query(esme, id).message_state == MessageState.SCHEDULED
    assert cancel(esme, id) == ROK
    assert {esme.receipt().source_addr, esme.receipt().source_addr} == {numbers[0], numbers[2]}
    answer = query(esme, id)
    assert (answer.message_state, bool(answer.final_date)) == (MessageState.DELETED, True)
    assert cancel(esme, id) == CANCELFAIL


@pytest.mark.parametrize("policy", ["repeat", "ask"])
def test_cancelling_races_with_sending_and_nothing_is_both(start, connect, policy):
    """Stored as begun (repeat) or not: what is cancelled was never sent, what is not was sent once."""
    gateway = start(**{"[providers.sandbox]": f'{SLOW["[providers.sandbox]"]}\nwhen_in_doubt = "{policy}"'})
    esme = connect(gateway)
    esme.bind()
    ids = [esme.submit(f"number {n}").message_id for n in range(8)]
    verdicts = {id: cancel(esme, id) for id in reversed(ids)}
    cancelled = {id for id, status in verdicts.items() if status == ROK}
    assert set(verdicts.values()) == {ROK, CANCELFAIL}
    lines = esme.receipts(8)
    assert {id for id, line in lines.items() if "stat:DELETED" in line} == cancelled
    assert {id for id, line in lines.items() if "stat:DELIVRD" in line} == set(ids) - cancelled
    for id in ids:
        assert ("sent" in events(gateway, id)) is (id not in cancelled)
        assert events(gateway, id).count("final") == 1
    requests = gateway.gateway.dispatcher.stats["providers"]["sandbox"]["requests"]
    assert requests == len(set(ids) - cancelled)


def test_a_restart_forgets_neither_what_waits_nor_what_was_cancelled(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    before, after = (esme.submit(text, schedule_delivery_time=LATER).message_id for text in ("one", "two"))
    assert cancel(esme, before) == ROK
    esme.receipt()
    esme.unbind()
    gateway.stop()
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    assert query(esme, before).message_state == MessageState.DELETED
    assert query(esme, after).message_state == MessageState.SCHEDULED
    assert cancel(esme, after) == ROK
    assert stat(esme.receipt()) == "DELETED"


# REPLACE_SM ----------------------------------------------------------------------------------------------------------


def test_another_text_takes_the_place_of_one_that_waits(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    id = esme.submit("first text", schedule_delivery_time=LATER, service_type="VMN").message_id
    before = found(gateway, id)
    assert replace(esme, id, "second text") == ROK
    after = found(gateway, id)
    assert (after.command.text, after.kind) == ("second text", "sms")
    # Empty times keep the old ones.
    assert (after.progress.due, after.expires) == (before.progress.due, before.expires)
    assert query(esme, id).message_state == MessageState.SCHEDULED
    # The conventions hold: the kind may change, and a comment with it.
    assert replace(esme, id, "__VIBER__:third text\n~~~\nfor us") == ROK
    after = found(gateway, id)
    assert (after.kind, after.command.text, after.command.comment) == ("viber", "third text", "for us")
    # And the times: now.
    assert replace(esme, id, "fourth text", schedule_delivery_time="000000000000000R", registered_delivery=0) == ROK
    until(lambda: query(esme, id).message_state == MessageState.DELIVERED)
    assert events(gateway, id) == ["accepted", "replaced", "replaced", "replaced", "sent", "final"]
    final = found(gateway, id)
    assert (final.kind, final.command.text, final.notify) == ("sms", "fourth text", 0)
    # Nobody asked for a receipt any more.
    assert [one for one in esme.aside if one.command_id == 5] == []


def test_a_replaced_text_is_refused_as_it_would_be_at_first(start, connect):
    gateway = start(
        **{
            'password = "demo"': 'password = "demo"\nkinds = ["sms"]',
            'providers = ["sandbox"]': 'providers = ["sandbox"]\nkinds = ["sms", "mail"]',
        }
    )
    esme = connect(gateway)
    esme.bind()
    id = esme.submit("first text", schedule_delivery_time=LATER).message_id
    before = found(gateway, id)
    for text, fields, status in (
        ("", {}, CommandStatus.ESME_RINVMSGLEN),
        ("", {"sm_default_msg_id": 3}, CommandStatus.ESME_RINVDFTMSGID),
        ("__VIBER_:nearly", {}, CommandStatus.ESME_RSUBMITFAIL),
        ("__VIBER__:no route", {}, CommandStatus.ESME_RSUBMITFAIL),
        ("__MAIL__:not allowed", {}, CommandStatus.ESME_RSUBMITFAIL),
        ("x", {"schedule_delivery_time": "000003000000000R"}, ROK),
        ("x", {"validity_period": "000001000000000R"}, CommandStatus.ESME_RINVEXPIRY),
        ("x", {"validity_period": "990101000000000+"}, ROK),
    ):
        assert (text, replace(esme, id, text, **fields)) == (text, status)
    after = found(gateway, id)
    assert after.command.text == "x"
    assert after.progress.due - before.progress.due > 86_400_000
    assert after.expires > before.expires


def test_a_long_text_may_come_as_a_payload(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    id = esme.submit("short", schedule_delivery_time=LATER).message_id
    assert replace(esme, id, "", tlvs=[tlv(Tag.MESSAGE_PAYLOAD, b"long " * 100)]) == ROK
    assert found(gateway, id).command.text == "long " * 100


def test_of_a_long_message_the_whole_is_replaced_by_any_id(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    ids = []
    for number in (1, 2):
        part = [tlv(Tag.SAR_MSG_REF_NUM, 7), tlv(Tag.SAR_TOTAL_SEGMENTS, 2), tlv(Tag.SAR_SEGMENT_SEQNUM, number)]
        ids.append(esme.submit(f"part {number} ", tlvs=part, schedule_delivery_time=LATER).message_id)
    assert replace(esme, ids[1], "all of it", schedule_delivery_time="000000000000000R") == ROK
    assert esme.receipts(2).keys() == set(ids)
    assert found(gateway, ids[0]).command.text == "all of it"


@pytest.mark.parametrize("policy", ["repeat", "ask"])
def test_replacing_races_with_sending_and_one_text_is_sent(start, connect, policy):
    gateway = start(**{"[providers.sandbox]": f'{SLOW["[providers.sandbox]"]}\nwhen_in_doubt = "{policy}"'})
    esme = connect(gateway)
    esme.bind()
    ids = [esme.submit(f"number {n}").message_id for n in range(6)]
    replaced = {id for id in reversed(ids) if replace(esme, id, f"another {id}") == ROK}
    assert 0 < len(replaced) < 6
    lines = esme.receipts(6)
    assert all("stat:DELIVRD" in line for line in lines.values())
    for id, line in lines.items():
        assert ("text:another" in line) is (id in replaced)
        assert events(gateway, id).count("sent") == 1
    assert gateway.gateway.dispatcher.stats["providers"]["sandbox"]["requests"] == 6


def test_a_restart_sends_the_text_that_was_put_last(start, connect):
    gateway = start(**SLOW)
    esme = connect(gateway)
    esme.bind()
    ids = [esme.submit(f"number {n}", schedule_delivery_time=LATER).message_id for n in range(2)]
    for id in ids:
        assert replace(esme, id, "put last", schedule_delivery_time="000000000002000R") == ROK
    esme.unbind()
    gateway.stop()
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    lines = esme.receipts(2)
    assert lines.keys() == set(ids)
    assert all("text:put last" in line for line in lines.values())
