"""When a certificate ends. The standard library tells it only of the other side's, within a connection.

What is read is as much of X.509 as it takes to get there (RFC 5280 §4.1): a certificate is a SEQUENCE whose first part
is a SEQUENCE of version (may be missing), serial number, algorithm, issuer and validity, which is two times. OpenSSL
has read the whole of it when it is loaded; this is no check of anything.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

from .files import read

_BEGINS, _ENDS = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
_SEQUENCE, _VERSION = 0x30, 0xA0
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18


def ends(file: Path) -> list[datetime]:
    """The end of each certificate in a PEM file. Raises OSError, and ValueError for what is no certificate."""
    found = []
    for block in read(file).decode("latin-1").split(_BEGINS)[1:]:
        body, end, _ = block.partition(_ENDS)
        found.append(not_after(ssl.PEM_cert_to_DER_cert(f"{_BEGINS}{body}{end}\n")))
    return found


def not_after(der: bytes) -> datetime:
    """The end of a certificate. Raises ValueError."""
    _, certificate, _ = _part(der, _SEQUENCE)
    _, signed, _ = _part(certificate, _SEQUENCE)
    tag, _, rest = _part(signed)
    for _ in range(3 if tag == _VERSION else 2):
        _, _, rest = _part(rest)
    _, validity, _ = _part(rest, _SEQUENCE)
    _, _, rest = _part(validity)
    tag, time, _ = _part(rest)
    if tag not in (_UTC_TIME, _GENERALIZED_TIME):
        raise ValueError("no certificate: there is no time where one should be")
    text = time.decode("ascii")
    if tag == _UTC_TIME:
        # RFC 5280 §4.1.2.5.1: two digits of the year, from 1950 on.
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _part(data: bytes, expected: int | None = None) -> tuple[int, bytes, bytes]:
    """Tag and content of the first part, and what follows it (X.690, DER)."""
    if len(data) < 2 or (expected is not None and data[0] != expected):
        raise ValueError("no certificate")
    length, begin = data[1], 2
    if length & 0x80:
        begin += length & 0x7F
        length = int.from_bytes(data[2:begin])
    if len(data) < begin + length:
        raise ValueError("a certificate that is cut short")
    return data[0], data[begin : begin + length], data[begin + length :]
