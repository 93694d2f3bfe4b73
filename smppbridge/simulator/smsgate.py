"""The Viber-VK-SMS cascade of the smsgate platform, by its three doors: GET, JSON and XML.

A request is read by its door into orders (`_Order`: fields and recipients); from there on there is one way, and each
door writes the answer down in its own words. Channels are tried in the order of their numbers, each with a state of its
own, until one has delivered. A `client_id_message` that was used before is not sent again: the answer names the message
that is there already, which the documents leave open. (The ending 0117 answers with the platform's own sentence
about it instead.)

Door by door: GET refuses the same request within a minute, whatever it asks for, and an address beyond 2000 characters
(HTTP 414 here: the document only advises against it). XML must not hold a line break. All of it is UTF-8. Login and
password, or `Authorization: Bearer` with the same word as the password.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from lxml import etree

from .iba import pushed_sms
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
    sender_like,
    stamp,
    texts,
    written,
)

GET = "/sendmessage.php"
JSON = "/sendmessagejson.php"
XML = "/xml/message.php"
XML_STATE = "/xml/state_message.php"
#: How much money is left, by each door (smsgate httpGateDoc, jsonGateDoc, xmlGateDoc).
GET_BALANCE = "/sendsms.php"
JSON_BALANCE = "/sendsmsjson.php"
XML_BALANCE = "/xml/balance.php"
_POSTED = (JSON, XML, XML_STATE, JSON_BALANCE, XML_BALANCE)

CHANNELS = ("viber", "vk", "sms", "whatsapp")
#: Ending of a subscriber who gets his Viber messages and does not read them.
UNREAD = "0033"
PRICES = {"viber": "0.55", "vk": "0.60", "sms": "1.20", "whatsapp": "0.90"}

#: Fields of an order, beside its recipients (smsgate CascadingDoc).
FIELDS = (
    "send_viber",
    "send_vk",
    "send_sms",
    "send_whatsapp",
    "name_delivery",
    "time_send",
    "sender_viber",
    "text_viber",
    "button_text",
    "button_url",
    "image_url",
    "validity_period_viber",
    "finale_viber_read",
    "sender_sms",
    "text_sms",
    "templateId",
    "templateData",
    "sender_whatsapp",
    "text_whatsapp",
    "button_text_whatsapp",
    "button_url_whatsapp",
    "image_url_whatsapp",
    "validity_period_whatsapp",
)

LONGEST_URL = 2000
TOO_OFTEN = "error: Попытка отправки более одного одинакового запроса в течение минуты"
UNKNOWN_ID = "Сообщение с таким ID не принималось"
LOGIN_WRONG = "Неправильный логин или пароль"
NO_BODY = "POST данные отсутствуют"

#: What a recipient may be refused with, by its place in the vendors' list.
ERRORS = (
    "У нас закончились SMS. Для разрешения проблемы свяжитесь с менеджером.",
    "Закончились SMS.",
    "Аккаунт заблокирован.",
    "Укажите номер телефона.",
    "Номер телефона присутствует в стоп-листе.",
    "Данное направление закрыто для вас.",
    "Данное направление закрыто.",
    "Недостаточно средств для отправки SMS. SMS будет отправлена как только вы пополните счет по данному направлению.",
    "Текст SMS отклонен модератором.",
    "Нет отправителя.",
    "Отправитель не должен превышать 15 символов для цифровых номеров и 11 символов для буквенно-числовых.",
    "Номер телефона должен быть меньше 15 символов.",
    "Нет текста сообщения.",
    "Нет ссылки.",
    "Такого отправителя Нет.",
    "Отправитель не прошел модерацию.",
    "Данное сообщение уже было отправлено.",
)
NO_PHONE, STOP_LIST, CLOSED, QUEUED, NO_SENDER, LONG_SENDER, LONG_PHONE, NO_TEXT, NO_LINK = (
    ERRORS[number - 1] for number in (4, 5, 7, 8, 10, 11, 12, 13, 14)
)


class _Order(msgspec.Struct):
    """One message of a request: what, and to whom (phone, client_id_message)."""

    fields: dict[str, str]
    recipients: list[tuple[str, str]]


class _Whole(Exception):
    """The whole request is refused; the text is the vendor's."""


class _Cascade(Taken, kw_only=True):
    """A message with the channels it is tried by, in their order, and what becomes of each."""

    legs: tuple[tuple[str, str], ...]
    ids: dict[str, str]

    def states(self, now: float) -> dict[str, str]:
        """Channel → its state; `send` is also what one says that is not used."""
        found = dict.fromkeys(CHANNELS, "send")
        for place, (channel, state) in enumerate(self.legs, 1):
            if self.at + place * self.delay > now:
                break
            found[channel] = state
        return found

    def state(self, now: float) -> str:
        return self.general(now)[0]

    def general(self, now: float) -> tuple[str, float]:
        """The state of the whole, and when it came to it."""
        reached = [
            (state, self.at + place * self.delay)
            for place, (_, state) in enumerate(self.legs, 1)
            if self.at + place * self.delay <= now
        ]
        # The last channel decides, unless one before has delivered; then there is none behind it.
        return reached[-1] if len(reached) == len(self.legs) and self.legs else ("send", self.at)


class _Result(msgspec.Struct):
    """What became of a recipient."""

    phone: str
    client_id: str
    message: _Cascade | None = None
    error: str = ""


class Smsgate(Vendor):
    """See the head of the module."""

    name = "smsgate"
    title = "smsgate cascade platform: GET, JSON, XML"
    doors = tuple(f"/smsgate{path}" for path in (GET, JSON, XML, XML_STATE))
    first_id = 1179038981
    course = (Step(0, "send"), Step(1, "deliver"))
    endings = (
        Ending(digits="0002", says="deliver ten delays later", steps=(Step(0, "send"), Step(10, "deliver"))),
        Ending(digits="0003", says="refused: the number is on the stop list", error=STOP_LIST),
        Ending(digits="0004", says="not_deliver by every channel", steps=(Step(1, "not_deliver"),)),
        Ending(digits="0005", says="expired by every channel", steps=(Step(1, "expired"),)),
        Ending(digits="0010", says="partly_deliver", steps=(Step(1, "partly_deliver"),)),
        Ending(digits="0013", says="stays at send", steps=(Step(0, "send"),)),
        Ending(digits="0016", says="refused: the direction is closed", error=CLOSED),
        Ending(digits="0031", says="the first channel does not deliver, the second does", steps=(Step(2, "deliver"),)),
        Ending(digits="0032", says="only the third channel delivers", steps=(Step(3, "deliver"),)),
        Ending(
            digits=UNREAD,
            says="Viber delivers and nobody reads it: with `finale_viber_read` the next channel delivers, too",
            steps=(Step(1, "deliver"),),
        ),
        *(
            Ending(digits=f"{100 + number:04}", says=f"the sentence: {text}", error=text)
            for number, text in enumerate(ERRORS, 1)
        ),
    )

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._by_client: dict[str, _Cascade] = {}
        #: Requests by GET → when they came.
        self._asked: dict[str, float] = {}
        #: phone → the last message to it.
        self._last: dict[str, str] = {}

    def purpose(self, asked: Asked) -> Purpose:
        if asked.path == GET:
            return Purpose.ASK if "id_message" in asked.pairs() else Purpose.SEND
        if asked.path == JSON:
            document = _json(asked.body)
            return Purpose.ASK if isinstance(document, dict) and "state" in document else Purpose.SEND
        if asked.path in (GET_BALANCE, JSON_BALANCE, XML_BALANCE):
            return Purpose.BALANCE
        return Purpose.ASK if asked.path == XML_STATE else Purpose.SEND

    def fields(self, asked: Asked) -> dict[str, str]:
        if asked.path == GET:
            return {name: value.decode("utf-8", "replace") for name, value in asked.pairs().items()}
        if asked.path == JSON:
            document = _json(asked.body)
            found = {"unreadable": "no JSON"} if document is None else dict(_leaves(document, ""))
        else:
            try:
                found = dict(_xml_leaves(read_xml(asked.body), ""))
            except Malformed as error:
                found = {"unreadable": str(error)}
        return found

    def answer(self, asked: Asked) -> Answer:
        match asked.method, asked.path:
            case "GET", path if path == GET:
                return self._get(asked)
            case "POST", path if path == JSON:
                return self._by_json(asked)
            case "POST", path if path in (XML, XML_STATE, XML_BALANCE):
                return self._by_xml(asked)
            case "GET", path if path == GET_BALANCE:
                return self._balance_by_get(asked)
            case "POST", path if path == JSON_BALANCE:
                return self._balance_by_json(asked)
        return Answer(status=405 if asked.path in (GET, GET_BALANCE, *_POSTED) else 404)

    # GET

    def _get(self, asked: Asked) -> Answer:
        if asked.url_length > LONGEST_URL:
            return _plain("error: URL", status=414)
        same = repr(sorted(asked.pairs().items()))
        before = self._asked.get(same)
        if before is not None and asked.now - before < self.settings.minute:
            return _plain(TOO_OFTEN)
        remember(self._asked, same, asked.now, self.settings.memory)
        try:
            fields = texts(asked.pairs(), "utf-8")
            self._admit(fields.get("login", ""), fields.get("password", ""), asked)
        except Malformed as error:
            return _plain(f"error: {error}")
        except _Whole as error:
            return _plain(str(error))
        if "id_message" in fields:
            self.counts.asked += 1
            message = self._known(fields["id_message"])
            return _plain(message.general(asked.now)[0] if message else UNKNOWN_ID)
        wanted = {name: value for name, value in fields.items() if name in FIELDS}
        if wanted.get("templateData") and not isinstance(_json(wanted["templateData"].encode()), dict):
            return _plain("Неправильный формат JSON документа")
        order = _Order(wanted, [(phone, "") for phone in fields.get("phone", "").split(",")])
        try:
            results = self._order(order, asked.now)
        except _Whole as error:
            return _plain(str(error))
        # What several numbers of which some are refused are answered with is not documented: the ids that there are.
        ids = ",".join(result.message.id for result in results if result.message)
        return _plain(ids or results[0].error)

    # JSON

    def _by_json(self, asked: Asked) -> Answer:
        try:
            document = self._document(asked)
            self._admit(document.get("login", ""), document.get("password", ""), asked)
            if "state" in document:
                ids = [str(item["id_message"]) for item in document["state"]]
                return _jsoned({"state": [self._state(id, asked.now) for id in ids]})
            # All of it is read before anything is sent.
            orders = [_json_order(item) for item in document["message"]]
            return _jsoned({"message": [self._json_message(order, asked.now) for order in orders]})
        except (Malformed, KeyError, TypeError, AttributeError):
            return _jsoned({"error": "Неправильный формат JSON документа"})
        except _Whole as error:
            return _jsoned({"error": str(error)})

    def _document(self, asked: Asked) -> dict[str, Any]:
        if not asked.body:
            raise _Whole(NO_BODY)
        if asked.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Malformed("content-type")
        document = _json(asked.body)
        if not isinstance(document, dict) or set(document) - {"login", "password", "message", "state"}:
            raise Malformed("unknown keys")
        return document

    def _json_message(self, order: _Order, now: float) -> object:
        try:
            return [_named(result, json_door=True) for result in self._order(order, now)]
        except _Whole as error:
            return {"error": str(error)}

    # XML

    def _by_xml(self, asked: Asked) -> Answer:
        root = etree.Element("response")
        try:
            request = self._request(asked)
            if asked.path == XML_BALANCE:
                etree.SubElement(root, "money", currency="RUR").text = self._money()
            elif asked.path == XML_STATE:
                for id in request.findall("state/id_message"):
                    told = self._state(id.text or "", asked.now)
                    etree.SubElement(root, "state", {k: v for k, v in told.items() if k != "state"}).text = told[
                        "state"
                    ]
            else:
                orders = [_xml_order(message) for message in request.findall("message")]
                for order in orders:
                    self._xml_message(order, etree.SubElement(root, "message"), asked.now)
        except Malformed:
            etree.SubElement(root, "error").text = "Неправильный формат XML документа"
        except _Whole as error:
            etree.SubElement(root, "error").text = str(error)
        return Answer(body=written(root).replace(b"?>\n", b"?>"), content_type="text/xml; charset=utf-8")

    def _request(self, asked: Asked) -> Any:
        if not asked.body:
            raise _Whole(NO_BODY)
        if asked.headers.get("content-type", "").partition(";")[0].strip() != "text/xml":
            raise Malformed("content-type")
        if b"\n" in asked.body or b"\r" in asked.body:
            raise Malformed("a line break")
        try:
            asked.body.decode()
        except UnicodeDecodeError:
            raise Malformed("not UTF-8") from None
        request = read_xml(asked.body)
        if request.tag != "request":
            raise Malformed("not a request")
        only(request, ("security", {XML: "message", XML_STATE: "state"}.get(asked.path, "security")))
        values = {}
        for element in request.findall("security/*"):
            only(element, (), ("value",))
            values[element.tag] = element.get("value", "")
        self._admit(values.get("login", ""), values.get("password", ""), asked)
        return request

    def _xml_message(self, order: _Order, answer: Any, now: float) -> None:
        try:
            results = self._order(order, now)
        except _Whole as error:
            etree.SubElement(answer, "error").text = str(error)
            return
        for result in results:
            told = _named(result, json_door=False)
            text = told.pop("error", "send")
            etree.SubElement(answer, "information", told).text = text

    # Balance

    def _balance_by_get(self, asked: Asked) -> Answer:
        fields = {name: value.decode("utf-8", "replace") for name, value in asked.pairs().items()}
        try:
            self._admit(fields.get("user", ""), fields.get("pwd", ""), asked)
        except _Whole as error:
            return _plain(str(error))
        # The rest of this page is for plain SMS, which are not played here.
        return _plain(f"{self._money()} RUR") if fields.get("balance") == "1" else Answer(status=404)

    def _balance_by_json(self, asked: Asked) -> Answer:
        document = _json(asked.body)
        if not isinstance(document, dict) or document.get("type") != "balance":
            return _jsoned({"error": "Неправильный формат JSON документа"})
        who = document.get("security")
        login, password = (who.get("login"), who.get("password")) if isinstance(who, dict) else ("", "")
        try:
            self._admit(login, password, asked)
        except _Whole as error:
            return _jsoned({"error": str(error)})
        return _jsoned({"money": {"currency": "RUR", "value": self._money()}, "sms": []})

    def _money(self) -> str:
        """One rouble a message, whatever it was: only that it becomes less is of interest."""
        return f"{1000 - self.counts.processed:.2f}"

    # What the doors have in common

    def _admit(self, login: object, password: object, asked: Asked) -> None:
        """Raises _Whole."""
        bearer = asked.headers.get("authorization", "")
        known = bearer == f"Bearer {PASSWORD}" if bearer else (login, password) == (LOGIN, PASSWORD)
        if not known:
            raise _Whole(LOGIN_WRONG)

    def _order(self, order: _Order, now: float) -> list[_Result]:
        """What becomes of each recipient. Raises _Whole where no recipient can get it."""
        if wrong := _wrong(order.fields):
            self.counts.refused += len(order.recipients)
            raise _Whole(wrong)
        if not order.recipients:
            raise _Whole(NO_PHONE)
        return [
            self._recipient(order.fields, phone, client_id, place, now)
            for place, (phone, client_id) in enumerate(order.recipients)
        ]

    def _recipient(self, fields: Mapping[str, str], phone: str, client_id: str, place: int, now: float) -> _Result:
        result = _Result(phone, client_id)
        if client_id and (before := self._by_client.get(client_id)) is not None:
            self.counts.repeated += 1
            result.message = before
            return result
        ending = self.ending(phone)
        result.error = _wrong_number(phone, client_id) or (ending.error if ending else "")
        if not result.error and self.spoiled(place):
            result.error = CLOSED
        if result.error and result.error != QUEUED:
            self.counts.refused += 1
            return result
        message = self._take(fields, phone, client_id, now)
        if not result.error:
            result.message = message
        return result

    def _take(self, fields: Mapping[str, str], phone: str, client_id: str, now: float) -> _Cascade:
        channels = _channels(fields)
        id = str(self.new_id())
        first = channels[0]
        text = fields.get(f"text_{first}", "") or fields.get("templateData", "")
        message = _Cascade(
            id=id,
            client_id=client_id,
            to=phone,
            source=fields.get(f"sender_{first}", ""),
            text=text,
            at=now,
            delay=self.settings.delay * (10 if phone.endswith("0002") else 1),
            steps=self.steps(phone),
            what="+".join(channels),
            parts=parts_of(text) if first == "sms" else 1,
            legs=self._legs(phone, channels, fields),
            ids={channel: str(self.new_id()) for channel in channels},
        )
        if client_id:
            remember(self._by_client, client_id, message, self.settings.memory)
        remember(self._last, phone, id, self.settings.memory)
        self.take(id, message)
        return message

    def _legs(self, phone: str, channels: list[str], fields: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """The channels that are tried, and what becomes of each."""
        if phone.endswith(UNREAD) and channels[0] == "viber" and fields.get("finale_viber_read") == "1":
            return tuple((channel, "deliver") for channel in channels[:2])
        last = self.steps(phone)[-1]
        if last.state == "send":
            return ()
        if last.state != "deliver":
            return tuple((channel, last.state) for channel in channels)
        delivers = int(last.after) if last.after < 10 else 1
        return tuple(
            (channel, "deliver" if place == delivers else "not_deliver")
            for place, channel in enumerate(channels[:delivers], 1)
        )

    def _known(self, id: str) -> _Cascade | None:
        message = self.messages.get(id)
        return message if isinstance(message, _Cascade) else None

    def _state(self, id: str, now: float) -> dict[str, str]:
        self.counts.asked += 1
        message = self._known(id)
        if message is None:
            return {"id_message": id, "time_change_state": "", "state": UNKNOWN_ID}
        state, since = message.general(now)
        states = message.states(now)
        told = {"id_message": id, "time_change_state": stamp(since), "state": state}
        told |= {f"state_{channel}": states[channel] for channel in ("sms", "viber", "vk")}
        tried = {
            channel for place, (channel, _) in enumerate(message.legs, 1) if message.at + place * message.delay <= now
        }
        told["num_parts_sms"] = str(message.parts) if "sms" in tried else "0"
        told |= {f"price_{name}": PRICES[name] if name in tried else "0" for name in ("sms", "viber", "vk")}
        if "whatsapp" in message.ids:
            told["state_whatsapp"] = states["whatsapp"]
            told["price_whatsapp"] = PRICES["whatsapp"] if "whatsapp" in tried else "0"
        return told

    def incoming(self, reply: Reply, now: float) -> Push:
        """To a number: an SMS (smsgate httpGateDoc). To the name of a sender: a reply in Viber (smsgate Notifications),
        POST JSON; what that is to be answered with is not documented."""
        if number_like(reply.destination):
            return pushed_sms(self.name, str(self.new_id()), reply, now)
        body = {
            "message_id": self._last.get(reply.source, str(self.new_id())),
            "channel": "viber",
            "timestamp": stamp(now),
            "recipient_response": {
                "recipient": {"phone": int(reply.source) if reply.source.isdigit() else reply.source},
                "from": reply.destination,
                "content": {"type": "text", "text": reply.text},
            },
        }
        return Push(
            vendor=self.name,
            what="message",
            ref=str(body["message_id"]),
            method="POST",
            body=json.dumps(body, ensure_ascii=False).encode(),
            content_type="application/json; charset=utf-8",
            taken=lambda status, _: status == 200,
        )


def _json_order(item: Any) -> _Order:
    """Raises Malformed, KeyError, TypeError or AttributeError."""
    if set(item) - {*FIELDS, "phones"}:
        raise Malformed("unknown keys")
    fields = {name: _as_text(value) for name, value in item.items() if name != "phones"}
    if any(set(one) - {"phone", "client_id_message"} for one in item["phones"]):
        raise Malformed("unknown keys")
    recipients = [
        (_as_text(one.get("phone", "")), _as_text(one.get("client_id_message", ""))) for one in item["phones"]
    ]
    return _Order(fields, recipients)


def _as_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)


def _xml_order(message: Any) -> _Order:
    """Raises Malformed."""
    only(message, (*FIELDS, "abonent"))
    fields = {}
    for element in message:
        if element.tag == "templateData":
            fields[element.tag] = json.dumps({child.tag: child.text for child in element}, ensure_ascii=False)
        elif element.tag != "abonent":
            only(element, ())
            # A line break in a text is written as a backslash and an n.
            fields[element.tag] = (element.text or "").replace("\\n", "\n")
    abonents = message.findall("abonent")
    for abonent in abonents:
        only(abonent, (), ("phone", "client_id_message"))
    return _Order(fields, [(one.get("phone", ""), one.get("client_id_message", "")) for one in abonents])


def _channels(fields: Mapping[str, str]) -> list[str]:
    """Those that are wanted, in the order of their numbers."""
    wanted = [channel for channel in CHANNELS if fields.get(f"send_{channel}", "0") not in ("", "0")]
    return sorted(wanted, key=lambda channel: fields[f"send_{channel}"])


def _wrong(fields: Mapping[str, str]) -> str:
    """What is wrong with an order, in the platform's words; empty: nothing."""
    for channel in CHANNELS:
        if not re.fullmatch(r"[0-9]?", fields.get(f"send_{channel}", "")):
            return f"Неправильное значение send_{channel}."
    channels = _channels(fields)
    if not channels:
        return "Не указан способ отправки."
    checks: tuple[tuple[str, Callable[[Mapping[str, str]], str]], ...] = (
        ("viber", _wrong_viber),
        ("sms", _wrong_sms),
        ("vk", lambda given: "" if given.get("templateId") and given.get("templateData") else NO_TEXT),
        ("whatsapp", lambda given: "" if given.get("text_whatsapp") and given.get("sender_whatsapp") else NO_TEXT),
    )
    for channel, check in checks:
        if channel in channels and (said := check(fields)):
            return said
    time_send = fields.get("time_send", "")
    if time_send and not re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", time_send):
        return "Неправильный формат time_send."
    return ""


def _wrong_viber(fields: Mapping[str, str]) -> str:
    if not fields.get("sender_viber"):
        return NO_SENDER
    if not fields.get("text_viber"):
        return NO_TEXT
    if len(fields["text_viber"]) > 1000:
        return "Текст VIBER сообщения не должен превышать 1000 символов."
    button, link = fields.get("button_text", ""), fields.get("button_url", "")
    if bool(button) != bool(link) or (fields.get("image_url") and not button):
        return NO_LINK
    if len(button) > 19:
        return "Текст кнопки не должен превышать 19 символов."
    if not re.fullmatch(r"[1-9][0-9]*|", fields.get("validity_period_viber", "")):
        return "Неправильное значение validity_period_viber."
    return "" if fields.get("finale_viber_read", "") in ("", "0", "1") else "Неправильное значение finale_viber_read."


def _wrong_sms(fields: Mapping[str, str]) -> str:
    if not fields.get("sender_sms"):
        return NO_SENDER
    if not sender_like(fields["sender_sms"]):
        return LONG_SENDER
    return "" if fields.get("text_sms") else NO_TEXT


def _wrong_number(phone: str, client_id: str) -> str:
    if not phone:
        return NO_PHONE
    if not number_like(phone, 1, 14):
        return LONG_PHONE
    return "" if not client_id or client_id.isdigit() else "Неправильное значение client_id_message."


def _named(result: _Result, *, json_door: bool) -> dict[str, str]:
    """What the answer says of a recipient; `error` is text in XML and a key in JSON."""
    told = {"client_id_message": result.client_id} if result.client_id else {}
    told["phone"] = result.phone
    message = result.message
    if message is None:
        return {**told, "error": result.error}
    told = {"id_message": message.id, **told}
    if json_door:
        told["count_message"] = str(message.parts)
    for channel in ("viber", "sms", "vk"):
        told[f"id_{channel}"] = message.ids.get(channel, "0")
    if "whatsapp" in message.ids:
        told["id_whatsapp"] = message.ids["whatsapp"]
    return told


def _json(body: bytes) -> Any:
    """The document; None: it is none."""
    try:
        return json.loads(body.decode())
    except ValueError:
        return None


def _leaves(value: object, name: str) -> Iterator[tuple[str, str]]:
    match value:
        case dict():
            for key, inner in value.items():
                yield from _leaves(inner, f"{name}.{key}" if name else str(key))
        case list():
            for place, inner in enumerate(value):
                yield from _leaves(inner, f"{name}[{place}]")
        case _:
            yield name, str(value)


def _xml_leaves(element: Any, name: str) -> Iterator[tuple[str, str]]:
    for place, child in enumerate(element):
        if isinstance(child.tag, str):
            inner = f"{name}{child.tag}[{place}]"
            for key, value in child.attrib.items():
                yield f"{inner}.{key}", value
            if (child.text or "").strip():
                yield inner, child.text
            yield from _xml_leaves(child, f"{inner}.")


def _plain(text: str, status: int = 200) -> Answer:
    return Answer(status=status, body=text.encode())


def _jsoned(document: object) -> Answer:
    body = json.dumps(document, ensure_ascii=False).encode()
    return Answer(body=body, content_type="application/json; charset=utf-8")
