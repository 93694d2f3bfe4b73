"""How the platform is talked to: JSON, XML or GET. What is said is the same (`wording`), what is answered too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import urlencode

import httpx
import msgspec
from lxml import etree

from ...model import Message
from .. import reading
from ..base import Outcome, Sent, fixed
from .answers import Answer, Item, failed, is_state, ours, outcomes
from .settings import SmsgateSettings
from .wording import Group, Value, grouped, phone

#: The platform advises against longer addresses.
MAX_URL = 2000


class Door(Protocol):
    """One way in. `sent` gives the outcomes by `Message.id`, `states` the items by the platform's id."""

    def send(self, messages: Sequence[Message]) -> httpx.Request: ...

    def sent(self, messages: Sequence[Message], response: httpx.Response) -> Mapping[int, Outcome]: ...

    def ask(self, ids: Sequence[str]) -> httpx.Request: ...

    def states(self, ids: Sequence[str], response: httpx.Response) -> Mapping[str, Item]: ...

    def balance(self) -> httpx.Request: ...

    def balance_told(self, response: httpx.Response) -> str:
        """Empty where the answer tells none."""
        ...

    def error(self, response: httpx.Response) -> str:
        """That of the whole request; empty: none that can be read."""
        ...


class Json:
    """smsgate CascadingDoc, JSON: `sendmessagejson.php`."""

    def __init__(self, settings: SmsgateSettings) -> None:
        self._settings = settings

    def send(self, messages: Sequence[Message]) -> httpx.Request:
        told = [
            {**group.fields, "phones": [_recipient(message) for message in group.messages]}
            for group in grouped(messages, self._settings)
        ]
        return self._post("sendmessagejson.php", {**_who(self._settings), "message": told})

    def sent(self, messages: Sequence[Message], response: httpx.Response) -> Mapping[int, Outcome]:
        return _sent(messages, self._settings, _json_answer(reading.json(response)), response)

    def ask(self, ids: Sequence[str]) -> httpx.Request:
        told = [{"id_message": id} for id in ids]
        return self._post("sendmessagejson.php", {**_who(self._settings), "state": told})

    def states(self, ids: Sequence[str], response: httpx.Response) -> Mapping[str, Item]:
        answer = reading.json(response)
        return _by_id(_dicts(answer.get("state")) if isinstance(answer, dict) else ())

    def balance(self) -> httpx.Request:
        # smsgate jsonGateDoc: what is not of the cascade has its login in an object.
        who = _who(self._settings)
        return self._post("sendsmsjson.php", {**({"security": who} if who else {}), "type": "balance"})

    def balance_told(self, response: httpx.Response) -> str:
        match reading.json(response):
            case {"money": {"value": str() | int() | float() as value, **rest}}:
                return f"{value} {reading.text(rest.get('currency'))}".strip()
        return ""

    def error(self, response: httpx.Response) -> str:
        answer = _json_answer(reading.json(response))
        return answer.error if answer else ""

    def _post(self, page: str, body: Mapping[str, Any]) -> httpx.Request:
        headers = {"content-type": "application/json; charset=utf-8", **_bearer(self._settings)}
        content = msgspec.json.encode(body)
        return httpx.Request("POST", fixed(f"{self._settings.base_url}{page}"), content=content, headers=headers)


class Xml:
    """smsgate CascadingDoc, XML: `xml/message.php` and `xml/state_message.php`. A document has no line breaks, those in
    texts are written as a backslash and an n."""

    def __init__(self, settings: SmsgateSettings) -> None:
        self._settings = settings

    def send(self, messages: Sequence[Message]) -> httpx.Request:
        return self._post("message.php", map(_xml_message, grouped(messages, self._settings)))

    def sent(self, messages: Sequence[Message], response: httpx.Response) -> Mapping[int, Outcome]:
        return _sent(messages, self._settings, _xml_answer(reading.xml(response.content)), response)

    def ask(self, ids: Sequence[str]) -> httpx.Request:
        state = etree.Element("state")
        state.extend([reading.element("id_message", id) for id in ids])
        return self._post("state_message.php", [state])

    def states(self, ids: Sequence[str], response: httpx.Response) -> Mapping[str, Item]:
        root = reading.xml(response.content)
        return _by_id({**reading.attributes(one), "state": one.text or ""} for one in _children(root, "state"))

    def balance(self) -> httpx.Request:
        return self._post("balance.php", [])

    def balance_told(self, response: httpx.Response) -> str:
        for money in _children(reading.xml(response.content), "money"):
            return f"{money.text or ''} {money.get('currency', '')}".strip()
        return ""

    def error(self, response: httpx.Response) -> str:
        answer = _xml_answer(reading.xml(response.content))
        return answer.error if answer else ""

    def _post(self, page: str, elements: Iterable[etree._Element]) -> httpx.Request:
        root = etree.Element("request")
        if who := _who(self._settings):
            security = etree.SubElement(root, "security")
            security.extend([reading.element(name, value=value) for name, value in who.items()])
        root.extend(list(elements))
        content = f'<?xml version="1.0" encoding="utf-8" ?>{etree.tostring(root, encoding="unicode")}'.encode()
        headers = {"content-type": "text/xml; charset=utf-8", **_bearer(self._settings)}
        return httpx.Request("POST", fixed(f"{self._settings.base_url}xml/{page}"), content=content, headers=headers)


class Get:
    """smsgate CascadingDoc, GET: `sendmessage.php`, one recipient a request. With several, an answer does not say which
    of them has been refused.

    A message whose address would be too long goes by the JSON door, which is the same platform with the same ids.
    """

    def __init__(self, settings: SmsgateSettings) -> None:
        self._settings = settings
        self._longer = Json(settings)

    def send(self, messages: Sequence[Message]) -> httpx.Request:
        request = self._short(messages[0])
        return self._longer.send(messages) if _too_long(request) else request

    def sent(self, messages: Sequence[Message], response: httpx.Response) -> Mapping[int, Outcome]:
        if _too_long(self._short(messages[0])):
            return self._longer.sent(messages, response)
        said = _plain(response)
        return {message.id: _plainly(said, message, response) for message in messages}

    def ask(self, ids: Sequence[str]) -> httpx.Request:
        return self._get("sendmessage.php", **_who(self._settings), id_message=ids[0])

    def states(self, ids: Sequence[str], response: httpx.Response) -> Mapping[str, Item]:
        # An error of the question, such as that it was asked less than a minute ago, tells nothing of the message.
        said = _plain(response)
        return {ids[0]: {"state": said}} if is_state(said) else {}

    def balance(self) -> httpx.Request:
        # smsgate httpGateDoc: what is not of the cascade has other names for the login.
        who = dict(zip(("user", "pwd"), _who(self._settings).values(), strict=False))
        return self._get("sendsms.php", **who, balance="1")

    def balance_told(self, response: httpx.Response) -> str:
        found = re.match(r"[0-9]+(\.[0-9]+)? [A-Z]{3}\b", _plain(response), re.ASCII)
        return found[0] if found else ""

    def error(self, response: httpx.Response) -> str:
        return _plain(response)

    def _short(self, message: Message) -> httpx.Request:
        (group,) = grouped([message], self._settings)
        told = {name: _in_query(group.fields[name]) for name in _GET_ORDER if name in group.fields}
        return self._get("sendmessage.php", **_who(self._settings), phone=phone(message), **told)

    def _get(self, page: str, **query: str) -> httpx.Request:
        url = f"{self._settings.base_url}{page}?{urlencode(query, errors='replace')}"
        return httpx.Request("GET", url, headers=_bearer(self._settings))


#: What the GET door takes, in the order of its documentation; WhatsApp is younger.
_GET_ORDER = (
    "send_viber", "sender_viber", "text_viber", "button_text", "button_url", "image_url",
    "send_sms", "sender_sms", "text_sms", "validity_period_viber", "finale_viber_read",
    "send_vk", "templateId", "templateData",
    "send_whatsapp", "sender_whatsapp", "text_whatsapp", "image_url_whatsapp", "validity_period_whatsapp",
)  # fmt: skip


# What they have in common --------------------------------------------------------------------------------------------


def _who(settings: SmsgateSettings) -> dict[str, str]:
    """Login and password; nothing where a token stands for them."""
    if settings.token.get_secret_value():
        return {}
    return {"login": settings.login, "password": settings.password.get_secret_value()}


def _bearer(settings: SmsgateSettings) -> dict[str, str]:
    token = settings.token.get_secret_value()
    return {"authorization": f"Bearer {token}"} if token else {}


def _recipient(message: Message) -> dict[str, str]:
    return {"phone": phone(message), "client_id_message": ours(message)}


def _sent(
    messages: Sequence[Message], settings: SmsgateSettings, answer: Answer | None, response: httpx.Response
) -> Mapping[int, Outcome]:
    if answer is None:
        return {message.id: reading.by_status(response) for message in messages}
    return outcomes(grouped(messages, settings), answer, response)


def _by_id(items: Iterable[Item]) -> dict[str, Item]:
    return {reading.text(item.get("id_message")): item for item in items}


# JSON ----------------------------------------------------------------------------------------------------------------


def _json_answer(body: Any) -> Answer | None:
    if not isinstance(body, dict):
        return None
    if error := reading.text(body.get("error")):
        return Answer(error=error)
    messages = body.get("message")
    return Answer(messages=[_json_message(told) for told in messages]) if isinstance(messages, list) else None


def _json_message(told: Any) -> str | Sequence[Item]:
    if isinstance(told, dict) and (error := reading.text(told.get("error"))) and "client_id_message" not in told:
        return error
    return _dicts(told if isinstance(told, list) else [told])


def _dicts(found: Any) -> Sequence[Item]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


# XML -----------------------------------------------------------------------------------------------------------------


def _xml_message(group: Group) -> etree._Element:
    made = etree.Element("message")
    made.extend([_xml_field(name, value) for name, value in group.fields.items()])
    made.extend([reading.element("abonent", **_recipient(message)) for message in group.messages])
    return made


def _xml_field(name: str, value: Value) -> etree._Element:
    if isinstance(value, str):
        return reading.element(name, re.sub(r"\r\n|\r|\n", r"\\n", value))
    made = etree.Element(name)
    made.extend([_xml_field(child, text) for child, text in value.items()])
    return made


def _xml_answer(root: etree._Element | None) -> Answer | None:
    if root is None or root.tag != "response":
        return None
    if error := _text(root.find("error")):
        return Answer(error=error)
    messages = root.findall("message")
    return Answer(messages=[_xml_told(message) for message in messages]) if messages else None


def _xml_told(message: etree._Element) -> str | Sequence[Item]:
    return _text(message.find("error")) or [_information(one) for one in message.findall("information")]


def _information(one: etree._Element) -> Item:
    """Its text is a state, or an error."""
    said = _text(one)
    return {**reading.attributes(one), "error": "" if is_state(said) else said}


def _children(root: etree._Element | None, name: str) -> Sequence[etree._Element]:
    return [] if root is None else root.findall(name)


def _text(one: etree._Element | None) -> str:
    return "" if one is None else (one.text or "").strip()


# GET -----------------------------------------------------------------------------------------------------------------


def _in_query(value: Value) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _plainly(said: str, message: Message, response: httpx.Response) -> Outcome:
    """An id, or the text of an error."""
    if response.is_success and re.fullmatch(r"[1-9][0-9]*", said, re.ASCII):
        return Sent(ref=said)
    return failed(said, message, response, reference="") if said else reading.by_status(response)


def _too_long(request: httpx.Request) -> bool:
    return len(str(request.url)) > MAX_URL


def _plain(response: httpx.Response) -> str:
    return response.content.decode("utf-8", "replace").removeprefix("\ufeff").strip()
