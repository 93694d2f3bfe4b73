"""The text of a delivery receipt, written and read: the layout of SMPP 3.4 Appendix B and smsc.ru's for HLR look-ups.

Both are written with nothing but characters whose octets are the same in GSM 03.38, ASCII and ISO-8859-1, so a receipt
reads the same whatever the client takes data_coding 0 for. Reading is lenient with the order, the missing and the
capitals of fields, because every SMSC writes them its own way; what is there and makes no sense raises ValueError.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote_plus, unquote_plus

from . import gsm0338
from .constants import MessageState

#: SMPP 3.4 Appendix B. The two states of 5.0 have no word there: SCHEDULED is on its way, SKIPPED was not delivered.
STAT: dict[MessageState, str] = {
    MessageState.SCHEDULED: "ENROUTE",
    MessageState.ENROUTE: "ENROUTE",
    MessageState.DELIVERED: "DELIVRD",
    MessageState.EXPIRED: "EXPIRED",
    MessageState.DELETED: "DELETED",
    MessageState.UNDELIVERABLE: "UNDELIV",
    MessageState.ACCEPTED: "ACCEPTD",
    MessageState.UNKNOWN: "UNKNOWN",
    MessageState.REJECTED: "REJECTD",
    MessageState.SKIPPED: "UNDELIV",
}

#: The way back; a word that is not here says nothing about the state.
STATE: dict[str, MessageState] = {
    STAT[state]: state for state in MessageState if state not in (MessageState.SCHEDULED, MessageState.SKIPPED)
}

NO_DATE = "0000000000"

#: How much of the message the receipt repeats (Appendix B).
ECHO = 20

_NOT_SAFE = re.compile("[^" + re.escape(gsm0338.SAME_AS_ASCII.decode("ascii")) + "]")
_KEY = re.compile(r"(?:^|(?<=\s))(id|sub|dlvrd|submit[ _]?date|done[ _]?date|stat|err|text):", re.IGNORECASE)
_DATE = re.compile("[0-9]{10}(?:[0-9]{2})?")


def readable(text: str) -> str:
    """A text that was not made for a receipt, in one line and with "?" for what is not the same in every alphabet."""
    return _NOT_SAFE.sub("?", text.replace("\r", " ").replace("\n", " "))


@dataclass(slots=True, kw_only=True)
class ReceiptText:
    """SMPP 3.4 Appendix B. The layout has no place for a time zone: which one the dates are in is agreed beforehand."""

    id: str
    sub: int = 1
    dlvrd: int = 0
    #: YYMMDDhhmm; zeros where it is not known. Some SMSCs add the seconds.
    submit_date: str = NO_DATE
    done_date: str = NO_DATE
    stat: str = ""
    err: int = 0
    #: The beginning of the message. Only this repetition may show "?", for what is not safe in every alphabet, and a
    #: space for a line break, because clients read a receipt with regular expressions whose `.` ends at one.
    text: str = ""

    def format(self) -> str:
        return (
            f"id:{self.id} sub:{self.sub:03d} dlvrd:{self.dlvrd:03d} submit date:{self.submit_date} "
            f"done date:{self.done_date} stat:{self.stat} err:{self.err:03d} text:{readable(self.text[:ECHO])}"
        )

    def words(self) -> dict[str, str]:
        """Each value as `format` writes it, for a layout of somebody else's."""
        return {
            "id": self.id,
            "sub": f"{self.sub:03d}",
            "dlvrd": f"{self.dlvrd:03d}",
            "submit_date": self.submit_date,
            "done_date": self.done_date,
            "stat": self.stat,
            "err": f"{self.err:03d}",
            "text": readable(self.text[:ECHO]),
        }

    @classmethod
    def parse(cls, receipt: str) -> ReceiptText:
        fields = _fields(receipt)
        if not fields.get("id"):
            raise ValueError("no receipt: it has no id")
        return cls(
            id=fields["id"],
            sub=_number(fields, "sub", 1),
            dlvrd=_number(fields, "dlvrd", 0),
            submit_date=_read_date(fields, "submitdate"),
            done_date=_read_date(fields, "donedate"),
            stat=fields.get("stat", "").upper(),
            err=_number(fields, "err", 0),
            text=fields.get("text", ""),
        )


@dataclass(slots=True, kw_only=True)
class HlrReceiptText:
    """smsc.ru SMPP, "Sending an HLR request": this order, single spaces, every key even when its value is empty.

    Clients read it with a regular expression that wants digits, or by turning ": " into "=&" and parsing the result
    as a query string; so no value may hold a space, a colon, "&" or "=".
    """

    id: str
    stat: str = ""
    err: int = 0
    #: Digits; anything else is left out.
    imsi: str = ""
    msc: str = ""
    mcc: str = ""
    mnc: str = ""
    #: Names; written urlencoded.
    cn: str = ""
    net: str = ""
    rcn: str = ""
    rnet: str = ""

    def format(self) -> str:
        return (
            f"id:{self.id} stat:{self.stat} err:{self.err:03d} imsi:{_digits(self.imsi)} msc:{_digits(self.msc)} "
            f"mcc:{_digits(self.mcc)} mnc:{_digits(self.mnc)} cn:{_quoted(self.cn)} net:{_quoted(self.net)} "
            f"rcn:{_quoted(self.rcn)} rnet:{_quoted(self.rnet)}"
        )

    @classmethod
    def parse(cls, receipt: str) -> HlrReceiptText:
        fields = dict(word.partition(":")[::2] for word in receipt.split())
        if not fields.get("id") or "imsi" not in fields:
            raise ValueError("no receipt of an HLR look-up: it has no id or no imsi")
        names = {name: unquote_plus(fields.get(name, "")) for name in ("cn", "net", "rcn", "rnet")}
        digits = {name: fields.get(name, "") for name in ("imsi", "msc", "mcc", "mnc")}
        return cls(id=fields["id"], stat=fields.get("stat", ""), err=_number(fields, "err", 0), **digits, **names)


def _fields(receipt: str) -> dict[str, str]:
    """Key → value. The text comes last and may hold anything, unless the id or the state only come after it."""
    keys = list(_KEY.finditer(receipt))
    names = [re.sub("[ _]", "", key[1].lower()) for key in keys]
    if "text" in names:
        first = names.index("text")
        if {"id", "stat"} <= set(names[:first]) or not {"id", "stat"} & set(names[first:]):
            keys, names = keys[: first + 1], names[: first + 1]
    ends = [*(key.start() for key in keys[1:]), len(receipt)]
    fields: dict[str, str] = {}
    for key, name, end in zip(keys, names, ends, strict=False):
        value = receipt[key.end() : end]
        fields.setdefault(name, value if name == "text" and end == len(receipt) else value.strip())
    return fields


def _number(fields: dict[str, str], name: str, missing: int) -> int:
    value = fields.get(name, "")
    if not value:
        return missing
    if not (value.isascii() and value.isdigit()):
        raise ValueError(f"{name} of the receipt is no number")
    return int(value)


def _read_date(fields: dict[str, str], name: str) -> str:
    value = fields.get(name) or NO_DATE
    if not _DATE.fullmatch(value):
        raise ValueError(f"{name} of the receipt is no date of 10 or 12 digits")
    return value


def _digits(value: str) -> str:
    return re.sub("[^0-9]", "", value)


def _quoted(value: str) -> str:
    """As PHP's urlencode, and "_" encoded too: its octet differs between GSM 03.38 and ASCII."""
    return quote_plus(value, safe="", errors="replace").replace("_", "%5F").replace("~", "%7E")
