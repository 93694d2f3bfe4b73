"""Naimar text421, API v6: smsSendBillXML, smsSendXML, smsSendGet, deliveryGetPush, 2wayGet.

A billed message answers one of the subscriber: `rcv_msg_id` must be that of a message which this simulator has pushed
(2wayGet), from that number to that short number. Whether it may be answered twice is not documented; here it may.

A request is taken whole or not at all, unless the vendor misbehaves partially. How the answer is written down is not
documented either: here it is `<response>` with `status`, `description` and `recipients`, and the HTTP status is the
status. An `id` that was used before is no row of the error table; here it is a 500 that says so, and nothing is sent.
The state of a message cannot be asked for. It is pushed, again and again until the answer is `OK`.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, urlencode

from lxml import etree

from .vendor import (
    LOGIN,
    PASSWORD,
    Answer,
    Asked,
    Ending,
    Malformed,
    Purpose,
    Push,
    Reply,
    Settings,
    Step,
    Taken,
    Vendor,
    number_like,
    only,
    read_xml,
    remember,
    stamp,
    texts,
    written,
)

BILLED = "/api/v6/rest/billsms/xml"
PLAIN = "/api/v6/rest/sms/xml/"
GET = "/api/v6/rest/sms/"

#: deliveryGetPush, parameter status.
STATUSES = {"2": "OK", "3": "EXPIRED", "5": "FAILED", "8": "REJECTED", "127": "ERROR"}

#: smsSendXML: what a sender may consist of.
_SENDER = re.compile(r"[a-zA-Z0-9/+!_*&%@$.#]+")


class _Error(Exception):
    """A row of the error table: its status and its description."""

    def __init__(self, status: int, description: str) -> None:
        super().__init__(description)
        self.status = status


class Naimar(Vendor):
    """See the head of the module."""

    name = "naimar"
    title = "Naimar text421, API v6"
    doors = (f"/naimar{BILLED}", f"/naimar{PLAIN}", f"/naimar{GET}")
    first_id = 25481978
    course = (Step(0, ""), Step(1, "2"))
    endings = (
        Ending(digits="0002", says="2 OK ten delays later", steps=(Step(0, ""), Step(10, "2"))),
        Ending(digits="0003", says="400 unknown prefix", error="400 unknown prefix {to}"),
        Ending(digits="0013", says="nothing is pushed", steps=(Step(0, ""),)),
        Ending(digits="0016", says="400 unknown network", error="400 unknown network {to}"),
        Ending(digits="0101", says="400 missing incoming msg", error="400 missing incoming msg"),
        Ending(digits="0102", says="401 unknown username/password", error="401 unknown username/password"),
        Ending(digits="0103", says="500 unknown error", error="500 unknown error"),
        *(
            Ending(digits=f"{200 + int(status):04}", says=f"{status} {word}", steps=(Step(0, ""), Step(1, status)))
            for status, word in STATUSES.items()
        ),
    )

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        #: rcv_msg_id → who wrote, to which short number.
        self._received: dict[str, tuple[str, str]] = {}

    def purpose(self, asked: Asked) -> Purpose:
        return Purpose.SEND

    def fields(self, asked: Asked) -> dict[str, str]:
        if asked.method == "GET":
            return {name: value.decode("utf-8", "replace") for name, value in asked.pairs().items()}
        try:
            root = read_xml(asked.body)
        except Malformed as error:
            return {"unreadable": str(error)}
        found: dict[str, str] = {}
        for element in root.iter(etree.Element):
            if not len(element):
                found[element.tag] = ", ".join(filter(None, [found.get(element.tag), element.text or ""]))
        return found

    def answer(self, asked: Asked) -> Answer:
        try:
            match asked.method, asked.path:
                case "POST", path if path == BILLED:
                    return _response(200, "OK", self._document(asked, billed=True))
                case "POST", path if path == PLAIN:
                    return _response(200, "OK", self._document(asked, billed=False))
                case "GET", path if path == GET:
                    return self._get(asked)
        except _Error as error:
            self.counts.refused += 1
            return _response(error.status, str(error), 0)
        return Answer(status=404)

    # smsSendBillXML and smsSendXML

    def _document(self, asked: Asked, *, billed: bool) -> int:
        try:
            root = read_xml(asked.body)
            _shape(root, billed=billed)
        except Malformed as error:
            raise _Error(500, f"unknown error: {error}") from None
        self._login(root.findtext("username") or "", root.findtext("password") or "")
        message = root.find("message")
        text = _text(message, ("", "binary") if billed else ("", "binary", "utf8"))
        short = root.findtext("billing/from") or ""
        if billed and not (root.findtext("billing/billkey") and number_like(short)):
            raise _Error(500, "unknown error: billkey or from is missing")
        if not billed:
            _check_sender(message.findtext("sender") or "")
        recipients = root.findall("recipients/recipient")
        if not recipients:
            raise _Error(400, "missing parameter recipients")
        for recipient in recipients:
            self._check(recipient, short, billed=billed)
        ids = [id for one in recipients if (id := one.findtext("id"))]
        if len(set(ids)) < len(ids):
            raise _Error(500, "unknown error: id is not unique")
        kept = [one for place, one in enumerate(recipients) if not self.spoiled(place)]
        source = short or message.findtext("sender") or ""
        for recipient in kept:
            self._take(recipient, source, recipient.findtext("text") or text, asked.now)
        return len(kept)

    def _check(self, recipient: Any, short: str, *, billed: bool) -> None:
        id, answers, to = (recipient.findtext(name) or "" for name in ("id", "rcv_msg_id", "msisdn"))
        if billed and not id:
            raise _Error(400, "missing parameter id")
        if billed and not answers:
            raise _Error(400, "missing parameter rcv_msg_id")
        if len(id) > 14:
            raise _Error(500, "unknown error: id is longer than 14 characters")
        if id in self.messages:
            self.counts.repeated += 1
            raise _Error(500, f"unknown error: id {id} is not unique")
        if not number_like(to, 8, 15):
            raise _Error(400, f"unknown prefix {to[:20]}")
        ending = self.ending(to)
        if ending is not None and ending.error:
            status, _, description = ending.error.partition(" ")
            raise _Error(int(status), description.format(to=to))
        if billed and self._received.get(answers) != (to, short):
            raise _Error(400, "missing incoming msg")

    def _take(self, recipient: Any, source: str, text: str, now: float) -> None:
        # Without an id of the partner's nothing is pushed, but the message is sent.
        own = recipient.findtext("id") or ""
        answers = recipient.findtext("rcv_msg_id") or ""
        message = self._new(own, recipient.findtext("msisdn"), source, text, now, billed=bool(answers))
        if own:
            self._report(message, answers)

    def _new(self, own: str, to: str, source: str, text: str, now: float, *, billed: bool) -> Taken:
        message = Taken(
            id=own or f"#{self.new_id()}",
            client_id=own,
            to=to,
            source=source,
            text=text,
            at=now,
            delay=self.settings.delay,
            steps=self.steps(to),
            what="billed sms" if billed else "sms",
        )
        return self.take(message.id, message)

    def _report(self, message: Taken, answers: str) -> None:
        """deliveryGetPush, once for each state that there is one for."""
        for step in message.steps:
            if not step.state:
                continue
            after = step.after * message.delay
            query = {"id": message.client_id, "time": stamp(message.at + after), "status": step.state}
            if answers:
                query["rcv_msg_id"] = answers
            self.pushes.append(
                Push(
                    vendor=self.name,
                    what="status",
                    ref=message.id,
                    method="GET",
                    query=urlencode(query, quote_via=quote),
                    after=after,
                    taken=_ok,
                )
            )

    def _login(self, username: str, password: str) -> None:
        if (username, password) != (LOGIN, PASSWORD):
            raise _Error(401, "unknown username/password")

    # smsSendGet

    def _get(self, asked: Asked) -> Answer:
        try:
            fields = texts(asked.pairs(), "utf-8")
            self._login(fields.get("username", ""), fields.get("password", ""))
            if not fields.get("text"):
                raise _Error(400, "missing parameter text")
            to, ending = fields.get("msisdn", ""), self.ending(fields.get("msisdn", ""))
            if not number_like(to, 8, 15) or (ending is not None and ending.error):
                raise _Error(400, f"unknown prefix {to[:20]}")
            if fields.get("id", "") in self.messages:
                self.counts.repeated += 1
                raise _Error(500, "unknown error: id is not unique")
        except (Malformed, _Error) as error:
            self.counts.refused += 1
            status = error.status if isinstance(error, _Error) else 400
            return Answer(status=status, body=f"ERROR {status}, {error}".encode())
        own = fields.get("id", "")
        message = self._new(own, to, fields.get("sender", ""), fields["text"], asked.now, billed=False)
        if own:
            self._report(message, "")
        return Answer(body=b"OK")

    # 2wayGet

    def incoming(self, reply: Reply, now: float) -> Push:
        """`GET …?id&rcv_msg_id&operator&time&msisdn&text&source&type&dcs&esm`, again until the answer is `OK`."""
        answers = str(self.new_id())
        remember(self._received, answers, (reply.source, reply.destination), self.settings.memory)
        query = {
            "id": str(self.new_id()),
            "rcv_msg_id": answers,
            "time": stamp(now),
            "msisdn": reply.source,
            "text": reply.data or reply.text,
            "source": reply.destination,
            "type": "binsms" if reply.data else "sms",
            "operator": "M",
        }
        if reply.data:
            query |= {"dcs": "245", "esm": "64"}
        return Push(
            vendor=self.name,
            what="message",
            ref=answers,
            method="GET",
            query=urlencode(query, quote_via=quote),
            taken=_ok,
        )


def _ok(status: int, body: bytes) -> bool:
    return status == 200 and body.strip() == b"OK"


def _shape(root: Any, *, billed: bool) -> None:
    """The elements that may stand where. Raises Malformed."""
    if root.tag != "sms":
        raise Malformed(f"<sms> is expected, not <{root.tag}>")
    only(root, ["username", "password", "message", "recipients", *(["billing"] if billed else [])])
    allowed = {
        "billing": ["billkey", "from"],
        "message": ["text", "type", "dcs", "esm", "delivery", *([] if billed else ["sender"])],
        "recipients": ["recipient"],
        "recipient": ["id", "msisdn", *(["rcv_msg_id"] if billed else ["text"])],
    }
    for element in root.iter(etree.Element):
        if element is not root:
            only(element, allowed.get(element.tag, []))
    for name in ("username", "password", "message"):
        if root.find(name) is None:
            raise Malformed(f"<{name}> is missing")


def _text(message: Any, types: tuple[str, ...]) -> str:
    """The text, held to the limits of its type. Raises _Error."""
    text: str = message.findtext("text") or ""
    kind = message.findtext("type") or ""
    if not text:
        raise _Error(400, "missing parameter text")
    if kind not in types:
        raise _Error(400, "unknown type")
    if kind == "binary" and not re.fullmatch(r"([0-9A-Fa-f]{2}){1,140}", text):
        raise _Error(500, "unknown error: binary text is not up to 280 hexadecimal digits")
    if kind != "binary" and len(text) > (70 if kind == "utf8" else 160):
        raise _Error(500, "unknown error: text is too long")
    for name in ("dcs", "esm"):
        if (value := message.findtext(name)) and not number_like(value, 1, 3):
            raise _Error(500, f"unknown error: {name} is not a number")
    delivery = message.findtext("delivery") or ""
    if delivery and not re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", delivery):
        raise _Error(500, "unknown error: delivery is not a time")
    return text


def _check_sender(sender: str) -> None:
    if not sender:
        return
    if len(sender) > (15 if sender.isdigit() else 11):
        raise _Error(400, "sender must have 11 characters or less")
    if not _SENDER.fullmatch(sender):
        raise _Error(400, "unknown sender")


def _response(status: int, description: str, recipients: int) -> Answer:
    root = etree.Element("response")
    for name, value in (("status", status), ("description", description), ("recipients", recipients)):
        etree.SubElement(root, name).text = str(value)
    return Answer(status=status, body=written(root), content_type="text/xml; charset=utf-8")
