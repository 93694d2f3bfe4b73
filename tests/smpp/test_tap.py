"""What a capture sees of a session: whole PDUs, in order, and never a password."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdu import (
    BindReceiver,
    BindTransceiver,
    BindTransmitter,
    EnquireLink,
    Outbind,
    Pdu,
    SubmitSm,
    Tag,
    Tlv,
    decode,
    encode,
)
from smppbridge.config import Network
from smppbridge.smpp.session import Session
from smppbridge.smpp.states import State
from smppbridge.smpp.tap import Seen, Tap, Taps, masked

BINDS: list[type[Any]] = [BindTransmitter, BindReceiver, BindTransceiver]
PAYLOAD = Tlv(Tag.MESSAGE_PAYLOAD, bytes(600))
names = st.text(st.characters(codec="ascii", exclude_characters="\0*"), max_size=8)


# Passwords -----------------------------------------------------------------------------------------------------------


@given(kind=st.sampled_from([*BINDS, Outbind]), system_id=names, password=names, sequence=st.integers(1, 99))
def test_a_password_is_masked_and_nothing_else(kind: Any, system_id: str, password: str, sequence: int) -> None:
    frame = encode(kind(system_id=system_id, password=password, sequence_number=sequence))
    seen = masked(frame)
    hidden: Any = decode(seen)
    assert hidden.password == "*" * len(password)
    assert len(seen) == len(frame)
    hidden.password = password
    assert encode(hidden) == frame


@given(kind=st.sampled_from(BINDS), cut=st.integers(16, 60), rest=st.binary(max_size=30))
def test_a_bind_that_cannot_be_read_shows_no_password(kind: Any, cut: int, rest: bytes) -> None:
    whole = encode(kind(system_id="demo", password="Topsecret"[:8], system_type="x"))
    body = whole[16:cut]
    frame = (16 + len(body) + len(rest)).to_bytes(4) + whole[4:16] + body + rest
    seen = masked(frame)
    assert len(seen) == len(frame)
    assert seen[:16] == frame[:16]
    assert b"ecre" not in seen


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        # Fields of fixed size, filled up with NUL.
        (b"demo".ljust(16, b"\0") + b"secret".ljust(9, b"\0") + bytes(40), b"demo\0"),
        # No NUL behind the system_id.
        (b"demosecret", b""),
        (b"a system_id of more than 16\0secret\0\0\x34\0\0\0", b""),
        # No NUL behind the password.
        (b"demo\0secret", b"demo\0"),
        # A password too long for its field.
        (b"demo\0secretsecret\0\0\x34\0\0\0", b"demo\0"),
        # TLVs that do not end with the body.
        (b"demo\0secret\0\0\x34\0\0\0\x02", b"demo\0"),
    ],
)
def test_what_is_masked_where_nobody_can_tell(body: bytes, shown: bytes) -> None:
    header = (16 + len(body)).to_bytes(4) + BindReceiver.command_id.to_bytes(4) + bytes(7) + b"\1"
    assert masked(header + body) == header + shown + b"*" * (len(body) - len(shown))


def test_other_pdus_are_as_they_were() -> None:
    frame = encode(SubmitSm(short_message=b"demo\0secret\0"))
    assert masked(frame) is frame


# Links ---------------------------------------------------------------------------------------------------------------


class Keeps:
    """A watcher that keeps what it is told."""

    def __init__(self, account: str = "", networks: Sequence[Network] = ()) -> None:
        self.account = account
        self.networks = networks
        self.seen: list[Seen] = []

    def take(self, seen: Seen) -> None:
        self.seen.append(seen)

    def pdus(self) -> list[Pdu]:
        return [decode(seen.octets) for seen in self.seen]


@pytest.fixture
def link(session_in: Callable[..., Session]) -> Callable[..., Any]:
    """As much of a link as a tap asks for."""

    def make(state: State = State.BOUND_TRX, account: str = "demo", peer: str = "192.0.2.7:1234", id: int = 1) -> Any:
        return SimpleNamespace(id=id, account=account, peer=peer, local="192.0.2.1:2775", session=session_in(state))

    return make


def taps_over(*links: Any) -> Taps:
    times = itertools.count(1_000_000)
    return Taps({link.id: link for link in links}, lambda: next(times))


def test_pdus_are_seen_whole_however_they_are_read(link: Any) -> None:
    one = link()
    watcher = Keeps()
    taps_over(one).watch(watcher)
    asked, alive = encode(SubmitSm(sequence_number=5, short_message=b"Hello")), encode(EnquireLink(sequence_number=6))
    for octet in asked + alive:
        one.session.receive(bytes([octet]), 2_000)
    one.session.respond_submit(5, 0, "77")
    one.session.data_to_send()
    assert [(type(pdu).__name__, pdu.sequence_number) for pdu in watcher.pdus()] == [
        ("SubmitSm", 5),
        ("EnquireLink", 6),
        ("EnquireLinkResp", 6),
        ("SubmitSmResp", 5),
    ]
    assert [(seen.received, seen.offset, seen.beside) for seen in watcher.seen] == [
        (True, 0, 0),
        (True, len(asked), 0),
        (False, 0, len(asked + alive)),
        (False, 16, len(asked + alive)),
    ]
    assert [seen.at for seen in watcher.seen] == [1_000_000, 1_000_001, 1_000_002, 1_000_003]
    assert {(seen.link, seen.account, seen.peer, seen.local) for seen in watcher.seen} == {
        (1, "demo", "192.0.2.7:1234", "192.0.2.1:2775")
    }


def test_a_pdu_that_was_half_read_when_the_capture_began_is_seen_whole(link: Any) -> None:
    one = link()
    watcher = Keeps()
    frame = encode(SubmitSm(sequence_number=5))
    one.session.receive(frame[:20], 2_000)
    taps_over(one).watch(watcher)
    one.session.receive(frame[20:], 2_000)
    assert [seen.octets for seen in watcher.seen] == [frame]


@pytest.mark.parametrize("cuts", [[], [16], [17, 21, 24]])
def test_a_bind_is_masked_also_when_it_comes_in_pieces(link: Any, cuts: list[int]) -> None:
    one = link(State.OPEN, account="")
    watcher = Keeps()
    taps_over(one).watch(watcher)
    frame = encode(BindTransceiver(system_id="demo", password="secret", sequence_number=1))
    for start, stop in itertools.pairwise([0, *cuts, len(frame)]):
        one.session.receive(frame[start:stop], 2_000)
    assert [seen.octets for seen in watcher.seen] == [frame.replace(b"secret", b"******")]


def test_of_a_lost_framing_only_the_length_is_seen(link: Any) -> None:
    one = link(State.OPEN, account="")
    watcher = Keeps()
    taps_over(one).watch(watcher)
    # command_length says less than there is, and the password stands where the next header should.
    bind = encode(BindTransceiver(system_id="demo", password="secret", sequence_number=1))
    one.session.receive(encode(EnquireLink()) + (5).to_bytes(4) + bind[4:], 2_000)
    one.session.data_to_send()
    assert watcher.seen[1].octets == (5).to_bytes(4) + b"*" * (len(bind) - 4)
    assert [type(pdu).__name__ for pdu in map(decode, (seen.octets for seen in watcher.seen[2:]))] == [
        "EnquireLinkResp",
        "GenericNack",
    ]


def test_a_capture_of_an_account_has_its_bind_and_nobody_elses(link: Any) -> None:
    mine, other = link(State.OPEN, account="", id=1), link(State.OPEN, account="", id=2)
    taps = taps_over()
    watcher, everything = Keeps("demo"), Keeps()
    taps.watch(watcher)
    taps.watch(everything)
    for one, account in ((mine, "demo"), (other, "shop")):
        taps.opened(one)
        one.session.receive(encode(BindTransceiver(system_id=account, password="secret", sequence_number=1)), 2_000)
        one.account = account
        one.session.tap.bound()
        one.session.bind_accepted("us")
        one.session.data_to_send()
    assert [type(pdu).__name__ for pdu in watcher.pdus()] == ["BindTransceiver", "BindTransceiverResp"]
    assert {seen.link for seen in watcher.seen} == {1}
    assert len(everything.seen) == 4


def test_what_an_unbound_client_says_is_kept_within_bounds(link: Any) -> None:
    one = link(State.OPEN, account="")
    watcher = Keeps("demo")
    taps_over(one).watch(watcher)
    for _ in range(100):
        one.session.receive(encode(EnquireLink(sequence_number=1)), 2_000)
    one.account = "demo"
    one.session.tap.bound()
    assert len(watcher.seen) == 32


def test_a_flood_of_large_pdus_from_an_unbound_client_is_not_kept(link: Any) -> None:
    one = link(State.OPEN, account="")
    watcher = Keeps("demo")
    taps_over(one).watch(watcher)
    for _ in range(10):
        one.session.receive(encode(SubmitSm(sequence_number=1, tlvs=[PAYLOAD])), 2_000)
    one.session.receive(encode(BindTransceiver(system_id="demo", password="secret", sequence_number=1)), 2_000)
    one.account = "demo"
    one.session.tap.bound()
    assert [type(pdu).__name__ for pdu in watcher.pdus()] == ["BindTransceiver"]


@pytest.mark.parametrize(
    ("account", "networks", "taken"),
    [
        ("", [], True),
        ("demo", [], True),
        ("shop", [], False),
        ("", ["192.0.2.0/24"], True),
        ("", ["2001:db8::/32", "192.0.2.7/32"], True),
        ("", ["198.51.100.0/24"], False),
        ("demo", ["198.51.100.0/24"], False),
    ],
)
def test_links_that_nobody_wants_cost_nothing(link: Any, account: str, networks: list[str], taken: bool) -> None:
    from ipaddress import ip_network

    one = link()
    watcher = Keeps(account, [ip_network(text) for text in networks])
    taps_over(one).watch(watcher)
    one.session.receive(encode(EnquireLink(sequence_number=1)), 2_000)
    assert bool(watcher.seen) is taken
    assert (one.session.tap is not None) is taken


def test_an_address_that_a_balancer_names_later_counts(link: Any) -> None:
    from ipaddress import ip_network

    one = link(peer="10.0.0.1:999")
    watcher = Keeps(networks=[ip_network("192.0.2.0/24")])
    taps = taps_over()
    taps.watch(watcher)
    taps.opened(one)
    one.peer = "192.0.2.7:1234"
    one.session.receive(encode(EnquireLink(sequence_number=1)), 2_000)
    assert [seen.peer for seen in watcher.seen] == ["192.0.2.7:1234"]


def test_who_has_left_hears_nothing_more(link: Any) -> None:
    one = link()
    taps = taps_over(one)
    first, second = Keeps(), Keeps()
    taps.watch(first)
    taps.watch(second)
    taps.leave(first)
    one.session.receive(encode(EnquireLink(sequence_number=1)), 2_000)
    taps.leave(second)
    assert one.session.tap is None
    one.session.receive(encode(EnquireLink(sequence_number=2)), 2_000)
    assert (len(first.seen), len(second.seen)) == (0, 1)


def test_a_watcher_that_fails_is_left_out_and_the_link_lives(link: Any) -> None:
    one = link()
    taps = taps_over(one)

    class Fails(Keeps):
        def take(self, seen: Seen) -> None:
            raise RuntimeError("no room")

    watcher = Keeps()
    taps.watch(Fails())
    taps.watch(watcher)
    for number in (1, 2):
        one.session.receive(encode(EnquireLink(sequence_number=number)), 2_000)
    assert len(watcher.seen) == 2
    assert one.session.ending is None


def test_only_a_session_that_is_captured_has_a_tap(link: Any) -> None:
    one, taps = link(), taps_over()
    taps.opened(one)
    assert one.session.tap is None
    taps.watch(Keeps())
    taps.opened(one)
    assert isinstance(one.session.tap, Tap)
