"""What a listener offers, whom it asks for a certificate, and whose it is: handshakes without a socket."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smppbridge.config import Tls
from smppbridge.smpp.tls import Certificate, certificate_of, context_of, why

Make = Callable[..., Any]


class Ends:
    """Both ends of a connection, in memory."""

    def __init__(self, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
        up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = server.wrap_bio(up, down, server_side=True)
        self.client = client.wrap_bio(down, up, server_hostname="gateway.example")

    def shake_hands(self) -> None:
        """Raises what either end says against it."""
        for _ in range(5):
            for end in (self.client, self.server):
                try:
                    end.do_handshake()
                except ssl.SSLWantReadError:
                    continue

    def reason(self) -> str:
        with pytest.raises(ssl.SSLError) as raised:
            self.shake_hands()
        return why(raised.value)


@pytest.fixture
def known(authority: Make) -> Any:
    return authority("known")


@pytest.fixture
def listener(authority: Make, known: Any) -> Callable[..., Tls]:
    """[smpp.listeners.tls] with a certificate for gateway.example, whose clients `known` signs."""
    signed = authority("public").sign("gateway.example", dns=("gateway.example",))

    def make(**keys: Any) -> Tls:
        asked = {} if keys.get("clients", "none") == "none" else {"clients_ca": known.file}
        return Tls.model_validate({"certificate": signed.certificate, "key": signed.key} | asked | keys)

    return make


def anybody(tls: Tls) -> ssl.SSLContext:
    """A client that trusts whoever is there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def test_a_modern_client(listener: Callable[..., Tls]) -> None:
    ends = Ends(context_of(listener()), anybody(listener()))
    ends.shake_hands()
    assert ends.server.version() == "TLSv1.3"
    assert ends.server.compression() is None
    assert certificate_of(ends.server) is None
    assert certificate_of(None) is None


def test_one_of_1_2_gets_a_cipher_that_keeps_no_secret(listener: Callable[..., Tls]) -> None:
    tls = listener()
    client = anybody(tls)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers("ALL")
    ends = Ends(context_of(tls), client)
    ends.shake_hands()
    cipher = ends.server.cipher()
    assert cipher is not None
    assert cipher[0].startswith("ECDHE-")
    assert "GCM" in cipher[0] or "CHACHA20" in cipher[0]


def test_every_cipher_that_is_offered_is_of_this_kind(listener: Callable[..., Tls]) -> None:
    offered = context_of(listener()).get_ciphers()
    assert len(offered) > 4
    assert all(one["aead"] and one["kea"] in ("kx-any", "kx-ecdhe") for one in offered)


@pytest.mark.parametrize(
    ("minimum", "version", "ciphers", "reason"),
    [
        ("1.2", ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0", "UNSUPPORTED_PROTOCOL"),
        ("1.3", ssl.TLSVersion.TLSv1_2, "ALL", "UNSUPPORTED_PROTOCOL"),
        ("1.2", ssl.TLSVersion.TLSv1_2, "AES128-SHA", "NO_SHARED_CIPHER"),
        ("1.2", ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA256", "NO_SHARED_CIPHER"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_an_old_client_is_refused(
    minimum: str, version: ssl.TLSVersion, ciphers: str, reason: str, listener: Callable[..., Tls]
) -> None:
    tls = listener(minimum=minimum)
    client = anybody(tls)
    client.set_ciphers(ciphers)
    client.minimum_version = client.maximum_version = version
    assert Ends(context_of(tls), client).reason() == reason


def test_nothing_is_left_to_resume_by(listener: Callable[..., Tls]) -> None:
    context = context_of(listener(clients="optional"))
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        client = anybody(listener())
        client.maximum_version = version
        ends = Ends(context, client)
        ends.shake_hands()
        # Those of 1.3 come after the handshake.
        ends.server.write(b"x")
        assert ends.client.read(1) == b"x"
        session = ends.client.session
        assert session is None or not session.has_ticket


# Clients' certificates -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("clients", ["optional", "required"])
def test_a_client_is_known_by_its_certificate(clients: str, listener: Callable[..., Tls], known: Any) -> None:
    tls = listener(clients=clients)
    shown = known.sign("client.example", dns=("one.example", "two.example", "client.example"))
    client = anybody(tls)
    client.load_cert_chain(shown.certificate, shown.key)
    ends = Ends(context_of(tls), client)
    ends.shake_hands()
    certificate = certificate_of(ends.server)
    assert certificate is not None
    assert certificate.names == ("client.example", "one.example", "two.example")
    assert str(certificate) == "client.example"
    assert certificate.fits(["sha256:" + shown.fingerprint])


def test_without_being_asked_it_shows_none(listener: Callable[..., Tls], known: Any) -> None:
    tls = listener()
    shown = known.sign("client.example")
    client = anybody(tls)
    client.load_cert_chain(shown.certificate, shown.key)
    ends = Ends(context_of(tls), client)
    ends.shake_hands()
    assert certificate_of(ends.server) is None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_where_one_is_required_a_client_without_is_refused(
    version: ssl.TLSVersion, listener: Callable[..., Tls]
) -> None:
    tls = listener(clients="required")
    client = anybody(tls)
    client.maximum_version = version
    assert Ends(context_of(tls), client).reason() == "PEER_DID_NOT_RETURN_A_CERTIFICATE"


def test_where_one_is_optional_a_client_without_comes_in(listener: Callable[..., Tls]) -> None:
    tls = listener(clients="optional")
    ends = Ends(context_of(tls), anybody(tls))
    ends.shake_hands()
    assert certificate_of(ends.server) is None


@pytest.mark.parametrize("clients", ["optional", "required"])
def test_a_certificate_of_somebody_else_is_refused(clients: str, listener: Callable[..., Tls], authority: Make) -> None:
    tls = listener(clients=clients)
    shown = authority("stranger").sign("client.example")
    client = anybody(tls)
    client.load_cert_chain(shown.certificate, shown.key)
    assert Ends(context_of(tls), client).reason().startswith("CERTIFICATE_VERIFY_FAILED: ")


def test_an_authority_that_was_taken_out_is_trusted_no_longer(
    listener: Callable[..., Tls], known: Any, authority: Make, tmp_path: Path
) -> None:
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(known.file.read_bytes() + authority("other").file.read_bytes())
    tls = listener(clients="required", clients_ca=trusted)
    shown = known.sign("client.example")
    client = anybody(tls)
    client.load_cert_chain(shown.certificate, shown.key)
    Ends(context_of(tls), client).shake_hands()
    trusted.write_bytes((tmp_path / "other" / "other.pem").read_bytes())
    assert Ends(context_of(tls), client).reason().startswith("CERTIFICATE_VERIFY_FAILED: ")


# Fitting -------------------------------------------------------------------------------------------------------------

DIGEST = hashlib.sha256(b"a certificate").hexdigest()
CERTIFICATE = Certificate(("client.example", "alt.example"), f"sha256:{DIGEST}")


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ((), False),
        (("client.example",), True),
        (("alt.example",), True),
        (("other.example", "alt.example"), True),
        (("CLIENT.example",), False),
        (("*.example",), False),
        (("example",), False),
        (("",), False),
        ((f"sha256:{DIGEST}",), True),
        ((f"sha256:{DIGEST.upper()}",), True),
        (("sha256:" + bytes.fromhex(DIGEST).hex(":").upper(),), True),
        ((f"sha256:{'0' * 64}",), False),
        ((DIGEST,), False),
    ],
)
def test_which_certificate_fits(wanted: tuple[str, ...], fits: bool) -> None:
    assert CERTIFICATE.fits(wanted) is fits


def test_a_name_that_looks_like_a_fingerprint_is_none() -> None:
    liar = Certificate((f"sha256:{DIGEST}",), f"sha256:{'0' * 64}")
    assert not liar.fits([f"sha256:{DIGEST}"])


def test_a_certificate_without_a_name_is_shown_by_its_fingerprint() -> None:
    assert str(Certificate((), "sha256:00")) == "sha256:00"


# Files ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["certificate", "key", "clients_ca"])
def test_a_file_that_is_gone_is_named(missing: str, listener: Callable[..., Tls], tmp_path: Path) -> None:
    tls = listener(clients="optional", **{missing: tmp_path / "gone.pem"})
    with pytest.raises(ValueError, match=r"gone\.pem .*cannot be used: .*No such file"):
        context_of(tls)


def test_clients_without_an_authority_are_refused_at_the_start(listener: Callable[..., Tls]) -> None:
    with pytest.raises(ValueError, match="no clients_ca"):
        context_of(listener(clients="optional", clients_ca=None))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionAbortedError("took too long"), "took too long"),
        (ConnectionResetError(), "ConnectionResetError"),
        (ssl.SSLError("something"), "('something',)"),
    ],
)
def test_every_failure_has_a_reason(error: Exception, reason: str) -> None:
    assert why(error) == reason
