"""What `check-config` says of TLS and of clients' certificates before anybody has connected."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from smppbridge import config
from smppbridge.config.certificates import ends, not_after

Make = Callable[..., Any]

WHOLE = """
[accounts.demo]
password = "demo"
allowed_networks = ["127.0.0.0/8"]

[providers.sandbox]
adapter = "sandbox"

[[routes]]
providers = ["sandbox"]
"""


def part(tag: int, *content: bytes) -> bytes:
    body = b"".join(content)
    return bytes([tag, 0x82]) + len(body).to_bytes(2) + body


def made(end: bytes, tag: int = 0x17, version: bytes = part(0xA0, b"\2\1\2")) -> bytes:
    """As much of a certificate as is looked at."""
    name = part(0x30, b"\x31\0" * 50)
    validity = part(0x30, b"\x17\x0d260101000000Z", bytes([tag, len(end)]), end)
    return part(0x30, part(0x30, version, b"\2\1\7", part(0x30, b"\6\1*"), name, validity, name), b"\0" * 300)


@pytest.mark.parametrize(
    ("der", "end"),
    [
        (made(b"270102030405Z"), datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (made(b"491231235959Z"), datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (made(b"500101000000Z"), datetime(1950, 1, 1, tzinfo=UTC)),
        (made(b"20500101000000Z", 0x18), datetime(2050, 1, 1, tzinfo=UTC)),
        (made(b"99991231235959Z", 0x18), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (made(b"270102030405Z", version=b""), datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)),
    ],
)
def test_when_a_certificate_ends(der: bytes, end: datetime) -> None:
    assert not_after(der) == end


def test_what_is_no_certificate_has_no_end() -> None:
    der = made(b"270102030405Z")
    for broken in (b"", b"no certificate", made(b"never", 0x0C), made(b"270102"), *(der[:n] for n in range(len(der)))):
        with pytest.raises(ValueError, match=r"certificate|time data"):
            not_after(broken)


def test_the_ends_of_a_whole_chain(authority: Make) -> None:
    known = authority()
    signed = known.sign("client.example", days=90)
    chain = signed.certificate.with_name("chain.pem")
    chain.write_bytes(b"A remark.\n" + signed.certificate.read_bytes() + known.file.read_bytes())
    told = [end - datetime.now(UTC) for end in ends(chain)]
    assert [round(left / timedelta(days=1)) for left in told] == [90, 60]


def test_it_agrees_with_openssl(authority: Make) -> None:
    file = authority().file
    command = [shutil.which("openssl") or "openssl", "x509", "-in", str(file), "-noout", "-enddate"]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout.partition("=")[2].strip()
    assert [ssl.cert_time_to_seconds(shown)] == [end.timestamp() for end in ends(file)]


# What is said --------------------------------------------------------------------------------------------------------


@pytest.fixture
def said(tmp_path: Path, authority: Make) -> Callable[..., tuple[list[str], list[str]]]:
    """Mistakes and warnings of a file with one listener, the words in <> filled in."""
    known = authority("known")
    files = {"known": known.file}
    for name, days in (("good", 60), ("short", 3)):
        signed = known.sign(name, days=days)
        files |= {name: signed.certificate, f"{name}.key": signed.key}

    def say(tls: str, account: str = "", more: str = "", smpp: str = "") -> tuple[list[str], list[str]]:
        lines = f"[smpp]\n{smpp}\n[[smpp.listeners]]\n{more}\n"
        if tls:
            lines += f"tls = {{ {tls} }}\n"
        lines += WHOLE.replace('password = "demo"', f'password = "demo"\n{account}')
        for name, file in files.items():
            lines = lines.replace(f"<{name}>", str(file))
        path = tmp_path / "smppbridge.toml"
        path.write_text(lines, encoding="utf-8")
        checked = config.check(path)
        return [str(one) for one in checked.mistakes], [str(one) for one in checked.warnings]

    return say


GOOD = 'certificate = "<good>", key = "<good.key>"'
SHORT = 'certificate = "<short>", key = "<short.key>"'
ASKED = f'{GOOD}, clients = "optional", clients_ca = "<known>"'
MINE = 'client_certificates = ["client.example"]'


@pytest.mark.parametrize(
    ("tls", "account"),
    [
        ("", ""),
        (GOOD, ""),
        (GOOD + ', minimum = "1.3"', ""),
        (ASKED, ""),
        (ASKED, MINE),
        (ASKED.replace("optional", "required"), MINE),
        (ASKED, f'client_certificates = ["sha256:{"0f" * 32}", "sha256:{":".join(["0F"] * 32)}"]'),
    ],
)
def test_what_is_right_is_not_mentioned(
    tls: str, account: str, said: Callable[..., tuple[list[str], list[str]]]
) -> None:
    assert said(tls, account) == ([], [])


@pytest.mark.parametrize(
    ("tls", "account", "mistake"),
    [
        (
            f'{GOOD}, clients = "required"',
            "",
            "tls.clients = required: nobody says who signs them: expected clients_ca",
        ),
        (f"{ASKED.replace('<known>', '<good.key>')}", "", "expected certificates in PEM form"),
        (f"{ASKED.replace('<known>', '/none/ca.pem')}", "", "cannot be read: No such file or directory"),
        (f'{GOOD}, minimum = "1.1"', "", "tls.minimum"),
        ("", MINE, "it could not bind: no listener has tls that asks clients for a certificate"),
        (GOOD, MINE, "it could not bind: no listener has tls that asks clients for a certificate"),
        (ASKED, 'client_certificates = ["sha256:0f"]', "expected 64 hexadecimal digits after sha256:"),
        (ASKED, 'client_certificates = ["*.example"]', "expected a whole name"),
        (ASKED, 'client_certificates = [""]', "expected a whole name"),
    ],
)
def test_what_could_not_work_is_a_mistake(
    tls: str, account: str, mistake: str, said: Callable[..., tuple[list[str], list[str]]]
) -> None:
    mistakes, _ = said(tls, account)
    assert len(mistakes) == 1
    assert mistake in mistakes[0].replace('"', "")


@pytest.mark.parametrize(
    ("tls", "more", "smpp", "warning"),
    [
        (SHORT, "", "", "tls.certificate"),
        (f'{GOOD}, clients = "optional", clients_ca = "<short>"', "", "", "tls.clients_ca"),
        (f'{GOOD}, clients_ca = "<known>"', "", "", "not used: clients is none"),
        ("", 'proxy_from = ["0.0.0.0/0"]', "", "anybody may say that he is somebody else"),
        ("", "", 'bind_delay_max = "30s"', "a bind that waits is closed before it is answered"),
    ],
)
def test_what_is_worth_a_look_is_a_warning(
    tls: str, more: str, smpp: str, warning: str, said: Callable[..., tuple[list[str], list[str]]]
) -> None:
    mistakes, warnings = said(tls, "", more, smpp)
    assert mistakes == []
    assert len(warnings) == 1
    assert warning in warnings[0].replace('"', "")


def test_one_that_ends_soon_says_when(said: Callable[..., tuple[list[str], list[str]]]) -> None:
    _, (warning,) = said(SHORT)
    day = datetime.now(UTC) + timedelta(days=3)
    assert warning.endswith(f"ends on {day:%Y-%m-%d}; renew it")


def test_one_that_has_ended_is_no_mistake(
    said: Callable[..., tuple[list[str], list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smppbridge.config.rules.ends", lambda file: [datetime(2020, 2, 1, tzinfo=UTC)])
    mistakes, (warning,) = said(GOOD)
    assert mistakes == []
    assert warning.endswith("ended on 2020-02-01; renew it")
