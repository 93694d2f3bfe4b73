"""What the fields of the operations mean, and that all of them mean it alike."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdu import (
    CommandId,
    CommandStatus,
    DataSm,
    SmeAddress,
    SubmitMulti,
    SubmitSm,
    Tag,
    encode,
    format_absolute,
    segment_of,
    tlv,
    user_data,
)
from smppbridge.config import AccountConfig
from smppbridge.model import Kind
from smppbridge.store.memory import MemoryStore
from smppbridge.submission.account import AccountState
from smppbridge.submission.fields import (
    as_submit,
    check_destination,
    decoded,
    direct,
    opened,
    request_of,
    times,
    undirected,
)
from smppbridge.submission.refusal import Refusal

NOW = 1_800_000_000_000
ACCOUNT = AccountState("demo", AccountConfig(allowed_networks=()), MemoryStore())


def refused(work: Any, *given: Any) -> Refusal:
    with pytest.raises(Refusal) as raised:
        work(*given)
    assert raised.value.reason
    return raised.value


# DATA_SM -------------------------------------------------------------------------------------------------------------


def test_a_data_sm_says_the_same_as_a_submit_sm() -> None:
    data = DataSm(
        sequence_number=7,
        service_type="CMT",
        source_addr_ton=5,
        source_addr_npi=1,
        source_addr="Shop",
        dest_addr_ton=1,
        dest_addr_npi=9,
        destination_addr="79991234567",
        esm_class=0x40,
        registered_delivery=1,
        data_coding=8,
        tlvs=[tlv(Tag.MESSAGE_PAYLOAD, b"\5\0\3\7\2\1hello")],
    )
    submit = as_submit(data)
    for field in fields(data):
        assert getattr(submit, field.name) == getattr(data, field.name), field.name
    # What it has not is what a SUBMIT_SM that does not say it has.
    for field in {one.name for one in fields(submit)} - {one.name for one in fields(data)}:
        assert getattr(submit, field) == getattr(SubmitSm(), field), field
    assert segment_of(submit) == segment_of(data) == (7, 2, 1)
    assert user_data(submit) == (b"", b"hello")


@pytest.mark.parametrize(
    ("seconds", "lifetime"),
    [(1, 1), (90, 90), (86_399, 86_399), (86_400, 86_400), (10**6, 7 * 86_400), (0xFFFFFFFF, 7 * 86_400)],
)
def test_it_lives_as_long_as_it_says_and_never_longer_than_a_message_may(seconds: int, lifetime: int) -> None:
    submit = as_submit(DataSm(tlvs=[tlv(Tag.QOS_TIME_TO_LIVE, seconds)]))
    assert times(submit, ACCOUNT, NOW) == (NOW, NOW + lifetime * 1000)


def test_no_time_at_all_is_none_to_live() -> None:
    submit = as_submit(DataSm(tlvs=[tlv(Tag.QOS_TIME_TO_LIVE, 0)]))
    assert refused(times, submit, ACCOUNT, NOW).status == CommandStatus.ESME_RINVEXPIRY


def test_a_source_that_no_receipt_has_room_for_is_refused() -> None:
    assert as_submit(DataSm(source_addr="s" * 20)).source_addr == "s" * 20
    assert refused(as_submit, DataSm(source_addr="s" * 21)).status == CommandStatus.ESME_RINVSRCADR


def test_only_an_e_mail_has_a_long_destination() -> None:
    address = f"{'a' * 52}@example.com"
    check_destination(Kind.MAIL, address)
    check_destination(Kind.BOT, "#" + "a" * 19)
    for kind, wrong in ((Kind.SMS, address), (Kind.SMS, "7" * 21), (Kind.BOT, "#" + "a" * 20), (Kind.BOT, address)):
        assert refused(check_destination, kind, wrong).status == CommandStatus.ESME_RINVDSTADR


# SUBMIT_MULTI --------------------------------------------------------------------------------------------------------


@given(
    st.builds(
        SubmitMulti,
        sequence_number=st.integers(1, 99),
        source_addr=st.sampled_from(["", "Shop"]),
        esm_class=st.integers(0, 255),
        priority_flag=st.integers(0, 255),
        schedule_delivery_time=st.sampled_from(["", "000000010000000R"]),
        registered_delivery=st.integers(0, 255),
        replace_if_present_flag=st.integers(0, 1),
        data_coding=st.integers(0, 255),
        short_message=st.binary(max_size=20),
    )
)
def test_a_submit_multi_says_to_each_what_it_says_to_all(multi: SubmitMulti) -> None:
    multi.tlvs = [tlv(Tag.USER_MESSAGE_REFERENCE, 1)]
    submit = undirected(multi)
    said = {one.name for one in fields(multi)} - {"dest_addresses"}
    assert {one.name for one in fields(submit)} - said == {"dest_addr_ton", "dest_addr_npi", "destination_addr"}
    for field in said:
        assert getattr(submit, field) == getattr(multi, field), field
    to = SmeAddress(dest_addr_ton=1, dest_addr_npi=2, destination_addr="79991234567")
    directed = direct(submit, to)
    assert (directed.dest_addr_ton, directed.dest_addr_npi, directed.destination_addr) == (1, 2, "79991234567")


# What was stored is read again ---------------------------------------------------------------------------------------


def test_each_operation_is_read_again_as_what_it_says() -> None:
    payload = [tlv(Tag.MESSAGE_PAYLOAD, b"hello")]
    submit = SubmitSm(destination_addr="79991234567", short_message=b"hello", sequence_number=1)
    data = DataSm(destination_addr="79991234567", tlvs=payload, sequence_number=1)
    to = SmeAddress(destination_addr="79991234567")
    multi = SubmitMulti(dest_addresses=[to], short_message=b"hello", sequence_number=1)
    for pdu, request in (
        (submit, CommandId.SUBMIT_SM),
        (data, CommandId.DATA_SM),
        (multi, CommandId.SUBMIT_MULTI),
    ):
        frame = encode(pdu)
        assert request_of(frame) is request
        assert opened(decoded(frame, ACCOUNT)) == (None, b"", b"hello")
    assert decoded(encode(multi), ACCOUNT).destination_addr == ""


# Times ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "ahead", "taken"),
    [
        ("30d", timedelta(days=30), True),
        ("30d", timedelta(days=30, seconds=1), False),
        ("366d", timedelta(days=367), False),
        (0, timedelta(days=26_000), True),
    ],
)
def test_how_far_ahead_a_message_may_be_scheduled(setting: str | int, ahead: timedelta, taken: bool) -> None:
    config = AccountConfig.model_validate({"allowed_networks": (), "max_schedule": setting})
    account = AccountState("demo", config, MemoryStore())
    moment = datetime.fromtimestamp(NOW / 1000, UTC) + ahead
    pdu = SubmitSm(schedule_delivery_time=format_absolute(moment))
    if taken:
        assert times(pdu, account, NOW)[0] == int(moment.timestamp() * 1000)
    else:
        refusal = refused(times, pdu, account, NOW)
        assert refusal.status == CommandStatus.ESME_RINVSCHED
        assert "max_schedule" in refusal.reason
