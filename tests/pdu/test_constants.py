"""The numbers against each other."""

from __future__ import annotations

import pytest

from pdu import PDUS, CommandId, CommandStatus, EsmClass, RegisteredDelivery
from pdu.constants import BEFORE_5_0, EXPLANATIONS, explain_status, status_for

WITHOUT_RESPONSE = {CommandId.GENERIC_NACK, CommandId.OUTBIND, CommandId.ALERT_NOTIFICATION}


def test_every_request_has_its_response() -> None:
    for command in set(CommandId) - WITHOUT_RESPONSE:
        partner = CommandId(command ^ 0x80000000)
        request, response = sorted((command, partner))
        assert response.name == f"{request.name}_RESP"


def test_everything_but_broadcasting_can_be_read() -> None:
    assert {command for command in CommandId if "BROADCAST" not in command.name} == set(PDUS)


def test_every_pdu_stands_under_its_own_number_and_name() -> None:
    for number, pdu in PDUS.items():
        assert pdu.command_id == number
        assert pdu.__name__.lower() == pdu.command_id.name.replace("_", "").lower()


def test_every_status_is_explained() -> None:
    assert set(EXPLANATIONS) == set(CommandStatus)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (0x58, "ESME_RTHROTTLED: too many messages a second"),
        (0x401, "0x00000401: known to its vendor"),
        (0x9, "0x00000009: not defined"),
    ],
)
def test_explain_status(status: int, said: str) -> None:
    assert explain_status(status) == said


def test_flags_take_what_they_do_not_name() -> None:
    assert EsmClass(0x44) == EsmClass.UDHI | EsmClass.RECEIPT
    wanted = RegisteredDelivery(0x12)
    assert wanted & RegisteredDelivery.RECEIPT_MASK == RegisteredDelivery.RECEIPT_ON_FAILURE
    assert wanted & RegisteredDelivery.INTERMEDIATE
    assert RegisteredDelivery(0xE0) == 0xE0


@pytest.mark.parametrize("status", CommandStatus)
def test_only_clients_of_5_0_are_told_what_only_5_0_has(status: CommandStatus) -> None:
    assert status_for(0x50, status) == status_for(0x51, status) == status
    for version in (0, 0x33, 0x34, 0x4F):
        told = status_for(version, status)
        assert told < 0x100
        assert (told == status) is (status < 0x100)
        # An error stays one, and one that is known.
        assert bool(told) is bool(status)
        assert told in EXPLANATIONS


@pytest.mark.parametrize("status", [0x400, 0x4FF, 0x500])
def test_the_vendors_own_statuses_are_older_than_5_0(status: int) -> None:
    assert status_for(0x34, status) == status


def test_nothing_that_cannot_be_mended_is_told_as_if_it_passed() -> None:
    temporary = {CommandStatus.ESME_RTHROTTLED, CommandStatus.ESME_RMSGQFUL, CommandStatus.ESME_RSYSERR}
    assert not temporary & set(BEFORE_5_0.values())
