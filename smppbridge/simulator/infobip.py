"""Infobip SMS, API version 3: /sms/3/messages, /sms/3/logs, delivery reports and incoming messages.

JSON both ways, `Authorization: App` with the demo password as the key. A message may have an id of ours (`messageId`);
one that was used before is refused. What is wrong with one message stands in its status, what is wrong with the request
in an HTTP status. Reports go where the message said (`webhooks`), with HTTP Basic as it is set up in the portal: user
gateway, and the demo password. Incoming messages go to the handler in the same way.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

from .vendor import PASSWORD, Answer, Asked, Ending, Purpose, Push, Reply, Step, Taken, Vendor, number_like, parts_of

SEND = "/sms/3/messages"
LOGS = "/sms/3/logs"
PRICE = 0.01

#: Name → group, id and description, from Infobip's list of statuses and error codes.
STATUSES: Mapping[str, tuple[int, int, str]] = {
    "PENDING_ACCEPTED": (1, 26, "Message sent to next instance"),
    "DELIVERED_TO_HANDSET": (3, 5, "Message delivered to handset"),
    "UNDELIVERABLE_NOT_DELIVERED": (2, 9, "Message sent not delivered"),
    "EXPIRED_EXPIRED": (4, 15, "Message expired"),
    "REJECTED_DESTINATION": (5, 51, "Destination rejected"),
    "REJECTED_NOT_ENOUGH_CREDITS": (5, 12, "Not enough credits"),
    "REJECTED_SENDER": (5, 13, "Sender has been rejected"),
    "REJECTED_NETWORK": (5, 6, "Network is forbidden"),
    "REJECTED_DUPLICATE_MESSAGE_ID": (5, 50, "Duplicate message id"),
}
GROUPS = {1: "PENDING", 2: "UNDELIVERABLE", 3: "DELIVERED", 4: "EXPIRED", 5: "REJECTED"}
#: GSM error codes of what was not delivered.
ERRORS: Mapping[int, str] = {0: "NO_ERROR", 1: "EC_UNKNOWN_SUBSCRIBER", 27: "EC_ABSENT_SUBSCRIBER"}

_BASIC = base64.b64encode(f"gateway:{PASSWORD}".encode()).decode()
_MESSAGE = {"sender", "destinations", "content", "options", "webhooks"}


def _to(name: str, err: int = 0) -> tuple[Step, ...]:
    return (Step(0, "PENDING_ACCEPTED"), Step(1, name, err))


class Infobip(Vendor):
    """See the head of the module."""

    name = "infobip"
    title = "Infobip SMS, API version 3"
    doors = (f"/infobip{SEND}", f"/infobip{LOGS}")
    course = _to("DELIVERED_TO_HANDSET")
    endings = (
        Ending(
            digits="0002",
            says="delivered ten delays later",
            steps=(Step(0, "PENDING_ACCEPTED"), Step(10, "DELIVERED_TO_HANDSET")),
        ),
        Ending(digits="0003", says="REJECTED_DESTINATION", error="REJECTED_DESTINATION"),
        Ending(digits="0004", says="not delivered, 27 absent", steps=_to("UNDELIVERABLE_NOT_DELIVERED", 27)),
        Ending(digits="0005", says="EXPIRED_EXPIRED", steps=_to("EXPIRED_EXPIRED")),
        Ending(digits="0013", says="stays at PENDING_ACCEPTED", steps=(Step(0, "PENDING_ACCEPTED"),)),
        Ending(digits="0016", says="REJECTED_NETWORK", error="REJECTED_NETWORK"),
        Ending(digits="0101", says="REJECTED_NOT_ENOUGH_CREDITS", error="REJECTED_NOT_ENOUGH_CREDITS"),
        Ending(digits="0102", says="REJECTED_SENDER", error="REJECTED_SENDER"),
        Ending(digits="0201", says="not delivered, 1 unknown", steps=_to("UNDELIVERABLE_NOT_DELIVERED", 1)),
    )

    def purpose(self, asked: Asked) -> Purpose:
        return Purpose.ASK if asked.path == LOGS else Purpose.SEND

    def fields(self, asked: Asked) -> dict[str, str]:
        if asked.method == "GET":
            return {name: value.decode("utf-8", "replace") for name, value in asked.pairs().items()}
        return {"body": asked.body.decode("utf-8", "replace")}

    def answer(self, asked: Asked) -> Answer:
        if asked.path not in (SEND, LOGS):
            return _error(404, "Not Found")
        if asked.method != ("POST" if asked.path == SEND else "GET"):
            return _error(405, "Method Not Allowed")
        if asked.headers.get("authorization") != f"App {PASSWORD}":
            return _error(401, "Unauthorized")
        if asked.path == LOGS:
            return self._logs(asked)
        try:
            wanted = list(_wanted(asked.body))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return _error(400, f"Bad Request: {error}")
        return _jsoned({"bulkId": str(self.new_id()), "messages": [self._message(*one, asked.now) for one in wanted]})

    def _message(self, place: int, message: Mapping[str, Any], to: str, id: str, now: float) -> dict[str, object]:
        refused = self._refused(place, to, id)
        if refused:
            self.counts.refused += refused != "REJECTED_DUPLICATE_MESSAGE_ID"
            return {"messageId": id, "status": _status(refused), "destination": to}
        id = id or str(self.new_id())
        text = message["content"]["text"]
        taken = Taken(
            id=id,
            client_id=id,
            to=to,
            source=message.get("sender", ""),
            text=text,
            at=now,
            delay=self.settings.delay,
            steps=self.steps(to),
            parts=parts_of(text),
        )
        self.take(id, taken)
        if url := message.get("webhooks", {}).get("delivery", {}).get("url", ""):
            final = taken.steps[-1]
            if len(taken.steps) > 1:
                self.pushes.append(self._report(taken, final, url))
        count = {"messageCount": taken.parts}
        return {"messageId": id, "status": _status("PENDING_ACCEPTED"), "destination": to, "details": count}

    def _refused(self, place: int, to: str, id: str) -> str:
        """The name of a status; empty: it is taken."""
        if id in self.messages:
            self.counts.repeated += 1
            return "REJECTED_DUPLICATE_MESSAGE_ID"
        if not number_like(to, 8, 15):
            return "REJECTED_DESTINATION"
        ending = self.ending(to)
        if ending is not None and ending.error:
            return ending.error
        return "REJECTED_NETWORK" if self.spoiled(place) else ""

    def _logs(self, asked: Asked) -> Answer:
        self.counts.asked += 1
        asked_for = parse_qs(asked.query.decode("latin-1")).get("messageId", [])
        found = [self.messages[id] for ids in asked_for for id in ids.split(",") if id in self.messages]
        return _jsoned({"results": [_told(message, message.step(asked.now), asked.now) for message in found]})

    def _report(self, message: Taken, step: Step, url: str) -> Push:
        after = step.after * message.delay
        results = [_told(message, step, message.at + after)]
        return self._called("status", message.id, {"results": results}, url, after)

    def incoming(self, reply: Reply, now: float) -> Push:
        id = str(self.new_id())
        result = {
            "messageId": id,
            "from": reply.source,
            "to": reply.destination,
            "text": reply.text,
            "cleanText": reply.text,
            "keyword": reply.prefix,
            "receivedAt": _written(now),
            "smsCount": parts_of(reply.text),
        }
        body = {"results": [result], "messageCount": 1, "pendingMessageCount": 0}
        return self._called("message", id, body, self.settings.handler(self.name))

    def _called(self, what: str, ref: str, body: object, url: str, after: float = 0) -> Push:
        return Push(
            vendor=self.name,
            what=what,
            ref=ref,
            method="POST",
            url=url,
            body=json.dumps(body, ensure_ascii=False).encode(),
            content_type="application/json",
            headers={"authorization": f"Basic {_BASIC}"},
            after=after,
            taken=lambda status, _: 200 <= status < 300,
        )


def _wanted(body: bytes) -> Iterator[tuple[int, Mapping[str, Any], str, str]]:
    """Each recipient of a request: its place, its message, number and id. Raises what a wrong shape raises."""
    place = 0
    for message in json.loads(body.decode())["messages"]:
        if set(message) - _MESSAGE:
            raise ValueError(f"unknown: {', '.join(sorted(set(message) - _MESSAGE))}")
        if not isinstance(message["content"]["text"], str) or not message["destinations"]:
            raise ValueError("a message takes a text and destinations")
        for one in message["destinations"]:
            yield place, message, str(one["to"]), str(one.get("messageId", ""))
            place += 1


def _told(message: Taken, step: Step, now: float) -> dict[str, object]:
    return {
        "messageId": message.id,
        "to": message.to,
        "sender": message.source,
        "sentAt": _written(message.at),
        "doneAt": _written(message.since(now)),
        "messageCount": message.parts,
        "price": {"pricePerMessage": PRICE, "currency": "EUR"},
        "status": _status(step.state),
        "error": {"groupId": 1 if step.err else 0, "id": step.err, "name": ERRORS[step.err], "permanent": False},
    }


def _status(name: str) -> dict[str, object]:
    group, id, description = STATUSES[name]
    return {"groupId": group, "groupName": GROUPS[group], "id": id, "name": name, "description": description}


def _written(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def _error(status: int, description: str) -> Answer:
    return _jsoned({"errorCode": f"E{status}", "description": description}, status)


def _jsoned(document: object, status: int = 200) -> Answer:
    body = json.dumps(document, ensure_ascii=False).encode()
    return Answer(status=status, body=body, content_type="application/json;charset=utf-8")
