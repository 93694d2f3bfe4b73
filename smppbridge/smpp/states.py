"""Which PDU may travel in which state of a session, and what is answered where it may not.

Theory of operation. A session is one TCP connection seen from the side of the message centre. It begins in OPEN, a bind
moves it to one of the three BOUND states, an unbind to UNBOUND, and whatever ends the connection to CLOSED (SMPP 3.4
§2.2). A connection that we made, to send OUTBIND, begins in OPEN as well: then the client binds. Everything about
states stands in this file, as the tables of SMPP 3.4 §2.3: `RECEIVES` is what a client may issue, `SENDS` what we may
issue, `MOVES` which response moves the state. BOUND_TRX is not a third list but the union of the other two, as the
specification describes it. Three readers use the tables: the session (through `verdict`), the tests that walk every
pair of state and command, and `table`, which prints what docs/smpp-support.md shows.

Two rules are not in the tables:

* The state moves when the response with status 0 is sent (or, for an UNBIND of ours, received), never with the request.
* A response is never answered, not even with GENERIC_NACK: two careful peers would nack each other for ever.
"""

from __future__ import annotations

from collections.abc import Set
from enum import StrEnum

from pdu import CommandId, CommandStatus

#: SMPP 3.4 §5.1.2: a response is its request with this bit set.
RESPONSE = 0x80000000


class State(StrEnum):
    """SMPP 3.4 §2.2; UNBOUND as in SMPP 5.0 §2.3.6."""

    #: Connected, not bound.
    OPEN = "OPEN"
    BOUND_TX = "BOUND_TX"
    BOUND_RX = "BOUND_RX"
    BOUND_TRX = "BOUND_TRX"
    #: UNBIND was answered; the connection only waits to be closed.
    UNBOUND = "UNBOUND"
    CLOSED = "CLOSED"


_BINDS = {CommandId.BIND_TRANSMITTER, CommandId.BIND_RECEIVER, CommandId.BIND_TRANSCEIVER}
_BIND_RESPONSES = {
    CommandId.BIND_TRANSMITTER_RESP,
    CommandId.BIND_RECEIVER_RESP,
    CommandId.BIND_TRANSCEIVER_RESP,
}
#: SMPP 3.4 §2.3 allows ENQUIRE_LINK to the bound only, 5.0 §2.4 in every state: a watchdog that asks before it binds
#: does no harm. It does not lengthen the time there is to bind.
_ALWAYS = {CommandId.ENQUIRE_LINK, CommandId.ENQUIRE_LINK_RESP, CommandId.GENERIC_NACK}
_BOUND = _ALWAYS | {CommandId.UNBIND, CommandId.UNBIND_RESP, CommandId.DATA_SM, CommandId.DATA_SM_RESP}

_TX_RECEIVES = _BOUND | {
    CommandId.SUBMIT_SM,
    CommandId.SUBMIT_MULTI,
    CommandId.QUERY_SM,
    CommandId.CANCEL_SM,
    CommandId.REPLACE_SM,
}
_RX_RECEIVES = _BOUND | {CommandId.DELIVER_SM_RESP}
#: SMPP 3.4 §2.3 lets a centre send DATA_SM to a transmitter too; who binds as one does not want to be delivered to.
_TX_SENDS = (_BOUND - {CommandId.DATA_SM}) | {
    CommandId.SUBMIT_SM_RESP,
    CommandId.SUBMIT_MULTI_RESP,
    CommandId.QUERY_SM_RESP,
    CommandId.CANCEL_SM_RESP,
    CommandId.REPLACE_SM_RESP,
}
_RX_SENDS = _BOUND | {CommandId.DELIVER_SM, CommandId.ALERT_NOTIFICATION}

#: What a client may issue (SMPP 3.4 §2.3, "issued by ESME").
RECEIVES: dict[State, Set[CommandId]] = {
    State.OPEN: _ALWAYS | _BINDS,
    State.BOUND_TX: _TX_RECEIVES,
    State.BOUND_RX: _RX_RECEIVES,
    State.BOUND_TRX: _TX_RECEIVES | _RX_RECEIVES,
    State.UNBOUND: frozenset(),
    State.CLOSED: frozenset(),
}

#: What we may issue (SMPP 3.4 §2.3, "issued by SMSC"). A response that refuses may be sent in every state that is not
#: over: it is how the client learns that it must not.
SENDS: dict[State, Set[CommandId]] = {
    State.OPEN: _ALWAYS | _BIND_RESPONSES | {CommandId.OUTBIND},
    State.BOUND_TX: _TX_SENDS,
    State.BOUND_RX: _RX_SENDS,
    State.BOUND_TRX: _TX_SENDS | _RX_SENDS,
    State.UNBOUND: frozenset(),
    State.CLOSED: frozenset(),
}

#: Where a response with status 0 leads.
MOVES: dict[CommandId, State] = {
    CommandId.BIND_TRANSMITTER_RESP: State.BOUND_TX,
    CommandId.BIND_RECEIVER_RESP: State.BOUND_RX,
    CommandId.BIND_TRANSCEIVER_RESP: State.BOUND_TRX,
    CommandId.UNBIND_RESP: State.UNBOUND,
}

#: The requests of a bound client that the application answers.
OPERATIONS: Set[CommandId] = {
    CommandId.SUBMIT_SM,
    CommandId.SUBMIT_MULTI,
    CommandId.DATA_SM,
    CommandId.QUERY_SM,
    CommandId.CANCEL_SM,
    CommandId.REPLACE_SM,
}

#: What carries a message or a receipt to a client.
DELIVERIES: Set[CommandId] = {CommandId.DELIVER_SM, CommandId.DATA_SM}

#: What we say without being asked.
OURS: Set[CommandId] = {
    *DELIVERIES,
    CommandId.ENQUIRE_LINK,
    CommandId.UNBIND,
    CommandId.ALERT_NOTIFICATION,
    CommandId.OUTBIND,
}

#: Those that have no response (SMPP 3.4 §4.12.1, §4.1.7).
UNANSWERED: Set[CommandId] = {CommandId.ALERT_NOTIFICATION, CommandId.OUTBIND}

#: Every command that a client may issue in some state.
_ISSUED_BY_CLIENT: Set[CommandId] = frozenset().union(*RECEIVES.values())

#: Requests that are refused in a response of their own. The broadcasts of 5.0 are no operation here at all, so they
#: are answered like an unknown command.
_ANSWERABLE: Set[CommandId] = {command for command in _ISSUED_BY_CLIENT | {CommandId.DELIVER_SM} if command < RESPONSE}


def response_to(command_id: int) -> CommandId:
    """The PDU that answers this request: its own response, or GENERIC_NACK where it has none (SMPP 3.4 §4.3)."""
    return CommandId(command_id | RESPONSE) if command_id in _ANSWERABLE else CommandId.GENERIC_NACK


def verdict(state: State, command_id: int) -> CommandStatus | None:
    """What happens to a PDU of a client: ESME_ROK takes it, another status is answered, None drops it in silence."""
    known = _VERDICTS[state]
    return known[command_id] if command_id in known else _rule(state, command_id)


def _rule(state: State, command_id: int) -> CommandStatus | None:
    if command_id & RESPONSE:
        return CommandStatus.ESME_ROK if command_id in RECEIVES[state] else None
    if state in (State.UNBOUND, State.CLOSED):
        # Our side of the connection has said its last word.
        return None
    if command_id not in _ISSUED_BY_CLIENT:
        # Unknown (SMPP 3.4 §4.3.1), or a request that only a message centre makes.
        return CommandStatus.ESME_RINVCMDID
    if command_id in RECEIVES[state]:
        return CommandStatus.ESME_ROK
    if command_id in _BINDS:
        return CommandStatus.ESME_RALYBND
    return CommandStatus.ESME_RINVBNDSTS


#: The rules, worked out once for every command that has a name: a PDU costs a look-up.
_VERDICTS = {state: {int(command): _rule(state, command) for command in CommandId} for state in State}


def table() -> str:
    """Print what a client meets, in Markdown, for docs/smpp-support.md. A response that no state takes is left out."""
    states = (State.OPEN, State.BOUND_TX, State.BOUND_RX, State.BOUND_TRX)
    rule = "|---" * (len(states) + 2) + "|"
    lines = ["| from the client | " + " | ".join(states) + " | answered by |", rule]
    for command in sorted(_ISSUED_BY_CLIENT | {CommandId.DELIVER_SM}, key=_requests_first):
        verdicts = [verdict(state, command) for state in states]
        answer = "–" if command >= RESPONSE else response_to(command).name.lower()
        if verdicts != [None] * len(states):
            lines.append(f"| {command.name.lower()} | " + " | ".join(map(_cell, verdicts)) + f" | {answer} |")
    lines += ["", "| from us | " + " | ".join(states) + " | answered by |", rule]
    for command in sorted(OURS):
        cells = ["sent" if command in SENDS[state] else "–" for state in states]
        answer = "–" if command in UNANSWERED else response_to(command).name.lower()
        lines.append(f"| {command.name.lower()} | " + " | ".join(cells) + f" | {answer} |")
    return "\n".join(lines) + "\n"


def _requests_first(command: CommandId) -> tuple[bool, int]:
    return command >= RESPONSE, command


def _cell(status: CommandStatus | None) -> str:
    if status is None:
        return "ignored"
    return "taken" if status is CommandStatus.ESME_ROK else f"`{status.name}`"


if __name__ == "__main__":
    print(table(), end="")
