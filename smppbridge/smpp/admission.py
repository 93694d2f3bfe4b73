"""Who may bind. Every rule fails closed; every refusal has a status for the client and a reason for the log.

In this order:

1. The address, of the client itself and not of a balancer (`proxy`). Somebody outside the networks of the account he
   names is a stranger, and so is somebody who names no account and is in nobody's networks. All strangers get the same
   answer, ESME_RBINDFAIL, before any password is looked at: they learn no account's name, and keep no machine busy with
   hashing.
2. The system_id: ESME_RINVSYSID, to those who are in somebody's networks. A mistyped name is told apart from a mistyped
   password there, because the people who bind ask exactly that.
3. The certificate, where the account asks for one: ESME_RBINDFAIL, before the password is looked at. A certificate is
   renewed every few months, on two sides and seldom in the same minute: the client has to come back by itself.
4. The password: ESME_RINVPASWD, compared in constant time.
5. The kind of bind, and how many there are: ESME_RBINDFAIL. Never a status that says the password is wrong, because
   clients like Kannel give up for good on ESME_RINVSYSID and ESME_RINVPASWD and try again on everything else.

An account that is open to 0.0.0.0/0 makes everybody a neighbour, who may then guess names one by one: keep networks
narrow. What can go wrong for honest people: SMPP passwords have 8 characters at most (3.4 §5.2.2), and client libraries
cut longer ones off without a word, so the bind fails with ESME_RINVPASWD; `smppbridge check-config` finds that before
the client does. An account whose dialect says `cut_passwords` takes the first 8 characters for the whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address

import msgspec

from pdu import CommandStatus

from ..config import AccountConfig, plain, within
from .events import BindRequest
from .tls import Certificate

#: SMPP 3.4 §5.2.2: 9 octets with the NUL.
MAX_PASSWORD = 8

#: Cost of scrypt: 16 MiB and some 50 ms. More would buy little, because 8 characters are guessed soon whatever it
#: costs, and cost much when a thousand clients bind again after a restart.
_N, _R, _P = 2**14, 8, 1
#: OpenSSL refuses to use more than it is told; 128 * n * r and some.
_MEMORY = 64 * 1024 * 1024

#: `reasons` of an account, for `Session.bind_accepted`.
_REASONS = {"auto": None, "always": True, "never": False}

#: Two hashes are computed at once; each takes a core and 16 MiB. They have threads of their own, because a hash that is
#: begun goes on when its client hangs up: a place must not be free before.
_HASHING = ThreadPoolExecutor(2, "scrypt")


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a bind: let in as `account`, or refused with a `status` other than 0 and a reason for the log."""

    account: str = ""
    status: CommandStatus = CommandStatus.ESME_ROK
    reason: str = ""
    #: The client proved who it is, whatever the status says; a refusal for any other reason counts as a failed bind.
    known: bool = True
    #: Checked at the very moment of binding, because two clients may ask at the same time.
    max_binds: int = 1
    #: What happens beyond that: the oldest bind is sent off, or this one refused.
    replaces: bool = False
    #: Whether errors carry their reason in a TLV; None: as the version of the client says.
    reasons: bool | None = None
    #: Requests that may wait for our answers; whether more get ESME_RTHROTTLED or are not read.
    submit_window: int = 2000
    throttles: bool = False


# Passwords -----------------------------------------------------------------------------------------------------------


def hash_password(password: str, salt: bytes | None = None) -> str:
    """`scrypt$n$r$p$salt$hash`, salt and hash in base64, for `password_hash`."""
    salt = os.urandom(16) if salt is None else salt
    digest = hashlib.scrypt(password.encode(), salt=salt, n=_N, r=_R, p=_P, maxmem=_MEMORY)
    return f"scrypt${_N}${_R}${_P}${b64encode(salt).decode()}${b64encode(digest).decode()}"


def verify_password(password: str, stored: str) -> bool:
    """Compare with what `hash_password` made; takes some 50 ms. ValueError if `stored` is nothing of the kind."""
    try:
        scheme, n, r, p, salt, digest = stored.split("$")
        expected = b64decode(digest, validate=True)
        computed = hashlib.scrypt(
            password.encode(),
            salt=b64decode(salt, validate=True),
            n=int(n),
            r=int(r),
            p=int(p),
            maxmem=_MEMORY,
            dklen=len(expected),
        )
    except ValueError as error:
        raise ValueError("expected scrypt$n$r$p$salt$hash, as `smppbridge hash-password` writes it") from error
    return hmac.compare_digest(computed, expected) and scheme == "scrypt"


# Rules ---------------------------------------------------------------------------------------------------------------


def address_of(peer: str) -> IPv4Address | IPv6Address | None:
    """The address in "203.0.113.7:40123" or "[::1]:40123". None if there is none."""
    return plain(peer.rpartition(":")[0].strip("[]"))


class Doorkeeper:
    """Decides on binds by the accounts of the configuration. Make a new one when they are loaded again."""

    def __init__(self, accounts: Mapping[str, AccountConfig]) -> None:
        self._accounts = {config.system_id or name: (name, config) for name, config in accounts.items()}
        #: Passwords that passed, under a key of this process: a client that binds again costs no scrypt.
        self._passed: dict[str, bytes] = {}
        self._key = os.urandom(32)

    async def admit(self, request: BindRequest, peer: str, certificate: Certificate | None = None) -> Admission:
        """Decide. Hashing runs in a thread; the answer may take some 50 ms, more when many bind at once."""
        address = address_of(peer)
        name, config = self._accounts.get(request.system_id, ("", None))
        if config is None:
            if self.neighbour(address):
                return _refused(CommandStatus.ESME_RINVSYSID, "no account has this system_id")
            return _refused(CommandStatus.ESME_RBINDFAIL, "no account has this system_id, and none this address")
        if not within(address, config.allowed_networks):
            return _refused(CommandStatus.ESME_RBINDFAIL, "the address is not in allowed_networks")
        if config.client_certificates and not (certificate and certificate.fits(config.client_certificates)):
            return _refused(CommandStatus.ESME_RBINDFAIL, _wrong_certificate(certificate))
        if not await self._knows_password(name, config, request.password):
            return _refused(CommandStatus.ESME_RINVPASWD, _wrong_password(config, request.password))
        if request.bind_type not in config.bind_types:
            return _refused(CommandStatus.ESME_RBINDFAIL, f"{request.bind_type} is not in bind_types", known=True)
        return Admission(
            account=name,
            max_binds=config.max_binds,
            replaces=config.binds_beyond == "replace",
            reasons=_REASONS[config.reasons],
            submit_window=config.submit_window,
            throttles=config.submit_window_full == "throttle",
        )

    def neighbour(self, address: IPv4Address | IPv6Address | None) -> bool:
        """Whether an address is in anybody's networks."""
        return any(within(address, config.allowed_networks) for _, config in self._accounts.values())

    async def _knows_password(self, name: str, config: AccountConfig, password: str) -> bool:
        if config.password:
            # Digests of equal length, so that not even the length of the password shows in the time.
            given = self._digest(name, password)
            # Both are compared whatever the first one says: how long it takes tells nothing either.
            whole = hmac.compare_digest(given, self._digest(name, config.password))
            cut = hmac.compare_digest(given, self._digest(name, config.password[:MAX_PASSWORD]))
            return whole or (cut and config.dialect.cut_passwords)
        if not config.password_hash:
            return False
        digest = self._digest(name, password)
        if hmac.compare_digest(digest, self._passed.get(name, b"")):
            return True
        loop = asyncio.get_running_loop()
        passes = await loop.run_in_executor(_HASHING, verify_password, password, config.password_hash)
        if passes:
            self._passed[name] = digest
        return passes

    def _digest(self, name: str, password: str) -> bytes:
        return hmac.digest(self._key, f"{name}\0{password}".encode(), "sha256")


def _wrong_password(config: AccountConfig, password: str) -> str:
    """The helpful line: the commonest wrong password is the right one, cut off."""
    if len(password) == MAX_PASSWORD < len(config.password) and config.password.startswith(password):
        return f"wrong password: the client sent the first {MAX_PASSWORD} characters, SMPP allows no more"
    return "wrong password"


def _wrong_certificate(certificate: Certificate | None) -> str:
    if certificate is None:
        return "no certificate of the client: it is not on TLS, or shows none"
    return f'the certificate "{certificate}" ({certificate.fingerprint}) is not one of client_certificates'


def _refused(status: CommandStatus, reason: str, *, known: bool = False) -> Admission:
    return Admission(status=status, reason=reason, known=known)
