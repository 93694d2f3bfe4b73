"""Who may bind, from where, how; and what the others are told."""

import asyncio
import hashlib
import threading
from typing import Any

import pytest

from pdu import CommandStatus
from smppbridge.config import AccountConfig
from smppbridge.smpp.admission import Admission, Doorkeeper, address_of, hash_password, verify_password
from smppbridge.smpp.events import BindRequest
from smppbridge.smpp.tls import Certificate

ROK, BINDFAIL = CommandStatus.ESME_ROK, CommandStatus.ESME_RBINDFAIL
INVSYSID, INVPASWD = CommandStatus.ESME_RINVSYSID, CommandStatus.ESME_RINVPASWD

#: Of "secret"; made once, because it takes its time.
HASH = hash_password("secret", b"0123456789abcdef")


def account(**values: Any) -> AccountConfig:
    return AccountConfig.model_validate({"allowed_networks": ["192.0.2.0/24"], "password": "secret"} | values)


ACCOUNTS = {
    "plain": account(),
    "hashed": account(password="", password_hash=HASH),
    "named": account(system_id="other-id"),
    "sender": account(bind_types=["transmitter"], max_binds=7),
    "six": account(allowed_networks=["2001:db8::/32"]),
    "nowhere": account(allowed_networks=[]),
    "open": account(password=""),
    "long": account(password="secretsecret"),
}
NEIGHBOUR, SIX, STRANGER = "192.0.2.7:40000", "[2001:db8::1]:40000", "198.51.100.7:40000"


def ask(system_id: str, password: str, peer: str, bind_type: Any = "transceiver") -> Admission:
    request = BindRequest(bind_type=bind_type, system_id=system_id, password=password)
    return asyncio.run(Doorkeeper(ACCOUNTS).admit(request, peer))


@pytest.mark.parametrize(
    ("system_id", "password", "peer", "status", "reason"),
    [
        ("plain", "secret", NEIGHBOUR, ROK, ""),
        ("hashed", "secret", NEIGHBOUR, ROK, ""),
        ("other-id", "secret", NEIGHBOUR, ROK, ""),
        ("six", "secret", SIX, ROK, ""),
        ("plain", "secret", "[::ffff:192.0.2.7]:40000", ROK, ""),
        # Strangers all hear the same, whether the name or the password is right or not.
        ("plain", "secret", STRANGER, BINDFAIL, "the address is not in allowed_networks"),
        ("plain", "wrong", STRANGER, BINDFAIL, "the address is not in allowed_networks"),
        ("nobody", "secret", STRANGER, BINDFAIL, "no account has this system_id, and none this address"),
        ("six", "secret", NEIGHBOUR, BINDFAIL, "the address is not in allowed_networks"),
        ("plain", "secret", SIX, BINDFAIL, "the address is not in allowed_networks"),
        ("plain", "secret", "", BINDFAIL, "the address is not in allowed_networks"),
        ("plain", "secret", "not an address:1", BINDFAIL, "the address is not in allowed_networks"),
        ("nowhere", "secret", NEIGHBOUR, BINDFAIL, "the address is not in allowed_networks"),
        ("nobody", "secret", NEIGHBOUR, INVSYSID, "no account has this system_id"),
        ("named", "secret", NEIGHBOUR, INVSYSID, "no account has this system_id"),
        ("", "", NEIGHBOUR, INVSYSID, "no account has this system_id"),
        ("plain", "wrong", NEIGHBOUR, INVPASWD, "wrong password"),
        ("plain", "", NEIGHBOUR, INVPASWD, "wrong password"),
        ("plain", "Secret", NEIGHBOUR, INVPASWD, "wrong password"),
        ("hashed", "wrong", NEIGHBOUR, INVPASWD, "wrong password"),
        ("hashed", "", NEIGHBOUR, INVPASWD, "wrong password"),
        # Without any password nobody gets in, least of all with an empty one.
        ("open", "", NEIGHBOUR, INVPASWD, "wrong password"),
        (
            "long",
            "secretse",
            NEIGHBOUR,
            INVPASWD,
            "wrong password: the client sent the first 8 characters, SMPP allows no more",
        ),
    ],
)
def test_who_may_bind(system_id: str, password: str, peer: str, status: CommandStatus, reason: str) -> None:
    admission = ask(system_id, password, peer)
    assert (admission.status, admission.reason) == (status, reason)
    assert bool(admission.account) is (status is ROK)


def test_the_account_goes_by_its_name_and_not_by_its_system_id() -> None:
    assert ask("other-id", "secret", NEIGHBOUR).account == "named"


def test_kinds_of_bind() -> None:
    assert ask("sender", "secret", NEIGHBOUR, "transmitter") == Admission(account="sender", max_binds=7)
    refused = ask("sender", "secret", NEIGHBOUR, "receiver")
    assert (refused.status, refused.reason) == (BINDFAIL, "receiver is not in bind_types")
    # The password comes first: who does not know it learns nothing of the account.
    assert ask("sender", "wrong", NEIGHBOUR, "receiver").status is INVPASWD


@pytest.mark.parametrize(("reasons", "told"), [("auto", None), ("always", True), ("never", False)])
def test_the_account_says_whether_reasons_are_told(reasons: str, told: bool | None) -> None:
    request = BindRequest(bind_type="receiver", system_id="demo", password="secret")
    admission = asyncio.run(Doorkeeper({"demo": account(reasons=reasons)}).admit(request, NEIGHBOUR))
    assert admission.reasons is told


RIGHT = Certificate(("client.example",), f"sha256:{'1' * 64}")
WRONG = Certificate(("other.example",), f"sha256:{'2' * 64}")


@pytest.mark.parametrize(
    ("certificate", "password", "peer", "status", "reason"),
    [
        (RIGHT, "secret", NEIGHBOUR, ROK, ""),
        (RIGHT, "wrong", NEIGHBOUR, INVPASWD, "wrong password"),
        # Whoever shows the wrong one learns nothing about the password.
        (None, "secret", NEIGHBOUR, BINDFAIL, "no certificate of the client: it is not on TLS, or shows none"),
        (None, "wrong", NEIGHBOUR, BINDFAIL, "no certificate of the client: it is not on TLS, or shows none"),
        (
            WRONG,
            "wrong",
            NEIGHBOUR,
            BINDFAIL,
            f'the certificate "other.example" (sha256:{"2" * 64}) is not one of client_certificates',
        ),
        (RIGHT, "secret", STRANGER, BINDFAIL, "the address is not in allowed_networks"),
    ],
)
def test_an_account_that_asks_for_a_certificate(
    certificate: Certificate | None, password: str, peer: str, status: CommandStatus, reason: str
) -> None:
    doorkeeper = Doorkeeper({"demo": account(client_certificates=["client.example"])})
    request = BindRequest(bind_type="receiver", system_id="demo", password=password)
    admission = asyncio.run(doorkeeper.admit(request, peer, certificate))
    assert (admission.status, admission.reason) == (status, reason)
    assert admission.known is (status is ROK)


def test_one_that_asks_for_none_takes_any() -> None:
    request = BindRequest(bind_type="receiver", system_id="plain", password="secret")
    for certificate in (None, WRONG):
        assert asyncio.run(Doorkeeper(ACCOUNTS).admit(request, NEIGHBOUR, certificate)).status is ROK


@pytest.mark.parametrize(
    ("system_id", "password", "bind_type", "known"),
    [
        ("sender", "secret", "transmitter", True),
        ("sender", "secret", "receiver", True),
        ("sender", "wrong", "transmitter", False),
        ("nobody", "secret", "transmitter", False),
    ],
)
def test_who_knows_the_password_is_known_whatever_else_is_wrong(
    system_id: str, password: str, bind_type: str, known: bool
) -> None:
    assert ask(system_id, password, NEIGHBOUR, bind_type).known is known


def test_a_password_that_passed_is_not_hashed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from smppbridge.smpp import admission

    calls = []
    monkeypatch.setattr(admission, "verify_password", lambda *given: calls.append(1) or verify_password(*given))

    async def bind_again_and_again() -> list[CommandStatus]:
        doorkeeper = Doorkeeper(ACCOUNTS)
        statuses = []
        for password in ("secret", "secret", "wrong", "secret"):
            request = BindRequest(bind_type="receiver", system_id="hashed", password=password)
            statuses.append((await doorkeeper.admit(request, NEIGHBOUR)).status)
        return statuses

    assert asyncio.run(bind_again_and_again()) == [ROK, ROK, INVPASWD, ROK]
    assert len(calls) == 2


def test_who_hangs_up_makes_no_room_for_another_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    another, go_on = threading.Semaphore(0), threading.Event()
    scrypt = hashlib.scrypt

    def slow(*given: Any, **more: Any) -> bytes:
        begun.append(1)
        another.release()
        go_on.wait(10)
        return scrypt(*given, **more)

    monkeypatch.setattr(hashlib, "scrypt", slow)

    async def binds() -> int:
        doorkeeper = Doorkeeper(ACCOUNTS)
        request = BindRequest(bind_type="receiver", system_id="hashed", password="wrong")

        for _ in range(2):
            bind = asyncio.create_task(doorkeeper.admit(request, NEIGHBOUR))
            await asyncio.to_thread(another.acquire)
            bind.cancel()
            await asyncio.gather(bind, return_exceptions=True)
        last = asyncio.create_task(doorkeeper.admit(request, NEIGHBOUR))
        await asyncio.wait([last], timeout=0.2)
        at_once = len(begun)
        go_on.set()
        await last
        return at_once

    assert asyncio.run(binds()) == 2


def test_a_hash_holds_its_own_parameters() -> None:
    scheme, n, r, p, salt, digest = HASH.split("$")
    assert (scheme, n, r, p, salt) == ("scrypt", "16384", "8", "1", "MDEyMzQ1Njc4OWFiY2RlZg==")
    assert len(digest) == 88
    assert verify_password("secret", HASH)
    assert not verify_password("secret ", HASH)
    # From other parameters, as another version or another program may have written it.
    assert verify_password("pw", "scrypt$16$1$1$c2FsdA==$gVZVjkA+QWJIWxsvG3yQIw==") is False


def test_two_hashes_of_one_password_differ() -> None:
    assert hash_password("secret") != hash_password("secret")


@pytest.mark.parametrize(
    "stored",
    ["", "secret", "md5$1$2$3$4$5", "scrypt$16384$8$1$c2FsdA==", "scrypt$a$b$c$d$e", HASH.replace("16384", "5")],
)
def test_what_is_no_hash_is_a_mistake(stored: str) -> None:
    with pytest.raises(ValueError, match="hash-password"):
        verify_password("secret", stored)


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("192.0.2.1:5", "192.0.2.1"),
        ("[2001:db8::1]:5", "2001:db8::1"),
        ("[::ffff:192.0.2.1]:5", "192.0.2.1"),
        ("[fe80::1%eth0]:5", "fe80::1"),
        ("", "None"),
        ("/run/socket", "None"),
    ],
)
def test_addresses(peer: str, address: str) -> None:
    assert str(address_of(peer)) == address


@pytest.mark.parametrize(
    ("dialect", "given", "passes"),
    [
        ("smsc.ru", "longer-than-that", True),
        ("smsc.ru", "longer-t", False),
        ("kannel", "longer-than-that", True),
        ("kannel", "longer-t", True),
        ("kannel", "longer-", False),
        ("kannel", "longer-th", False),
        ("kannel", "longer-than-thaT", False),
        ("kannel", "", False),
    ],
)
def test_a_dialect_takes_a_password_that_was_cut_off(dialect: str, given: str, passes: bool) -> None:
    client = account(password="longer-than-that", allowed_networks=["192.0.2.0/24"], dialect=dialect)
    request = BindRequest(bind_type="transceiver", system_id="long", password=given)
    found = asyncio.run(Doorkeeper({"long": client}).admit(request, NEIGHBOUR))
    assert found.status == (CommandStatus.ESME_ROK if passes else CommandStatus.ESME_RINVPASWD)


def test_a_short_password_is_taken_as_a_whole_only() -> None:
    client = account(password="short", allowed_networks=["192.0.2.0/24"], dialect="kannel")
    for given in ("", "s", "shor", "short "):
        request = BindRequest(bind_type="transceiver", system_id="short", password=given)
        found = asyncio.run(Doorkeeper({"short": client}).admit(request, NEIGHBOUR))
        assert found.status == CommandStatus.ESME_RINVPASWD
