"""What adapters need to read what providers write: nothing in here raises, whatever stands in an answer.

Be strict about what decides the outcome, and lenient about what only adorns it: a price nobody can read is no reason
to call a message that was taken a doubtful one.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote_to_bytes
from zoneinfo import ZoneInfo

import httpx
import msgspec
from lxml import etree

from ..config.secrets import CUT
from ..model import Millis
from .base import InDoubt, Outcome, Temporary, Unable

#: All that reading JSON can raise.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

#: `err` of a receipt that stands for a code it cannot carry: "unknown error" in smsc.ru's older lists.
UNKNOWN_ERROR = 99


def by_status(response: httpx.Response) -> Outcome:
    """What an HTTP status alone tells of every message in the request: for an answer whose body could not be read.

    2xx and 5xx may come from behind the point where the message was taken (a proxy's 502 or 504, a page instead of
    JSON), so they are doubt; and so are 302 and 303, by which many a page answers a form that it has taken (RFC 9110
    §15.4.4). 408, 429 and 503 promise that nothing was done (RFC 9110 §15.5.9, RFC 6585 §4, RFC 9110 §15.6.4). The rest
    says that this provider does not take such a request, and mostly that none of ours will pass.
    """
    status = response.status_code
    reason = f"HTTP {status} without a readable answer"
    if status in (408, 429, 503):
        return Temporary(reason=reason, retry_after=retry_after(response))
    if 300 <= status < 500 and status not in (302, 303):
        return Unable(reason=reason, everything=status not in (400, 413, 414, 415, 422))
    return InDoubt(reason=reason)


def retry_after(response: httpx.Response) -> float | None:
    """The seconds of Retry-After, an hour at most. A date in it (RFC 9110 §10.2.3) is counted from the one at which the
    provider has answered, by its own clock; where it does not tell that, the date is passed over."""
    written = response.headers.get("retry-after")
    seconds = number(written)
    if seconds is None:
        seconds = _between(response.headers.get("date"), written)
    return None if seconds is None or seconds < 0 else float(min(seconds, 3600))


def _between(date: str | None, later: str | None) -> int | None:
    """The seconds from one HTTP date to another; None where either is none."""
    if not date or not later:
        return None
    try:
        return int((parsedate_to_datetime(later) - parsedate_to_datetime(date)).total_seconds())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def json(response: httpx.Response) -> Any:
    """The body as JSON, whether or not a byte order mark stands first (RFC 8259 §8.1); None where it is none."""
    try:
        return msgspec.json.decode(response.content.removeprefix(BOM_UTF8))
    except UNREADABLE:
        return None


def xml(body: bytes) -> etree._Element | None:
    """The root of an XML document; None where it is none. Nothing is fetched and nothing is expanded: a document that
    brings a document type of its own, and with it entities, is none of ours. Nor is one with a namespace of a very long
    name, which every look at the name of an element would copy."""
    parser = etree.XMLPullParser(
        ("start-ns",), resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        parser.feed(body.strip())
        root: etree._Element = parser.close()
    except (etree.XMLSyntaxError, ValueError):
        return None
    if any(declared and len(declared[1]) > _NAMESPACE for _, declared in parser.read_events()):
        return None
    return None if root.getroottree().docinfo.internalDTD is not None else root


#: Characters in the name of a namespace.
_NAMESPACE = 256
#: Attributes of an element: lxml takes the longer for each the more of them there are.
_ATTRIBUTES = 100


def attributes(element: etree._Element) -> dict[str, str]:
    """The attributes of an element by name; none where there are more than any service writes."""
    found = element.attrib
    return {} if len(found) > _ATTRIBUTES else {str(name): str(value) for name, value in found.items()}


def element(name: str, text: str = "", /, **attributes: str) -> etree._Element:
    """An element to write, its text and attributes without what XML cannot hold (XML 1.0 §2.2: control characters)."""
    made = etree.Element(name, {key: writable(value) for key, value in attributes.items()})
    if text:
        made.text = writable(text)
    return made


def writable(value: str) -> str:
    """Without the characters that no XML document may contain."""
    return _NOT_XML.sub("", value)


_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def pairs(form: bytes) -> dict[str, bytes]:
    """Names and raw values of a query or a form. A bare word, without a sign of equality, says nothing."""
    found = (pair.partition(b"=") for pair in form.split(b"&"))
    return {
        unquote_to_bytes(name).decode("latin-1"): unquote_to_bytes(value.replace(b"+", b" "))
        for name, equals, value in found
        if equals
    }


def at(value: str, zone: ZoneInfo) -> Millis:
    """A time that is written as 2014-07-18 00:35:00 and means the clock of `zone`; 0 where it is none."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}", value, re.ASCII):
        return 0
    try:
        return max(int(datetime.fromisoformat(value).replace(tzinfo=zone).timestamp()) * 1000, 0)
    except (ValueError, OverflowError):
        return 0


def cut(words: str, most: int = 200) -> str:
    """As much of what a provider says as is kept. Where it is cut off, a sign says so: a secret may begin there, which
    `config.mask` looks for."""
    return words if len(words) <= most else words[: most - 1] + CUT


def number(value: object) -> int | None:
    """A whole number, written as a number or as a text; None where it is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,18}\s*", value, re.ASCII):
        return int(value)
    return None


def text(value: object) -> str:
    """A text or a whole number as text; empty where it is neither."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def err(value: object) -> int:
    """An error code as a receipt can carry it, 0 to 999."""
    code = number(value) or 0
    return code if 0 <= code <= 999 else UNKNOWN_ERROR


def cost(value: object) -> str:
    """A price as a decimal; empty where it is none."""
    written = str(value) if isinstance(value, str | int | float) else ""
    return written if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", written, re.ASCII) else ""


def parts(value: object) -> int:
    """How many short messages; 0 where it is no number of parts that a message can have (SMPP 3.4: 255)."""
    count = number(value) or 0
    return count if 0 < count < 256 else 0
