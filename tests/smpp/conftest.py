"""Sessions in every state, and a way to read what they say."""

from collections.abc import Callable

import pytest

from pdu import BindReceiver, BindTransceiver, BindTransmitter, Framer, Pdu, SubmitSm, decode, encode
from smppbridge.smpp.events import Ending, How
from smppbridge.smpp.session import Counters, Session
from smppbridge.smpp.states import State
from smppbridge.smpp.timers import Limits

LIMITS = Limits(session_init=30_000, enquire_link_after=45_000, inactivity=120_000, response=60_000)
BIND = {
    State.BOUND_TX: BindTransmitter,
    State.BOUND_RX: BindReceiver,
    State.BOUND_TRX: BindTransceiver,
}


def make_session(
    state: State = State.BOUND_TRX, *, now: int = 1_000, version: int = 0x34, window: int = 3, limits: Limits = LIMITS
) -> Session:
    """A session that came into this state the way a client gets there; what it said on the way is thrown away."""
    session = Session(limits, now, window=window, max_pdu=1024, counters=Counters())
    wanted = State.BOUND_TRX if state in (State.UNBOUND, State.CLOSED) else state
    if wanted in BIND:
        bind = BIND[wanted](system_id="demo", password="secret", interface_version=version, sequence_number=1)
        session.receive(encode(bind), now)
        session.bind_accepted("us")
    if state is State.UNBOUND:
        # Two open questions keep it from ending: our UNBIND is answered, a SUBMIT_SM is not.
        session.receive(encode(SubmitSm(sequence_number=2)), now)
        session.unbind(now)
        (unbind,) = read(session)[-1:]
        session.receive(bytes.fromhex("00000010 80000006 00000000") + unbind.sequence_number.to_bytes(4), now)
    elif state is State.CLOSED:
        session.end(Ending(How.CLOSED, "test"))
    session.data_to_send()
    assert session.state is state
    return session


def read(session: Session) -> list[Pdu]:
    """What the session wants to send, as PDUs."""
    framer = Framer(65_536)
    framer.feed(session.data_to_send())
    pdus = []
    while (frame := framer.next()) is not None:
        pdus.append(decode(frame))
    return pdus


@pytest.fixture
def session_in() -> Callable[..., Session]:
    return make_session


@pytest.fixture
def said() -> Callable[[Session], list[Pdu]]:
    return read
