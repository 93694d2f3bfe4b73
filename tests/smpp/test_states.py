"""Every pair of state and command, against the tables and against a session."""

from pathlib import Path
from typing import Any

import pytest

from pdu import PDUS, CommandId, CommandStatus, GenericNack, encode
from smppbridge.smpp.events import BindRequest, Refused, Unasked
from smppbridge.smpp.states import (
    MOVES,
    OPERATIONS,
    RECEIVES,
    RESPONSE,
    SENDS,
    State,
    response_to,
    table,
    verdict,
)

#: SMPP 3.4 §2.3, written down a second time.
TABLE = """
                    OPEN  TX    RX    TRX
bind_transmitter    take  aly   aly   aly
bind_receiver       take  aly   aly   aly
bind_transceiver    take  aly   aly   aly
unbind              bnd   take  take  take
enquire_link        take  take  take  take
submit_sm           bnd   take  bnd   take
submit_multi        bnd   take  bnd   take
data_sm             bnd   take  take  take
query_sm            bnd   take  bnd   take
cancel_sm           bnd   take  bnd   take
replace_sm          bnd   take  bnd   take
deliver_sm          cmd   cmd   cmd   cmd
outbind             cmd   cmd   cmd   cmd
alert_notification  cmd   cmd   cmd   cmd
broadcast_sm        cmd   cmd   cmd   cmd
query_broadcast_sm  cmd   cmd   cmd   cmd
cancel_broadcast_sm cmd   cmd   cmd   cmd
generic_nack        take  take  take  take
enquire_link_resp   take  take  take  take
deliver_sm_resp     -     -     take  take
data_sm_resp        -     take  take  take
unbind_resp         -     take  take  take
"""
WORDS = {
    "take": CommandStatus.ESME_ROK,
    "aly": CommandStatus.ESME_RALYBND,
    "bnd": CommandStatus.ESME_RINVBNDSTS,
    "cmd": CommandStatus.ESME_RINVCMDID,
    "-": None,
}
STATES = (State.OPEN, State.BOUND_TX, State.BOUND_RX, State.BOUND_TRX)
EXPECTED = {
    (state, CommandId[name.upper()]): WORDS[word]
    for name, *words in map(str.split, TABLE.strip().splitlines()[1:])
    for state, word in zip(STATES, words, strict=True)
}
UNKNOWN = (0x00000000, 0x0000000A, 0x00000200, 0x7FFFFFFF)
UNKNOWN_RESPONSES = (0x8000000A, 0xFFFFFFFF)


def frame(command_id: int, sequence: int = 77) -> bytes:
    """The emptiest PDU of this kind that can be read; only a header where there is no such kind."""
    if command_id in PDUS:
        return encode(PDUS[command_id](sequence_number=sequence))
    return b"".join(number.to_bytes(4) for number in (16, command_id, 0, sequence))


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("command_id", [*CommandId, *UNKNOWN, *UNKNOWN_RESPONSES], ids=lambda each: f"{each:08X}")
def test_every_pair_has_the_verdict_of_the_specification(state: State, command_id: int) -> None:
    if state in (State.UNBOUND, State.CLOSED):
        expected = None
    elif command_id in UNKNOWN:
        expected = CommandStatus.ESME_RINVCMDID
    else:
        expected = EXPECTED.get((state, command_id))  # type: ignore[call-overload]
        assert expected is not None or command_id & RESPONSE
    assert verdict(state, command_id) is expected


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("command_id", [*CommandId, *UNKNOWN, *UNKNOWN_RESPONSES], ids=lambda each: f"{each:08X}")
def test_a_session_does_what_the_verdict_says(state: State, command_id: int, session_in: Any, said: Any) -> None:
    session = session_in(state)
    ruling = verdict(state, command_id)
    events = session.receive(frame(command_id), 2_000)
    answers = said(session)
    if state is State.CLOSED:
        assert (events, answers) == ([], [])
    elif ruling is None or command_id & RESPONSE:
        # No response is ever answered, and none of these was asked for.
        assert answers == []
        assert events == [Unasked(command_id, 0, 77)]
        assert session.state is state
    elif ruling:
        (answer,) = answers
        assert answer.command_id == response_to(command_id)
        assert (answer.command_status, answer.sequence_number) == (ruling, 77)
        (event,) = events
        assert isinstance(event, Refused)
        assert (event.command_id, event.status) == (command_id, ruling)
        assert session.state is state
        assert session.ending is None
    elif command_id in OPERATIONS:
        ((pdu, octets),) = events
        assert (pdu.command_id, pdu.sequence_number) == (command_id, 77)
        assert octets == frame(command_id)
        assert answers == []
    elif command_id in (CommandId.ENQUIRE_LINK, CommandId.UNBIND):
        (answer,) = answers
        assert (answer.command_id, answer.command_status, answer.sequence_number) == (command_id | RESPONSE, 0, 77)
        assert session.state is (State.UNBOUND if command_id == CommandId.UNBIND else state)
    else:
        (event,) = events
        assert isinstance(event, BindRequest)
        assert answers == []
        assert session.state is State.OPEN


def test_a_transceiver_is_a_transmitter_and_a_receiver() -> None:
    for lists in (RECEIVES, SENDS):
        assert lists[State.BOUND_TRX] == lists[State.BOUND_TX] | lists[State.BOUND_RX]


def test_what_is_received_in_a_state_can_be_answered_in_it() -> None:
    for state, commands in RECEIVES.items():
        for command in commands:
            if command < RESPONSE:
                assert response_to(command) in SENDS[state]


def test_only_responses_move_the_state() -> None:
    assert all(command & RESPONSE for command in MOVES)
    assert set(MOVES.values()) == {State.BOUND_TX, State.BOUND_RX, State.BOUND_TRX, State.UNBOUND}


@pytest.mark.parametrize("command_id", [*CommandId, *UNKNOWN])
def test_every_refusal_can_be_written(command_id: int) -> None:
    response = response_to(command_id)
    written = encode(PDUS[response](command_status=CommandStatus.ESME_RINVCMDID, sequence_number=9))
    assert written[4:8] == response.to_bytes(4)


def test_what_has_no_response_is_answered_with_generic_nack() -> None:
    nack = GenericNack.command_id
    without = {command for command in CommandId if command < RESPONSE and response_to(command) is nack}
    assert without == {
        CommandId.OUTBIND,
        CommandId.ALERT_NOTIFICATION,
        CommandId.BROADCAST_SM,
        CommandId.QUERY_BROADCAST_SM,
        CommandId.CANCEL_BROADCAST_SM,
    }
    assert all(response_to(command) == command | RESPONSE for command in OPERATIONS)


def test_the_documentation_shows_the_tables() -> None:
    text = (Path(__file__).parents[2] / "docs" / "smpp-support.md").read_text(encoding="utf-8")
    assert table() in text, "print it with `python -m smppbridge.smpp.states`"
