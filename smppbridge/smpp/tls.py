"""TLS on our side: what is offered to clients, and who they are by their certificates.

A listener's context is made anew whenever the settings are read again, and the next connection gets it. It is never
changed in place: authorities can only be added to a context, so one that was taken out of `clients_ca` would go on
letting its clients in. Those who are connected keep the session that they have.

What is offered: TLS 1.2 and 1.3; in 1.2 only what encrypts with authentication and keeps no key that could open
yesterday's recording (ECDHE with AES-GCM or ChaCha20), in our order; no compression, no renegotiation, and nothing to
resume a session by. A bind lasts for days: what resuming would save is little, and it would carry a client past an
authority that is trusted no longer. Java 7 and clients of its age know none of these ciphers and fail at the handshake
with NO_SHARED_CIPHER.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterable
from typing import Any, TypeAlias, cast

import msgspec

from ..config import Tls

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_CLIENTS = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
#: Of TLS 1.2; those of 1.3 are all of this kind.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_FINGERPRINT = "sha256:"

_Name: TypeAlias = tuple[tuple[str, str], ...]


class Certificate(msgspec.Struct, frozen=True, gc=False):
    """What a client proved to have the key of, under an authority of `clients_ca`."""

    #: The common name, then its DNS names.
    names: tuple[str, ...]
    #: "sha256:" and 64 hexadecimal digits: of the whole certificate (DER).
    fingerprint: str

    def __str__(self) -> str:
        return self.names[0] if self.names else self.fingerprint

    def fits(self, wanted: Iterable[str]) -> bool:
        """Whether it is one of `client_certificates`. Names are compared letter by letter, and a `*` is a star."""
        return any(
            fingerprint(one) == self.fingerprint if one.startswith(_FINGERPRINT) else one in self.names
            for one in wanted
        )


def fingerprint(text: str) -> str:
    """ "sha256:AB:CD…", as openssl writes the digits, in the one form that is compared."""
    return _FINGERPRINT + text.removeprefix(_FINGERPRINT).replace(":", "").lower()


def context_of(tls: Tls) -> ssl.SSLContext:
    """What a listener offers from now on. Raises ValueError for files that cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.minimum]
    context.set_ciphers(_CIPHERS)
    context.options |= (
        ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_TICKET
    )
    context.num_tickets = 0
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"certificate {tls.certificate} with key {tls.key} cannot be used: {error}") from error
    if tls.clients != "none":
        if tls.clients_ca is None:
            raise ValueError(f"certificates of clients are {tls.clients}, and no clients_ca says who signs them")
        try:
            context.load_verify_locations(tls.clients_ca)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"clients_ca {tls.clients_ca} cannot be used: {error}") from error
        # An authority in the file is trusted by itself, and those beside it under the same root are not.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_mode = _CLIENTS[tls.clients]
    return context


def certificate_of(connection: ssl.SSLObject | None) -> Certificate | None:
    """The certificate of the client, if it showed one. It was checked with the handshake, or there would be none."""
    if connection is None or connection.context.verify_mode is ssl.CERT_NONE:
        return None
    octets = connection.getpeercert(binary_form=True)
    if not octets:
        return None
    told = cast(dict[str, Any], connection.getpeercert())
    subject = cast(tuple[_Name, ...], told.get("subject", ()))
    names = [value for part in subject for key, value in part if key == "commonName"]
    names += [value for key, value in told.get("subjectAltName", ()) if key == "DNS"]
    return Certificate(tuple(dict.fromkeys(names)), _FINGERPRINT + hashlib.sha256(octets).hexdigest())


def why(error: Exception) -> str:
    """Why a handshake failed, in one line for the log."""
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", None) or str(error)
        return f"{reason}: {error.verify_message}" if isinstance(error, ssl.SSLCertVerificationError) else reason
    return str(error) or type(error).__name__
