"""Twilio Programmable Messaging: the Messages resource, status callbacks and incoming messages.

Forms in, JSON out, HTTP Basic with the SID of the account and the demo password as auth token. There is no idempotency
key: each request that is taken is a message. Callbacks are forms, signed with HMAC-SHA1 over the address and the fields
in the order of their names; statuses go where the request said (`StatusCallback`), incoming messages to the handler.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import urlencode

from .vendor import (
    PASSWORD,
    Answer,
    Asked,
    Ending,
    Malformed,
    Purpose,
    Push,
    Reply,
    Step,
    Taken,
    Vendor,
    number_like,
    parts_of,
    texts,
)

_PATH = re.compile(r"/2010-04-01/Accounts/(?P<sid>AC\w{32})/Messages(/(?P<id>SM\w{32}))?\.json")
PRICE = 0.05

#: Errors of a request (https://www.twilio.com/docs/api/errors): code → HTTP status and message.
ERRORS: Mapping[int, tuple[int, str]] = {
    20003: (401, "Authenticate"),
    20404: (404, "The requested resource was not found"),
    20429: (429, "Too Many Requests"),
    21211: (400, "Invalid 'To' Phone Number"),
    21408: (400, "Permission to send an SMS has not been enabled for the region"),
    21602: (400, "Message body is required."),
    21603: (400, "A 'From' phone number is required."),
    21606: (400, "The 'From' phone number is not a valid message-capable phone number"),
    21610: (400, "Attempt to send to unsubscribed recipient"),
    21614: (400, "'To' number is not a valid mobile number"),
    21617: (400, "The concatenated message body exceeds the 1600 character limit"),
}
#: Errors of messages that were taken.
UNDELIVERED: Mapping[int, str] = {
    30003: "unreachable handset",
    30005: "unknown handset",
    30006: "landline",
    30007: "filtered",
    30034: "sender not registered",
}


class _Error(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(ERRORS[code][1])
        self.code = code


def _to(state: str, err: int = 0) -> tuple[Step, ...]:
    return (Step(0, "queued"), Step(0.5, "sent"), Step(1, state, err))


class Twilio(Vendor):
    """See the head of the module."""

    name = "twilio"
    title = "Twilio Programmable Messaging"
    doors = ("/twilio/2010-04-01/Accounts/AC…/Messages.json",)
    course = _to("delivered")
    endings = (
        Ending(digits="0002", says="delivered ten delays later", steps=(*_to("sent"), Step(10, "delivered"))),
        Ending(digits="0003", says="error 21211: Invalid 'To' Phone Number", error="21211"),
        Ending(digits="0004", says="undelivered, 30003", steps=_to("undelivered", 30003)),
        Ending(digits="0013", says="stays at sent", steps=_to("sent")),
        Ending(digits="0016", says=f"error 21408: {ERRORS[21408][1]}", error="21408"),
        *(
            Ending(digits=f"{place:04}", says=f"error {code}: {said}", error=str(code))
            for place, (code, (_, said)) in enumerate(ERRORS.items(), 101)
        ),
        *(
            Ending(digits=f"{place:04}", says=f"undelivered, {code} {said}", steps=_to("undelivered", code))
            for place, (code, said) in enumerate(UNDELIVERED.items(), 201)
        ),
    )

    def purpose(self, asked: Asked) -> Purpose:
        return Purpose.ASK if asked.method == "GET" else Purpose.SEND

    def fields(self, asked: Asked) -> dict[str, str]:
        return {name: value.decode("utf-8", "replace") for name, value in asked.pairs().items()}

    def answer(self, asked: Asked) -> Answer:
        found = _PATH.fullmatch(asked.path)
        try:
            if found is None:
                raise _Error(20404)
            _admit(asked.headers.get("authorization", ""), found["sid"])
            if found["id"]:
                return _jsoned(self._status(found["id"], found["sid"], asked))
            if asked.method != "POST":
                raise _Error(20404)
            return _jsoned(self._send(texts(asked.pairs(), "utf-8"), found["sid"], asked.now), 201)
        except Malformed:
            error = _Error(21602)
        except _Error as failed:
            error = failed
        self.counts.refused += self.purpose(asked) is Purpose.SEND
        status, said = ERRORS[error.code]
        more = f"https://www.twilio.com/docs/errors/{error.code}"
        return _jsoned({"code": error.code, "message": said, "more_info": more, "status": status}, status)

    def _send(self, fields: Mapping[str, str], sid: str, now: float) -> dict[str, object]:
        to, source, body = (fields.get(name, "") for name in ("To", "From", "Body"))
        if not (to.startswith("+") and number_like(to[1:], 8, 15)):
            raise _Error(21211)
        if not source:
            raise _Error(21603)
        if not (number_like(source.removeprefix("+"), 3, 15) or len(source) <= 11):
            raise _Error(21606)
        if not body:
            raise _Error(21602)
        if len(body) > 1600:
            raise _Error(21617)
        if (ending := self.ending(to)) is not None and ending.error:
            raise _Error(int(ending.error))
        id = f"SM{self.new_id():032x}"
        message = Taken(
            id=id,
            to=to,
            source=source,
            text=body,
            at=now,
            delay=self.settings.delay,
            steps=self.steps(to),
            parts=parts_of(body),
        )
        self.take(id, message)
        if url := fields.get("StatusCallback", ""):
            self.pushes += [self._report(message, step, sid, url) for step in message.steps if step.state != "queued"]
        return _resource(message, sid, now)

    def _status(self, id: str, sid: str, asked: Asked) -> dict[str, object]:
        self.counts.asked += 1
        message = self.messages.get(id)
        if message is None:
            raise _Error(20404)
        return _resource(message, sid, asked.now)

    def _report(self, message: Taken, step: Step, sid: str, url: str) -> Push:
        fields = {
            "AccountSid": sid,
            "MessageSid": message.id,
            "SmsSid": message.id,
            "MessageStatus": step.state,
            "SmsStatus": step.state,
            "To": message.to,
            "From": message.source,
            "ApiVersion": "2010-04-01",
            **({"ErrorCode": str(step.err)} if step.err else {}),
        }
        return self._signed("status", f"{message.id} {step.state}", url, fields, step.after * message.delay)

    def incoming(self, reply: Reply, now: float) -> Push:
        id = f"SM{self.new_id():032x}"
        fields = {
            "MessageSid": id,
            "SmsSid": id,
            "SmsStatus": "received",
            "From": f"+{reply.source}",
            "To": f"+{reply.destination}",
            "Body": reply.text,
            "NumMedia": "0",
            "NumSegments": str(parts_of(reply.text)),
            "ApiVersion": "2010-04-01",
        }
        return self._signed("message", id, self.settings.handler(self.name), fields)

    def _signed(self, what: str, ref: str, url: str, fields: Mapping[str, str], after: float = 0) -> Push:
        """https://www.twilio.com/docs/usage/security."""
        base = url + "".join(name + fields[name] for name in sorted(fields))
        signature = base64.b64encode(hmac.digest(PASSWORD.encode(), base.encode(), hashlib.sha1)).decode()
        return Push(
            vendor=self.name,
            what=what,
            ref=ref,
            method="POST",
            url=url,
            body=urlencode(fields).encode(),
            content_type="application/x-www-form-urlencoded; charset=UTF-8",
            headers={"x-twilio-signature": signature},
            after=after,
            taken=lambda status, _: 200 <= status < 300,
        )


def _admit(authorization: str, sid: str) -> None:
    """Raises _Error."""
    right = base64.b64encode(f"{sid}:{PASSWORD}".encode()).decode()
    if not hmac.compare_digest(authorization.encode(), f"Basic {right}".encode()):
        raise _Error(20003)


def _resource(message: Taken, sid: str, now: float) -> dict[str, object]:
    step, since = message.step(now), datetime.fromtimestamp(message.since(now), UTC)
    # What it costs is known once it is sent.
    priced = step.state in ("delivered", "undelivered")
    return {
        "sid": message.id,
        "account_sid": sid,
        "to": message.to,
        "from": message.source,
        "body": message.text,
        "status": step.state,
        "num_segments": str(message.parts),
        "num_media": "0",
        "direction": "outbound-api",
        "price": f"-{PRICE * message.parts:.4f}" if priced else None,
        "price_unit": "USD",
        "error_code": step.err or None,
        "error_message": UNDELIVERED.get(step.err),
        "date_updated": format_datetime(since),
        "api_version": "2010-04-01",
    }


def _jsoned(document: object, status: int = 200) -> Answer:
    body = json.dumps(document, ensure_ascii=False).encode()
    return Answer(status=status, body=body, content_type="application/json;charset=utf-8")
