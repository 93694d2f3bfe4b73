"""Omnicell IP2SMS: XML over POST, with HTTP Basic.

`/ip2sms/` takes a message, `/ip2sms-request/` says what became of it. Three shapes of answers: A for a plain single, B
for bulk and individual (`groupid`), C with counters for an interactive single and for a group that is asked for. A
message that is refused is a `<state error="…">` without an id, and its text says Accepted all the same. `uniq_key`
makes bulk and individual idempotent: the second request is answered like the first and sends nothing.

The documents leave open what a request with a mistake in it is answered with: here HTTP 400 and a refusing state. They
leave open what the answer to an interactive notification is: here HTTP 200 is enough, and anything else has the
notification come again. distribution_id is here the id of the interactive message that was answered.
"""

from __future__ import annotations

import base64
import hmac
import re
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

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
    parts_of,
    read_xml,
    remember,
    writable,
    written,
)

SEND = "/ip2sms/"
ASK = "/ip2sms-request/"

#: Attributes of <service>.
SERVICE = (
    "id",
    "source",
    "uniq_key",
    "desc",
    "start",
    "validity",
    "type",
    "interactiveSms",
    "ott",
    "ottSource",
    "ottValidity",
    "ottImageUri",
    "ottActionUri",
    "ottActionTitle",
    "promo",
    "hiddenText",
    "twoWayViber",
)
TYPES = ("SMS", "OTT", "OTTSMS")
_OTT = re.compile(r"VIBER|BiP|VIBER,BiP|BiP,VIBER")
_RELATIVE = re.compile(r"\+\d+ (min|hour|day)s?")
_OTT_BODY = ("ottImageUri", "ottActionUri", "ottActionTitle")

#: Counters of shape C, in their order.
_COUNTERS = ("queued", "accepted", "enroute", "delivered", "expired", "undeliverable", "unknown")
_STATES = ("Enroute", "Delivered", "Expired", "Deleted", "Undeliverable", "Rejected", "Unknown")
_FINAL = frozenset(_STATES) - {"Enroute"}

INVALID = "Invalid message"
_BASIC = base64.b64encode(f"{LOGIN}:{PASSWORD}".encode()).decode()


def _to(state: str) -> tuple[Step, ...]:
    return (Step(0, "Accepted"), Step(0.5, "Enroute"), Step(1, state))


class Omnicell(Vendor):
    """See the head of the module."""

    name = "omnicell"
    title = "Omnicell IP2SMS"
    doors = (f"/omnicell{SEND}", f"/omnicell{ASK}")
    #: The documents' own ids take more than 32 bits.
    first_id = 6615134392391
    course = _to("Delivered")
    endings = (
        Ending(digits="0002", says="Delivered ten delays later", steps=(*_to("Enroute"), Step(10, "Delivered"))),
        Ending(digits="0003", says='refused: error="Invalid message"', error=INVALID),
        Ending(digits="0004", says="Undeliverable", steps=_to("Undeliverable")),
        Ending(digits="0005", says="Expired", steps=_to("Expired")),
        Ending(digits="0010", says="Unknown", steps=_to("Unknown")),
        Ending(digits="0013", says="stays at Accepted", steps=(Step(0, "Accepted"),)),
        Ending(digits="0018", says="Deleted", steps=_to("Deleted")),
        Ending(digits="0023", says="Rejected", steps=_to("Rejected")),
    )

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        #: uniq_key → the answer to its first request.
        self._answered: dict[str, Answer] = {}
        #: groupid → ids.
        self._groups: dict[str, list[str]] = {}
        #: msisdn → the last interactive message that it got.
        self._interactive: dict[str, str] = {}

    def purpose(self, asked: Asked) -> Purpose:
        return Purpose.ASK if asked.path.rstrip("/") == ASK.rstrip("/") else Purpose.SEND

    def fields(self, asked: Asked) -> dict[str, str]:
        try:
            root = read_xml(asked.body)
        except Malformed as error:
            return {"unreadable": str(error)}
        found = {f"{root.tag} {name}": value for name, value in root.attrib.items()}
        for child in root:
            if isinstance(child.tag, str):
                for name, value in child.attrib.items():
                    found[f"{child.tag} {name}"] = value
                if (child.text or "").strip():
                    found[child.tag] = ", ".join(filter(None, [found.get(child.tag), child.text]))
        return found | ({root.tag: root.text} if (root.text or "").strip() else {})

    def answer(self, asked: Asked) -> Answer:
        if asked.path not in (SEND, ASK):
            return Answer(status=404)
        if asked.method != "POST":
            return Answer(status=405, headers={"allow": "POST"})
        scheme, _, given = asked.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic" or not hmac.compare_digest(given.encode(), _BASIC.encode()):
            return Answer(status=401, headers={"www-authenticate": 'Basic realm="ip2sms"'})
        if asked.headers.get("content-type", "").partition(";")[0] not in ("text/xml", "application/vnd.alt+xml"):
            return Answer(status=415)
        try:
            root = read_xml(asked.body)
            return self._status(root, asked.now) if asked.path == ASK else self._send(root, asked.now)
        except Malformed:
            self.counts.refused += asked.path == SEND
            return _xml(_refusal(asked.now), status=400)

    # Sending

    def _send(self, root: Any, now: float) -> Answer:
        service, pairs = _read(root)
        key = service.get("uniq_key", "")
        if key and key in self._answered:
            self.counts.repeated += len(pairs)
            return self._answered[key]
        taken: list[Taken | None] = []
        for place, (to, body) in enumerate(pairs):
            taken.append(None if self._refuses(place, to, body) else self._take(service, to, body, now))
        answer = self._answered_with(service, taken, now)
        if key:
            remember(self._answered, key, answer, self.settings.memory)
        return answer

    def _refuses(self, place: int, to: str, body: str) -> bool:
        ending = self.ending(to)
        wrong = not number_like(to, 10, 15) or not body or (ending is not None and bool(ending.error))
        if refused := wrong or self.spoiled(place):
            self.counts.refused += 1
        return refused

    def _take(self, service: Any, to: str, body: str, now: float) -> Taken:
        id = str(self.new_id())
        message = Taken(
            id=id,
            to=to,
            source=service.get("source", ""),
            text=body,
            at=now,
            delay=self.settings.delay,
            steps=self.steps(to),
            client_id=service.get("uniq_key", ""),
            what=service.get("type", "SMS"),
            parts=parts_of(body),
        )
        if service.get("interactiveSms") == "true":
            remember(self._interactive, to, id, self.settings.memory)
        return self.take(id, message)

    def _answered_with(self, service: Any, taken: list[Taken | None], now: float) -> Answer:
        if service.get("id") == "single":
            message = taken[0]
            if message is None:
                return _xml(_refusal(now))
            if service.get("interactiveSms") == "true":
                return _xml(_counted([message], now))
            root = _root(now, id=message.id)
            etree.SubElement(root, "state").text = "Accepted"
            return _xml(root)
        group = str(self.new_id())
        remember(self._groups, group, [message.id for message in taken if message], self.settings.memory)
        root = _root(now, groupid=group)
        for message in taken:
            if message is not None:
                etree.SubElement(root, "id").text = message.id
        for message in taken:
            etree.SubElement(root, "state", {} if message else {"error": INVALID}).text = "Accepted"
        return _xml(root)

    # Asking

    def _status(self, root: Any, now: float) -> Answer:
        self.counts.asked += 1
        only(root, (), ("id", "groupid"))
        if root.tag != "request" or (root.text or "").strip() != "status" or len(root.attrib) != 1:
            raise Malformed("<request> with id or groupid and the word status is expected")
        if group := root.get("groupid"):
            return _xml(_counted([self.messages[id] for id in self._groups.get(group, ()) if id in self.messages], now))
        id = root.get("id", "")
        message = self.messages.get(id)
        answer = _root(now, id=id)
        state = etree.SubElement(answer, "state", {} if message else {"error": "Unknown id"})
        state.text = message.step(now).state if message else "Unknown"
        return _xml(answer)

    # Messages of subscribers

    def incoming(self, reply: Reply, now: float) -> Push:
        """The interactive notification, a POST."""
        root = etree.Element("response")
        values = {
            "distribution_id": self._interactive.get(reply.source) or str(self.new_id()),
            "profile_id": "6612528694433",
            "msisdn": reply.source,
            "response_message": reply.text,
            "response_time": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
        }
        for name, value in values.items():
            etree.SubElement(root, name).text = writable(value)
        body = etree.tostring(root, encoding="UTF-8", standalone=True)
        return Push(
            vendor=self.name,
            what="message",
            ref=values["distribution_id"],
            method="POST",
            body=body,
            content_type="text/xml; charset=utf-8",
            taken=lambda status, _: status == 200,
        )


def _read(root: Any) -> tuple[Any, list[tuple[str, str]]]:
    """<service>, and who gets which text. Raises Malformed."""
    if root.tag != "message":
        raise Malformed(f"<message> is expected, not <{root.tag}>")
    only(root, ("service", "to", "body", "ottBody"))
    service = root.find("service")
    if service is None or root[0] is not service:
        raise Malformed("<service> is expected first")
    _check_service(service)
    for body in root.findall("body"):
        only(body, (), ("content-type", *_OTT_BODY))
        if body.get("content-type") != "text/plain":
            raise Malformed("the content-type of <body> is expected to be text/plain")
    rest = [child for child in root if child is not service and child.tag != "ottBody"]
    tags = [child.tag for child in rest]
    words = [(child.text or "").strip() if child.tag == "to" else child.text or "" for child in rest]
    match service.get("id"):
        case "single" if tags == ["to", "body"]:
            return service, [(words[0], words[1])]
        case "bulk" if len(tags) >= 2 and tags == ["to"] * (len(tags) - 1) + ["body"]:
            return service, [(to, words[-1]) for to in words[:-1]]
        case "individual" if tags and tags == ["to", "body"] * (len(tags) // 2):
            return service, list(zip(words[::2], words[1::2], strict=True))
    raise Malformed("recipients and bodies are not those of a single, bulk or individual")


def _check_service(service: Any) -> None:
    only(service, (), SERVICE)
    attributes = service.attrib
    if attributes.get("type", "SMS") not in TYPES:
        raise Malformed("the type is unknown")
    for name in ("interactiveSms", "promo", "hiddenText", "twoWayViber"):
        if attributes.get(name, "true") not in ("true", "false"):
            raise Malformed(f"{name} is neither true nor false")
    for name in ("validity", "start", "ottValidity"):
        if name in attributes and not _RELATIVE.fullmatch(attributes[name]):
            raise Malformed(f"{name} is not relative")
    if attributes.get("interactiveSms") == "true" and attributes.get("id") != "single":
        raise Malformed("interactiveSms goes with a single only")
    if attributes.get("uniq_key") and attributes.get("id") == "single":
        raise Malformed("uniq_key goes with bulk and individual only")
    if attributes.get("type", "SMS") == "SMS":
        if any(name.startswith("ott") for name in attributes):
            raise Malformed("ott goes with the types OTT and OTTSMS only")
    elif not _OTT.fullmatch(attributes.get("ott", "")):
        raise Malformed("ott is missing")
    if ("ottActionUri" in attributes) != ("ottActionTitle" in attributes):
        raise Malformed("a button takes ottActionUri and ottActionTitle")


def _root(now: float, **attributes: str) -> Any:
    return etree.Element("status", {**attributes, "date": format_datetime(datetime.fromtimestamp(now, UTC))})


def _refusal(now: float) -> Any:
    root = _root(now)
    etree.SubElement(root, "state", {"error": INVALID}).text = "Accepted"
    return root


def _counted(messages: list[Taken], now: float) -> Any:
    """Shape C."""
    states = [message.step(now).state for message in messages]
    done = all(state in _FINAL for state in states)
    root = _root(now)
    root.set("reports", "completed" if done else "waiting")
    etree.SubElement(root, "state").text = "sent" if done else "sending"
    etree.SubElement(root, "total").text = str(len(messages))
    for name in _COUNTERS:
        etree.SubElement(root, name).text = str(sum(1 for state in states if state.lower() == name))
    for message, state in zip(messages, states, strict=True):
        detail = etree.SubElement(root, "detail")
        etree.SubElement(detail, "id").text = message.id
        etree.SubElement(detail, "state").text = state
    return root


def _xml(root: Any, status: int = 200) -> Answer:
    return Answer(status=status, body=written(root), content_type="text/xml; charset=utf-8")
