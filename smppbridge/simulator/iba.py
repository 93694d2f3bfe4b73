"""IBA Telecom, by its GET guide: sendsms.php, and messages of subscribers.

One address for everything. A text is in UTF-8 or in windows-1251, and nothing says which: octets that are not UTF-8 are
windows-1251. Whatever is wrong with a message is answered with `0`, and with all its recipients: there is no partial
answer. A balance that cannot be told is an empty answer.

The guide leaves open what an unknown smsid is answered with; here it is `0` like every other error. Its only words for
a status are `Send` and `deliver`; not_deliver, expired and partly_deliver are those of the engine it runs on. The
guide's own script answers a message of a subscriber with `id_sms=`, its prose asks for `smsid=`: here the prose holds.
"""

from __future__ import annotations

import re
from urllib.parse import urlencode

from .vendor import (
    LOGIN,
    PASSWORD,
    Answer,
    Asked,
    Ending,
    Purpose,
    Push,
    Reply,
    Step,
    Taken,
    Vendor,
    number_like,
    parts_of,
    sender_like,
    stamp,
)

#: IBA Telecom GET guide, NumberRecipient.
MOST_RECIPIENTS = 10
PRICE = 1.2
ERROR = "0"


class Iba(Vendor):
    """See the head of the module."""

    name = "iba"
    title = "IBA Telecom, GET"
    doors = ("/iba/sendsms.php",)
    first_id = 83759227
    course = (Step(0, "Send"), Step(1, "deliver"))
    endings = (
        Ending(digits="0002", says="delivered ten delays later", steps=(Step(0, "Send"), Step(10, "deliver"))),
        Ending(digits="0003", says="the answer is `0`", error="0"),
        Ending(digits="0004", says="not_deliver", steps=(Step(0, "Send"), Step(1, "not_deliver"))),
        Ending(digits="0005", says="expired", steps=(Step(0, "Send"), Step(1, "expired"))),
        Ending(digits="0010", says="partly_deliver", steps=(Step(0, "Send"), Step(1, "partly_deliver"))),
        Ending(digits="0013", says="stays at Send", steps=(Step(0, "Send"),)),
        Ending(digits="0101", says="the answer is empty", error=""),
        Ending(digits="0102", says="the answer is a sentence", error="Данное направление закрыто."),
    )

    def purpose(self, asked: Asked) -> Purpose:
        names = asked.pairs()
        if "balance" in names:
            return Purpose.BALANCE
        return Purpose.ASK if "smsid" in names else Purpose.SEND

    def fields(self, asked: Asked) -> dict[str, str]:
        return {name: _decoded(value) for name, value in asked.pairs().items()}

    def answer(self, asked: Asked) -> Answer:
        if asked.path != "/sendsms.php":
            return Answer(status=404)
        if asked.method != "GET":
            return Answer(status=405, headers={"allow": "GET"})
        fields = self.fields(asked)
        known = (fields.get("user"), fields.get("pwd")) == (LOGIN, PASSWORD)
        match self.purpose(asked):
            case Purpose.BALANCE:
                return _text(self._balance() if known and fields["balance"] == "1" else "")
            case Purpose.ASK:
                return _text(self._status(fields["smsid"], asked.now) if known else ERROR)
        return _text(self._send(fields, asked.now) if known else ERROR)

    def _send(self, fields: dict[str, str], now: float) -> str:
        to, source, text = (fields.get(name, "") for name in ("dadr", "sadr", "text"))
        recipients = to.split(",")
        if not (text and sender_like(source) and len(recipients) <= MOST_RECIPIENTS):
            return self._refuse(recipients)
        if not all(number_like(number, 10, 15) for number in recipients):
            return self._refuse(recipients)
        for number in recipients:
            ending = self.ending(number)
            if ending is not None and not ending.steps:
                return self._refuse(recipients, ending.error)
        return ",".join(
            self._take(number, source, text, now) for place, number in enumerate(recipients) if not self.spoiled(place)
        )

    def _refuse(self, recipients: list[str], error: str = ERROR) -> str:
        self.counts.refused += len(recipients)
        return error

    def _take(self, to: str, source: str, text: str, now: float) -> str:
        id = str(self.new_id())
        message = Taken(
            id=id,
            to=to,
            source=source,
            text=text,
            at=now,
            delay=self.settings.delay,
            steps=self.steps(to),
            parts=parts_of(text),
        )
        self.take(id, message)
        return id

    def _status(self, id: str, now: float) -> str:
        self.counts.asked += 1
        message = self.messages.get(id)
        return message.step(now).state if message else ERROR

    def _balance(self) -> str:
        left = 1000 - PRICE * self.counts.processed
        return f"{left:.2f}\nRUR\nРоссия: {int(left / PRICE)}\n"

    def incoming(self, reply: Reply, now: float) -> Push:
        return pushed_sms(self.name, str(self.new_id()), reply, now)


def pushed_sms(vendor: str, id: str, reply: Reply, now: float) -> Push:
    """`GET …?date&text&smsid&sender&receiver&prefix`, made again until the answer is `smsid=<id>`; by the smsgate
    platform, too, which is the engine of IBA Telecom."""
    query = {
        "date": stamp(now),
        "text": reply.text,
        "smsid": id,
        "sender": reply.source,
        "receiver": reply.destination,
        "prefix": reply.prefix,
    }
    pattern = re.compile(rb"smsid=%s\s*" % id.encode())
    return Push(
        vendor=vendor,
        what="message",
        ref=id,
        method="GET",
        query=urlencode(query),
        taken=lambda status, body: status == 200 and pattern.fullmatch(body) is not None,
    )


def _decoded(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        # One octet of the 256 means nothing there.
        return value.decode("windows-1251", "replace")


def _text(body: str) -> Answer:
    return Answer(body=body.encode(), content_type="text/html; charset=utf-8")
