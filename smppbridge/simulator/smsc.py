"""smsc.ru and the others of that house, by their HTTP API: send.php, status.php, balance.php and the handler.

`charset` says how a request is written and how it is answered, and without it both are windows-1251. Errors come with
HTTP 200. The same request is refused within a minute (error 9). An `id` of the client's need not be unique: the same
message sent again is another message and is paid for again, and its status is asked for by id and phone. Numbers of
which some are wrong: the others are sent, and `op=1` says which are which; if all are, that is an error.

Statuses and messages of subscribers go to the handler as a form in windows-1251, signed with md5.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
from lxml import etree

from .vendor import (
    LOGIN,
    PASSWORD,
    SECRET,
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
    parts_of,
    remember,
    sender_like,
    stamp,
    texts,
)

ROOT = "/sys/"
CHARSETS = ("windows-1251", "utf-8", "koi8-r")
HANDLER_CHARSET = "windows-1251"

#: send.php, error_code.
ERRORS: Mapping[int, str] = {
    1: "parameters error",
    2: "authorise error",
    3: "no money",
    4: "IP blocked",
    5: "invalid date",
    6: "message is denied",
    7: "invalid number",
    8: "can't deliver",
    9: "duplicate request, wait a minute",
}
#: status.php, statuses that are the end of it, and their names.
STATUSES: Mapping[int, str] = {
    1: "delivered",
    2: "read",
    3: "expired",
    4: "link followed",
    20: "cannot be delivered",
    22: "wrong number",
    23: "forbidden",
    24: "no funds",
    25: "number is not available",
}
NOT_FOUND = -3
WRONG_NUMBER, NO_ROUTE = 249, 248
PRICE = "1.40"

#: Flag of the request → `type` of a status (smsc.ru HTTP API).
KINDS = {"flash": 1, "bin": 2, "push": 3, "hlr": 4, "ping": 5, "mms": 6, "call": 7, "mail": 8, "viber": 10, "soc": 12}
_TEXTLESS = frozenset({"hlr", "ping"})

#: What an HLR look-up finds.
HLR = {
    "imsi": "250023012345678",
    "msc": "79232510066",
    "mcc": "250",
    "mnc": "02",
    "cn": "Russian Federation",
    "net": "MegaFON open Joint Stock Company",
    "rcn": "",
    "rnet": "",
}


class _Error(Exception):
    """error_code, with what the service says of it."""

    def __init__(self, code: int, id: str = "") -> None:
        super().__init__(ERRORS[code])
        self.code = code
        self.id = id


class _Phone(msgspec.Struct):
    """What became of one number of a request. `status` is empty where it was taken."""

    phone: str
    message: Taken | None = None
    status: int = 0
    error: int = 0


def _to(status: int, err: int = 0) -> tuple[Step, ...]:
    return (Step(0, "-1"), Step(0.5, "0"), Step(1, str(status), err))


class Smsc(Vendor):
    """See the head of the module."""

    name = "smsc"
    title = "smsc.ru and its sisters, HTTP API"
    doors = tuple(f"/smsc{ROOT}{page}.php" for page in ("send", "status", "balance"))
    handler = "?md5"
    first_id = 1001
    course = _to(1)
    endings = (
        Ending(digits="0002", says="delivered ten delays later", steps=(*_to(0), Step(10, "1"))),
        Ending(digits="0003", says="error 6: the message is denied", error="6"),
        Ending(digits="0004", says="status 20, err 6: the subscriber is offline", steps=_to(20, 6)),
        Ending(digits="0005", says="status 3: expired", steps=_to(3)),
        Ending(digits="0013", says="no status comes after -1", steps=(Step(0, "-1"),)),
        Ending(digits="0016", says="error 8: cannot be delivered to this number", error="8"),
        *(
            Ending(digits=f"{100 + code:04}", says=f"error {code}: {said}", error=str(code))
            for code, said in ERRORS.items()
        ),
        *(
            Ending(digits=f"{200 + code:04}", says=f"status {code}: {said}", steps=_to(code))
            for code, said in STATUSES.items()
        ),
        *(
            Ending(digits=f"{9000 + err}", says=f"status 20, err {err}", steps=_to(20, err))
            for err in (1, 6, 11, 12, 13, 21, 99, 200, 237, 238, 239, 240, 241, 242, 243, 244, *range(245, 256))
        ),
    )

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        #: Requests to send → when they came.
        self._sent: dict[str, float] = {}

    def purpose(self, asked: Asked) -> Purpose:
        page = asked.path.rpartition("/")[2]
        return {"status.php": Purpose.ASK, "balance.php": Purpose.BALANCE}.get(page, Purpose.SEND)

    def fields(self, asked: Asked) -> dict[str, str]:
        pairs = asked.pairs()
        return {name: value.decode(_charset(pairs), "replace") for name, value in pairs.items()}

    def answer(self, asked: Asked) -> Answer:
        pages = {"send.php": self._send, "status.php": self._status, "balance.php": self._balance}
        page = pages.get(asked.path.removeprefix(ROOT))
        if page is None:
            return Answer(status=404)
        fields = self.fields(asked)
        try:
            fields = texts(asked.pairs(), _charset(asked.pairs()))
            _admit(fields)
            body = page(fields, asked)
        except Malformed:
            body = _refused(fields, _Error(1))
        except _Error as error:
            body = _refused(fields, error)
        charset = _charset(asked.pairs())
        kind = {"3": "application/json", "2": "text/xml"}.get(fields.get("fmt", ""), "text/plain")
        return Answer(body=body.encode(charset, "replace"), content_type=f"{kind}; charset={charset}")

    # send.php

    def _send(self, fields: dict[str, str], asked: Asked) -> str:
        wanted = _wanted(fields)
        self._once_a_minute(fields, asked.now)
        cost = fields.get("cost", "0")
        if cost == "1":
            return _priced(fields, len(wanted))
        for phone, _ in wanted:
            ending = self.ending(phone)
            if ending is not None and ending.error and int(ending.error) not in (7, 8):
                self.counts.refused += len(wanted)
                raise _Error(int(ending.error))
        id = fields.get("id") or str(self.new_id())
        phones = [self._phone(place, *pair, id, fields, asked.now) for place, pair in enumerate(wanted)]
        if not any(one.message for one in phones):
            raise _Error(7 if phones[0].error == WRONG_NUMBER else 8)
        return _sent(fields, id, phones, self._money())

    def _once_a_minute(self, fields: Mapping[str, str], now: float) -> None:
        same = repr(sorted(fields.items()))
        before = self._sent.get(same)
        if before is not None and now - before < self.settings.minute:
            self.counts.repeated += 1
            raise _Error(9)
        remember(self._sent, same, now, self.settings.memory)

    def _phone(self, place: int, phone: str, text: str, id: str, fields: Mapping[str, str], now: float) -> _Phone:
        one = _Phone(phone.removeprefix("+"))
        ending = self.ending(phone)
        if not _reachable(phone, fields) or (ending is not None and ending.error == "7"):
            one.status, one.error = 22, WRONG_NUMBER
        elif self.spoiled(place) or (ending is not None and ending.error == "8"):
            one.status, one.error = 20, NO_ROUTE
        else:
            one.message = self._take(one.phone, text, id, fields, now)
        self.counts.refused += one.message is None
        return one

    def _take(self, phone: str, text: str, id: str, fields: Mapping[str, str], now: float) -> Taken:
        kind = next((name for name in KINDS if fields.get(name, "0") not in ("", "0")), "sms")
        message = Taken(
            id=id,
            client_id=fields.get("id", ""),
            to=phone,
            source=fields.get("sender", ""),
            text=text,
            at=now,
            delay=self.settings.delay,
            steps=self.steps(phone),
            what=kind,
            parts=parts_of(text) if kind == "sms" else 1,
        )
        self.take(_key(id, phone), message)
        for step in message.steps:
            if step.after >= 1:
                self.pushes.append(self._report(message, step))
        return message

    def _report(self, message: Taken, step: Step) -> Push:
        """The handler is told a final status."""
        after = step.after * message.delay
        at = int(message.at + after)
        fields = {
            "id": message.id,
            "phone": message.to,
            "status": step.state,
            "time": stamp(at, "%d.%m.%Y %H:%M:%S"),
            "ts": str(at),
            "err": str(step.err),
            "type": str(KINDS.get(message.what, 0)),
            "cnt": str(message.parts),
            "cost": PRICE,
            **(HLR if message.what == "hlr" else {}),
        }
        return self._handler("status", _key(message.id, message.to), fields, ("id", "phone", "status"), after)

    def _handler(self, what: str, ref: str, fields: dict[str, str], signed: tuple[str, ...], after: float = 0) -> Push:
        values = [fields[name].encode(HANDLER_CHARSET, "replace") for name in signed]
        base = b":".join([*values, SECRET.encode()])
        fields["md5"] = hashlib.md5(base, usedforsecurity=False).hexdigest()
        return Push(
            vendor=self.name,
            what=what,
            ref=ref,
            method="POST",
            query="md5",
            body=urlencode(fields, encoding=HANDLER_CHARSET, errors="replace").encode(),
            content_type="application/x-www-form-urlencoded",
            after=after,
            taken=lambda status, _: status == 200,
        )

    def incoming(self, reply: Reply, now: float) -> Push:
        id = str(self.new_id())
        fields = {
            "id": id,
            "phone": reply.source,
            "mes": reply.text,
            "to": reply.destination,
            "time": stamp(now, "%d.%m.%Y %H:%M:%S"),
            "ts": str(int(now)),
        }
        return self._handler("message", id, fields, ("phone", "mes", "to"))

    # status.php

    def _status(self, fields: dict[str, str], asked: Asked) -> str:
        self.counts.asked += 1
        phones, ids = fields.get("phone", "").split(","), fields.get("id", "").split(",")
        several = len(phones) > 1
        if several:
            phones, ids = [p for p in phones if p], [i for i in ids if i]
        if not phones or len(phones) != len(ids) or not all(phones):
            raise _Error(1)
        found = [self._told(id, phone, asked.now) for id, phone in zip(ids, phones, strict=True)]
        match fields.get("fmt", "0"):
            case "3":
                return json.dumps(found if several else _single(found[0]), ensure_ascii=False)
            case "1":
                return "\n".join(_by_commas(one) for one in found)
        return "\n".join(f"Status = {one['status']}, check_time = {one.get('last_date', '')}" for one in found)

    def _told(self, id: str, phone: str, now: float) -> dict[str, Any]:
        phone = phone.strip().removeprefix("+")
        message = self.messages.get(_key(id, phone))
        if message is None:
            return {"status": NOT_FOUND, "id": id, "phone": phone}
        step, since = message.step(now), int(message.since(now))
        told: dict[str, Any] = {
            "status": int(step.state),
            "last_date": stamp(since, "%d.%m.%Y %H:%M:%S"),
            "last_timestamp": since,
            "err": step.err,
            "id": id,
            "phone": phone,
        }
        return told | (HLR if message.what == "hlr" and int(step.state) > 0 else {})

    # balance.php

    def _balance(self, fields: dict[str, str], asked: Asked) -> str:
        if fields.get("fmt") != "3":
            return self._money()
        return json.dumps({"balance": self._money(), **({"currency": "RUR"} if fields.get("cur") == "1" else {})})

    def _money(self) -> str:
        return f"{1000 - float(PRICE) * self.counts.processed:.2f}"


def _key(id: str, phone: str) -> str:
    return f"{id}:{phone}"


def _charset(pairs: Mapping[str, bytes]) -> str:
    wanted = pairs.get("charset", b"").decode("latin-1").lower()
    return wanted if wanted in CHARSETS else CHARSETS[0]


def _admit(fields: Mapping[str, str]) -> None:
    """Raises _Error."""
    passwords = (PASSWORD, hashlib.md5(PASSWORD.encode(), usedforsecurity=False).hexdigest())
    by_login = fields.get("login") == LOGIN and fields.get("psw") in passwords
    if not by_login and fields.get("apikey") != PASSWORD:
        raise _Error(2)


def _wanted(fields: Mapping[str, str]) -> list[tuple[str, str]]:
    """Who is to get which text. Raises _Error."""
    if "list" in fields:
        lines = [line.partition(":") for line in fields["list"].split("\n") if line]
        wanted = [(phone.strip(), text) for phone, _, text in lines]
    else:
        phones = [phone.strip() for phone in fields.get("phones", "").replace(";", ",").split(",")]
        wanted = [(phone, fields.get("mes", "")) for phone in phones if phone]
    if not wanted:
        raise _Error(1)
    textless = any(fields.get(name, "0") == "1" for name in _TEXTLESS)
    if not textless and not all(text for _, text in wanted):
        raise _Error(1)
    sender = fields.get("sender", "")
    if sender not in ("", ".") and fields.get("mail", "0") != "1" and not sender_like(sender):
        raise _Error(6)
    if "valid" in fields and not _is_validity(fields["valid"]):
        raise _Error(5)
    return wanted


def _is_validity(valid: str) -> bool:
    """Hours from 1 to 24, or hh:mm from 00:01 to 24:00."""
    hours, colon, minutes = valid.partition(":")
    if not number_like(hours, 1, 2) or (colon and not number_like(minutes, 2, 2)):
        return False
    whole = int(hours) * 60 + int(minutes or 0)
    return 1 <= whole <= 24 * 60 and int(minutes or 0) < 60


def _reachable(phone: str, fields: Mapping[str, str]) -> bool:
    if fields.get("mail", "0") == "1":
        return "@" in phone
    if phone.startswith("#"):
        return fields.get("tg", "0") == "1" or "bot" in fields
    return number_like(phone.removeprefix("+"), 8, 20)


def _sent(fields: Mapping[str, str], id: str, phones: list[_Phone], money: str) -> str:
    count = sum(one.message.parts for one in phones if one.message)
    price = f"{float(PRICE) * count:.2f}"
    told = [price, money][: {"2": 1, "3": 2}.get(fields.get("cost", "0"), 0)]
    match fields.get("fmt", "0"):
        case "3":
            answer: dict[str, Any] = {"id": int(id) if id.isdigit() else id, "cnt": count}
            answer |= dict(zip(("cost", "balance"), told, strict=False))
            if fields.get("op") == "1":
                answer["phones"] = [_phone_told(one) for one in phones]
            return json.dumps(answer, ensure_ascii=False)
        case "2":
            return _xml(id=id, cnt=str(count))
        case "1":
            return ",".join([id, str(count), *told])
    return f"OK - {count} SMS, ID - {id}"


def _phone_told(one: _Phone) -> dict[str, str]:
    told = {"phone": one.phone, "mccmnc": "25002", "cost": PRICE if one.message else "0"}
    return told | {"status": str(one.status), "error": str(one.error)}


def _priced(fields: Mapping[str, str], count: int) -> str:
    price = f"{float(PRICE) * count:.2f}"
    match fields.get("fmt", "0"):
        case "3":
            return json.dumps({"cost": price, "cnt": count})
        case "2":
            return _xml(cost=price, cnt=str(count))
    return f"{price},{count}"


def _refused(fields: Mapping[str, str], error: _Error) -> str:
    match fields.get("fmt", "0"):
        case "3":
            return json.dumps({"error": str(error), "error_code": error.code})
        case "2":
            return _xml(error=str(error), error_code=str(error.code))
        case "1":
            return f"0,-{error.code}"
    return f"ERROR = {error.code} ({error})"


def _single(told: dict[str, Any]) -> dict[str, Any]:
    """id and phone are told where several were asked for."""
    return {name: value for name, value in told.items() if name not in ("id", "phone")}


def _by_commas(told: Mapping[str, Any]) -> str:
    values = [told["status"], told.get("last_timestamp", ""), told.get("err", "")]
    return ",".join(map(str, [*values, *(told[name] for name in HLR if name in told)]))


def _xml(**values: str) -> str:
    root = etree.Element("result")
    for name, value in values.items():
        etree.SubElement(root, name).text = value
    return etree.tostring(root, encoding="unicode")
