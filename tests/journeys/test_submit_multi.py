"""SUBMIT_MULTI: one text, many destinations, one id, a receipt for each."""

import re
import time

import pytest
from structlog.testing import capture_logs

from pdu import (
    CommandStatus,
    DeliverSm,
    DistributionList,
    SmeAddress,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
    Tag,
    decode,
    encode,
    tlv,
)
from smppbridge.config import MAX_DESTINATIONS
from smppbridge.model import Call, Mail, Sms
from smppbridge.store.base import Filter

OK = CommandStatus.ESME_ROK
STAFF = """
[distribution_lists.staff]
accounts = ["demo"]
numbers = ["79990000441", "+79990000442"]

[distribution_lists.others]
accounts = ["other"]
numbers = ["79990000449"]

[accounts.other]
password = "other"
allowed_networks = ["127.0.0.0/8"]
"""


def numbers(*given):
    return [SmeAddress(dest_addr_ton=1, dest_addr_npi=1, destination_addr=number) for number in given]


def many(count, first=79000005000):
    return [str(first + number) for number in range(count)]


def lists(*names):
    return [DistributionList(dl_name=name) for name in names]


def multi(text, to, **fields):
    fields.setdefault("registered_delivery", 1)
    fields.setdefault("source_addr", "TEST")
    data = text if isinstance(text, bytes) else text.encode("ascii")
    return SubmitMulti(dest_addresses=to, short_message=data, **fields)


def submit(esme, text, to, **fields):
    answer = esme.ask(multi(text, to, **fields))
    assert isinstance(answer, SubmitMultiResp)
    return answer


def failed(answer):
    return {one.destination_addr: CommandStatus(one.error_status_code) for one in answer.unsuccess_smes}


def receipts(esme, count):
    """Destination → state, each of them once; and the ids they came under."""
    found, ids = {}, set()
    for _ in range(count):
        pdu = esme.receipt()
        assert pdu.source_addr not in found
        found[pdu.source_addr] = re.search(rb"stat:(\w+)", pdu.short_message)[1].decode()
        ids.add(pdu.option(Tag.RECEIPTED_MESSAGE_ID))
        assert re.match(rb"id:(\d+) ", pdu.short_message)[1].decode() in ids
    return found, ids


def kept(gateway, id):
    return gateway.call(gateway.gateway.store.find_all(int(id)))


# Numbers and lists ---------------------------------------------------------------------------------------------------


@pytest.mark.journey
def test_each_number_is_sent_to_and_has_its_receipt_under_the_one_id(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    answer = submit(esme, "hello", numbers("79990000441", "+79990000442", "79990000443"))
    assert (answer.command_status, answer.unsuccess_smes) == (OK, [])
    found, ids = receipts(esme, 3)
    assert found == dict.fromkeys(["79990000441", "+79990000442", "79990000443"], "DELIVRD")
    assert ids == {answer.message_id}
    messages = kept(gateway, answer.message_id)
    assert [message.destination for message in messages] == ["79990000441", "+79990000442", "79990000443"]
    assert {message.command for message in messages} == {Sms(text="hello")}
    # No message has the id that stands for all of them.
    assert int(answer.message_id) not in {message.id for message in messages}
    assert {message.known_as for message in messages} == {int(answer.message_id)}


@pytest.mark.journey
def test_a_list_is_sent_to_whoever_stands_in_it_and_nobody_twice(start, connect):
    esme = connect(start(STAFF))
    esme.bind()
    answer = submit(esme, "hello", [*numbers("79990000442", "79990000443", "+79990000443"), *lists("staff", "staff")])
    assert (answer.command_status, answer.unsuccess_smes) == (OK, [])
    found, _ = receipts(esme, 3)
    # As it was written first.
    assert found.keys() == {"79990000441", "79990000442", "79990000443"}


@pytest.mark.journey
def test_the_receipt_of_a_member_says_that_its_number_is_international(start, connect):
    esme = connect(start(STAFF))
    esme.bind()
    submit(esme, "hello", lists("staff"), source_addr_ton=5, source_addr_npi=0)
    receipt = esme.receipt()
    assert (receipt.source_addr_ton, receipt.source_addr_npi) == (1, 1)
    assert (receipt.dest_addr_ton, receipt.dest_addr_npi, receipt.destination_addr) == (5, 0, "TEST")


@pytest.mark.journey
def test_a_list_of_a_thousand(start, connect, tmp_path):
    everybody = many(1000)
    (tmp_path / "all.txt").write_text("\n".join(everybody))
    gateway = start(f'[distribution_lists.all]\naccounts = ["demo"]\nfile = "{tmp_path / "all.txt"}"\n')
    esme = connect(gateway, timeout=60)
    esme.bind()
    answer = submit(esme, "hello", lists("all"))
    assert (answer.command_status, answer.unsuccess_smes) == (OK, [])
    found, ids = receipts(esme, 1000)
    assert found.keys() == set(everybody)
    assert ids == {answer.message_id}


@pytest.mark.journey
def test_255_numbers_are_as_many_as_a_request_can_name(start, connect):
    esme = connect(start())
    esme.bind()
    answer = submit(esme, "hello", numbers(*many(255)))
    assert (answer.command_status, answer.unsuccess_smes) == (OK, [])
    assert receipts(esme, 255)[0].keys() == set(many(255))


@pytest.mark.journey
def test_a_list_that_is_read_anew_is_another_list(start, connect):
    gateway = start(STAFF)
    esme = connect(gateway)
    esme.bind()
    submit(esme, "one", lists("staff"))
    assert receipts(esme, 2)[0].keys() == {"79990000441", "+79990000442"}
    text = gateway.path.read_text()
    gateway.path.write_text(text.replace('"79990000441", "+79990000442"', '"79990000447"'))
    gateway.reload()
    submit(esme, "two", lists("staff"))
    assert receipts(esme, 1)[0].keys() == {"79990000447"}
    gateway.path.write_text(text.replace("distribution_lists.staff", "distribution_lists.gone"))
    gateway.reload()
    assert submit(esme, "three", lists("staff")).command_status == CommandStatus.ESME_RINVDLNAME


# What a SUBMIT_SM can do ---------------------------------------------------------------------------------------------


@pytest.mark.journey
def test_a_text_convention_holds_for_each_destination(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    answer = submit(esme, "__CALL__: hello", numbers("79990000441", "79990000442"))
    assert {type(message.command) for message in kept(gateway, answer.message_id)} == {Call}
    letter = submit(esme, "__MAIL__: Hello\nsubj:News", numbers("a@example.com", "b@example.com", "79990000441"))
    assert failed(letter) == {"79990000441": CommandStatus.ESME_RINVDSTADR}
    assert {message.command.to for message in kept(gateway, letter.message_id)} == {"a@example.com", "b@example.com"}
    assert {type(message.command) for message in kept(gateway, letter.message_id)} == {Mail}


@pytest.mark.journey
def test_a_long_text_stands_in_message_payload(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    text = "a long text " * 1000
    answer = submit(esme, "", numbers("79990000441"), tlvs=[tlv(Tag.MESSAGE_PAYLOAD, text.encode())])
    [message] = kept(gateway, answer.message_id)
    assert message.command.text == text.rstrip() or message.command.text == text


@pytest.mark.journey
def test_times_and_priority_are_those_of_all(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    answer = submit(
        esme,
        "later",
        numbers("79990000441", "79990000442"),
        schedule_delivery_time="000000010000000R",
        priority_flag=2,
    )
    one, other = kept(gateway, answer.message_id)
    assert one.progress == other.progress
    assert one.progress.due - one.accepted_at == 3_600_000
    assert one.priority == other.priority == 2


# What cannot be taken ------------------------------------------------------------------------------------------------


@pytest.mark.journey
def test_who_cannot_be_sent_to_stands_in_unsuccess_sme_and_the_others_are_sent_to(start, connect):
    esme = connect(start(STAFF))
    esme.bind()
    answer = submit(esme, "hello", [*numbers("79990000443", "nobody", "12"), *lists("staff", "others", "nowhere")])
    assert answer.command_status == OK
    assert failed(answer) == {
        "others": CommandStatus.ESME_RINVDLNAME,
        "nowhere": CommandStatus.ESME_RINVDLNAME,
        "nobody": CommandStatus.ESME_RINVDSTADR,
        "12": CommandStatus.ESME_RINVDSTADR,
    }
    # A client of 5.0 is told the first reason.
    assert "4 of 7 destinations" in answer.option(Tag.ADDITIONAL_STATUS_INFO_TEXT)
    found, ids = receipts(esme, 3)
    assert found.keys() == {"79990000441", "+79990000442", "79990000443"}
    assert ids == {answer.message_id}


@pytest.mark.journey
def test_the_failed_destination_keeps_its_ton_and_npi_and_3_4_is_told_no_reason(start, connect):
    esme = connect(start())
    esme.bind(interface_version=0x34)
    wrong = SmeAddress(dest_addr_ton=5, dest_addr_npi=9, destination_addr="nobody")
    answer = submit(esme, "hello", [wrong, *numbers("79990000441")])
    [one] = answer.unsuccess_smes
    assert (one.dest_addr_ton, one.dest_addr_npi, one.destination_addr) == (5, 9, "nobody")
    assert answer.tlvs == []


@pytest.mark.journey
@pytest.mark.parametrize(
    ("to", "text", "status"),
    [
        (numbers("nobody", "12"), "hello", CommandStatus.ESME_RINVDSTADR),
        (lists("nowhere", "others"), "hello", CommandStatus.ESME_RINVDLNAME),
        ([*numbers("nobody"), *lists("nowhere")], "hello", CommandStatus.ESME_RSUBMITFAIL),
        (numbers("79990000441", "79990000442"), "__TGM__: no code", CommandStatus.ESME_RSUBMITFAIL),
        (numbers("79990000441", "79990000442"), "", CommandStatus.ESME_RINVMSGLEN),
    ],
)
def test_where_nobody_can_be_taken_the_response_has_the_status_and_the_list(start, connect, to, text, status):
    gateway = start(STAFF)
    esme = connect(gateway)
    esme.bind()
    answer = submit(esme, text, to)
    assert (answer.command_status, answer.message_id) == (status, "")
    assert len(answer.unsuccess_smes) == len(to)
    assert answer.option(Tag.ADDITIONAL_STATUS_INFO_TEXT).startswith(f"{len(to)} of {len(to)} destinations")
    assert not gateway.call(gateway.gateway.store.list(Filter()))


@pytest.mark.journey
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"to": []}, CommandStatus.ESME_RINVNUMDESTS),
        ({"to": lists("staff", "rest")}, CommandStatus.ESME_RINVNUMDESTS),
        ({"priority_flag": 5}, CommandStatus.ESME_RINVPRTFLG),
        ({"replace_if_present_flag": 1}, CommandStatus.ESME_RREPLACEFAIL),
        ({"esm_class": 0x40, "text": b"\x05\0\x03\x01\x02\x01part"}, CommandStatus.ESME_RSUBMITFAIL),
        (
            {
                "tlvs": [
                    tlv(Tag.SAR_MSG_REF_NUM, 9),
                    tlv(Tag.SAR_TOTAL_SEGMENTS, 2),
                    tlv(Tag.SAR_SEGMENT_SEQNUM, 1),
                ]
            },
            CommandStatus.ESME_RSUBMITFAIL,
        ),
    ],
)
def test_what_is_wrong_with_the_request_is_said_of_the_whole(start, connect, fields, status):
    rest = ", ".join(f'"{number}"' for number in many(MAX_DESTINATIONS))
    gateway = start(STAFF, f'[distribution_lists.rest]\naccounts = ["demo"]\nnumbers = [{rest}]\n')
    esme = connect(gateway)
    esme.bind()
    answer = submit(esme, **({"text": "hello", "to": numbers("79990000441")} | fields))
    assert (answer.command_status, answer.message_id, answer.unsuccess_smes) == (status, "", [])
    assert answer.option(Tag.ADDITIONAL_STATUS_INFO_TEXT)
    assert not gateway.call(gateway.gateway.store.list(Filter()))


@pytest.mark.journey
def test_what_unsuccess_sme_has_no_room_for_is_told_by_receipts(start, connect, tmp_path):
    members = many(300)
    (tmp_path / "all.txt").write_text("\n".join(members))
    gateway = start(
        f'[distribution_lists.all]\naccounts = ["demo"]\nfile = "{tmp_path / "all.txt"}"\n',
        **{'password = "demo"': 'password = "demo"\ndestinations = ["7999*"]'},
    )
    esme = connect(gateway)
    esme.bind()
    answer = submit(esme, "hello", [*numbers("79990000441"), *lists("all")])
    assert answer.command_status == OK
    assert list(failed(answer)) == members[:255]
    found, ids = receipts(esme, 46)
    assert found == {"79990000441": "DELIVRD"} | dict.fromkeys(members[255:], "REJECTD")
    assert ids == {answer.message_id}
    assert len(kept(gateway, answer.message_id)) == 46


@pytest.mark.journey
def test_only_the_members_that_no_route_takes_are_left_out(start, connect):
    gateway = start(STAFF, **{"[[routes]]": '[[routes]]\ndestination = ["79990000442"]'})
    esme = connect(gateway)
    esme.bind()
    answer = submit(esme, "hello", lists("staff"))
    assert failed(answer) == {"79990000441": CommandStatus.ESME_RSUBMITFAIL}
    assert receipts(esme, 1)[0].keys() == {"+79990000442"}


# Limits --------------------------------------------------------------------------------------------------------------


@pytest.mark.journey
def test_each_destination_counts_and_a_rate_has_room_for_all_or_is_not_touched(start, connect):
    gateway = start(**{'password = "demo"': 'password = "demo"\nthroughput = 0.001\nburst = 5'})
    esme = connect(gateway)
    esme.bind()
    assert submit(esme, "one", numbers(*many(4))).command_status == OK
    refused = submit(esme, "two", numbers(*many(2)))
    assert (refused.command_status, refused.unsuccess_smes) == (CommandStatus.ESME_RTHROTTLED, [])
    assert submit(esme, "three", numbers(*many(1))).command_status == OK
    assert submit(esme, "four", numbers(*many(1))).command_status == CommandStatus.ESME_RTHROTTLED


@pytest.mark.journey
def test_what_is_not_taken_costs_nothing_of_a_quota(start, connect):
    esme = connect(start(**{'password = "demo"': 'password = "demo"\nper_day = 3'}))
    esme.bind()
    assert submit(esme, "one", numbers("79990000441", "nobody", "12")).command_status == OK
    assert submit(esme, "one", [*numbers("79990000441"), *lists("nowhere")]).command_status != OK
    assert submit(esme, "part", numbers(*many(2)), esm_class=0x40).command_status != OK
    assert submit(esme, "two", numbers("79990000441", "79990000442")).command_status == OK
    assert submit(esme, "three", numbers("79990000441")).command_status == CommandStatus.ESME_RTHROTTLED


@pytest.mark.journey
def test_more_than_may_be_stored_at_once_are_too_many_destinations(start, connect):
    esme = connect(start(**{'password = "demo"': 'password = "demo"\nmax_pending = 3'}))
    esme.bind()
    assert submit(esme, "one", numbers(*many(4))).command_status == CommandStatus.ESME_RINVNUMDESTS
    assert submit(esme, "one", numbers(*many(3))).command_status == OK


# The one-minute rule, and lost responses -----------------------------------------------------------------------------


@pytest.mark.journey
def test_the_one_minute_rule_holds_for_each_destination(start, connect):
    esme = connect(start())
    esme.bind()
    first = submit(esme, "hello", numbers("79990000441", "79990000442"))
    second = submit(esme, "hello", numbers("79990000442", "79990000443"))
    assert second.command_status == OK
    assert failed(second) == {"79990000442": CommandStatus.ESME_RSUBMITFAIL}
    # The id that the client knows, not the one that the message has here.
    assert first.message_id in second.option(Tag.ADDITIONAL_STATUS_INFO_TEXT)
    third = submit(esme, "hello", numbers("79990000441"))
    assert third.command_status == CommandStatus.ESME_RSUBMITFAIL
    single = esme.submit("hello", to="79990000443")
    assert single.command_status == CommandStatus.ESME_RSUBMITFAIL
    assert second.message_id in single.option(Tag.ADDITIONAL_STATUS_INFO_TEXT)
    _, ids = receipts(esme, 3)
    assert ids == {first.message_id, second.message_id}


def send_and_break(gateway, connect, to, text="hello"):
    """A request whose response is never read; its messages are stored all the same."""
    client = connect(gateway)
    client.bind("transmitter")
    client.send(multi(text, to))
    deadline = time.monotonic() + 10
    while not (found := gateway.call(gateway.gateway.store.list(Filter()))) and time.monotonic() < deadline:
        pass
    client.reset()
    return found[-1].known_as, {message.id for message in found}


@pytest.mark.journey
def test_a_resend_whose_response_was_lost_has_the_first_id_and_sends_nothing_twice(start, connect):
    gateway = start(STAFF)
    to = [*numbers("79990000443", "nobody"), *lists("staff")]
    known_as, ids = send_and_break(gateway, connect, to)
    esme = connect(gateway)
    esme.bind()
    again = submit(esme, "hello", to)
    assert (again.command_status, again.message_id) == (OK, str(known_as))
    assert failed(again) == {"nobody": CommandStatus.ESME_RINVDSTADR}
    _, under = receipts(esme, 3)
    assert under == {again.message_id}
    assert {message.id for message in gateway.call(gateway.gateway.store.list(Filter()))} == ids
    for id in ids:
        assert "resent" in [line.event for line in gateway.call(gateway.gateway.store.timeline(id))]


@pytest.mark.journey
def test_a_single_resend_of_one_of_its_destinations_has_that_id_too(start, connect):
    gateway = start()
    known_as, _ = send_and_break(gateway, connect, numbers("79990000441", "79990000442"))
    esme = connect(gateway)
    esme.bind()
    assert esme.submit("hello", to="79990000442").message_id == str(known_as)


@pytest.mark.journey
def test_of_resent_and_new_destinations_only_the_new_ones_are_sent_under_the_new_id(start, connect):
    gateway = start()
    known_as, ids = send_and_break(gateway, connect, numbers("79990000441", "79990000442"))
    esme = connect(gateway)
    esme.bind()
    mixed = submit(esme, "hello", numbers("79990000442", "79990000443"))
    assert (mixed.command_status, mixed.unsuccess_smes) == (OK, [])
    assert mixed.message_id != str(known_as)
    under = {}
    for _ in range(3):
        pdu = esme.receipt()
        under[pdu.source_addr] = pdu.option(Tag.RECEIPTED_MESSAGE_ID)
    assert under == {"79990000441": str(known_as), "79990000442": str(known_as), "79990000443": mixed.message_id}
    assert len(gateway.call(gateway.gateway.store.list(Filter()))) == len(ids) + 1


@pytest.mark.journey
def test_a_resend_after_a_restart_has_the_first_id(start, connect):
    gateway = start()
    first = connect(gateway)
    first.bind("transmitter")
    answer = submit(first, "hello", numbers("79990000441", "79990000442"))
    first.reset()
    gateway.stop()
    again = start()
    esme = connect(again)
    esme.bind()
    assert submit(esme, "hello", numbers("79990000441", "79990000442")).message_id == answer.message_id
    found, ids = receipts(esme, 2)
    assert (found.keys(), ids) == ({"79990000441", "79990000442"}, {answer.message_id})
    # The id is never given to a message.
    assert submit(esme, "more", numbers("79990000441")).message_id != answer.message_id


@pytest.mark.journey
def test_two_identical_ones_in_one_packet_are_sent_once(start, connect):
    esme = connect(start())
    esme.bind()
    twins = [multi("twin", numbers("79990000441", "79990000442"), sequence_number=number) for number in (100, 101)]
    esme.socket.sendall(b"".join(encode(twin) for twin in twins))
    answers = {}
    for _ in twins:
        pdu = esme.wait_for(lambda found: isinstance(found, SubmitMultiResp))
        answers[pdu.sequence_number] = pdu.command_status
    assert answers == {100: OK, 101: CommandStatus.ESME_RSUBMITFAIL}
    assert len(receipts(esme, 2)[0]) == 2


# Start, stop, and what is seen ---------------------------------------------------------------------------------------


@pytest.mark.journey
def test_what_waits_for_its_time_outlives_a_restart(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind("transmitter")
    answer = submit(esme, "later", numbers("79990000441", "79990000442"), schedule_delivery_time="000000000001000R")
    gateway.stop()
    again = start()
    esme = connect(again)
    esme.bind()
    found, ids = receipts(esme, 2)
    assert found == {"79990000441": "DELIVRD", "79990000442": "DELIVRD"}
    assert ids == {answer.message_id}


@pytest.mark.journey
def test_no_receipt_comes_before_the_response(start, connect):
    esme = connect(start(STAFF, **{'status_delay = "20ms"': 'status_delay = "0ms"'}))
    esme.bind()
    for number in range(20):
        sequence = esme.send(multi(f"hello {number}", [*numbers("79990000443"), *lists("staff")]))
        pdu = esme.receive()
        assert isinstance(pdu, SubmitMultiResp), pdu
        assert pdu.sequence_number == sequence
        receipts(esme, 3)


@pytest.mark.journey
def test_the_log_has_a_line_for_each_that_is_taken_and_one_for_each_reason(start, connect):
    with capture_logs() as lines:
        esme = connect(start(STAFF))
        esme.bind()
        answer = submit(esme, "hello", [*numbers("nobody", "12"), *lists("staff", "nowhere")])
        receipts(esme, 2)
    accepted = [line for line in lines if line["event"] == "accepted"]
    assert [line["known_as"] for line in accepted] == [answer.message_id] * 2
    refused = {line["status"]: line["destinations"] for line in lines if line["event"] == "refused"}
    assert refused == {"ESME_RINVDSTADR": 2, "ESME_RINVDLNAME": 1}


@pytest.mark.journey
def test_a_receiver_may_not_and_a_broken_one_is_answered(start, connect):
    esme = connect(start())
    esme.bind("receiver")
    answer = submit(esme, "hello", numbers("79990000441"))
    assert answer.command_status == CommandStatus.ESME_RINVBNDSTS


@pytest.mark.journey
def test_the_pdu_is_kept_as_it_came(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    request = multi("hello", numbers("79990000441", "79990000442"), sequence_number=77)
    answer = esme.ask(request)
    for message in kept(gateway, answer.message_id):
        assert decode(message.pdu) == request
        assert message.sequence == 77


@pytest.mark.journey
def test_a_failed_disk_is_said_of_the_whole(start, connect, monkeypatch):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    gateway.call(gateway.gateway.store.close())
    answer = submit(esme, "hello", numbers("79990000441", "nobody"))
    assert (answer.command_status, answer.unsuccess_smes) == (CommandStatus.ESME_RSYSERR, [])
    assert esme.ask(SubmitSm(destination_addr="79990000441", short_message=b"x")).command_status != OK
    assert not any(isinstance(pdu, DeliverSm) for pdu in esme.aside)
