"""What a session says to clients of other versions of SMPP than 5.0."""

from __future__ import annotations

from typing import Any

import pytest

from pdu import CommandId, CommandStatus, SubmitMulti, SubmitMultiResp, SubmitSm, UnsuccessSme, encode
from smppbridge.smpp.states import State

NOW = 2_000


@pytest.mark.parametrize(
    ("version", "told"),
    [
        (0x33, CommandStatus.ESME_RSUBMITFAIL),
        (0x34, CommandStatus.ESME_RSUBMITFAIL),
        (0x50, CommandStatus.ESME_RPROHIBITED),
    ],
)
def test_a_refusal_has_a_status_that_the_client_knows(
    version: int, told: CommandStatus, session_in: Any, said: Any
) -> None:
    session = session_in(State.BOUND_TRX, version=version)
    session.receive(encode(SubmitSm(sequence_number=7, short_message=b"x")), NOW)
    session.respond_submit(7, CommandStatus.ESME_RPROHIBITED, reason="no")
    (answer,) = said(session)
    assert answer.command_status == told
    assert session._counters.refused == {(CommandId.SUBMIT_SM, told): 1}


@pytest.mark.parametrize(("version", "told"), [(0x34, 0x15), (0x50, 0x100)])
def test_so_have_the_destinations_of_a_submit_multi(version: int, told: int, session_in: Any, said: Any) -> None:
    session = session_in(State.BOUND_TRX, version=version)
    session.receive(encode(SubmitMulti(sequence_number=7, short_message=b"x")), NOW)
    refused = UnsuccessSme(destination_addr="7999", error_status_code=CommandStatus.ESME_RSERTYPUNAUTH)
    session.respond(SubmitMultiResp(sequence_number=7, message_id="1", unsuccess_smes=[refused]))
    (answer,) = [pdu for pdu in said(session) if isinstance(pdu, SubmitMultiResp) and not pdu.command_status]
    assert [one.error_status_code for one in answer.unsuccess_smes] == [told]
