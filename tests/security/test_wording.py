"""Whatever a client writes, a provider gets it as a value where a value belongs, and a client gets it as an echo."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from pdu import Alphabet, EsmClass, MessageState, Tag, decode, encode, gsm0338
from smppbridge.config import AccountConfig, Dialect, check
from smppbridge.delivery.data_sm import as_data_sm
from smppbridge.delivery.incoming import deliver_sms
from smppbridge.delivery.receipts import deliver_sm
from smppbridge.model import Call, HlrResult, Kind, Mail, Message, Notify, Receipt, Sms, Viber
from smppbridge.providers import reading
from smppbridge.providers.base import BadCallback, Callback
from smppbridge.providers.registry import adapter_class

from ..providers.conftest import COMMANDS, make
from ..providers.test_contract import CASES, SECRET, provider_of

#: What means something in a URL, a form, JSON, XML, a header, SQL, a template or a receipt.
MEANING = [
    "\r\nX-Injected: yes\r\n\r\nGET / HTTP/1.1\r\n", "&psw=x&to=1", "?a=b#c", "../../etc/passwd", "%0d%0a%00%2e%2e",
    '","to":"1","x":"', "\\", "</text><to>1</to><!--", "]]>", "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///x'>]>&b;",
    "'; DROP TABLE messages; --", "{{ secret.token }}", "${HOME}", "{text}", "%(id)s", "@example.com/", "\x00",
    "\x1b[2J", "\u202e", "\u2028", "id:1 stat:DELIVRD err:000 ", "\nid:1 stat:DELIVRD", "text:", "😀", ":", "/",
    "//evil.example/",
]  # fmt: skip
HOSTILE = st.lists(st.sampled_from(MEANING) | st.text(max_size=10), max_size=6).map("".join)
PRINTABLE = st.text(st.characters(min_codepoint=1, max_codepoint=127), max_size=20)


def hostile(kind: Kind, text: str) -> Any:
    """The command of a kind with `text` in every place that a client fills in."""
    command = COMMANDS[kind]
    fields = {name: text for name, value in msgspec.structs.asdict(command).items() if isinstance(value, str)}
    if isinstance(command, Mail):
        fields["to"] = "somebody@example.com"
    return msgspec.structs.replace(command, **fields)


def keys(document: Any) -> Any:
    """The names in it, and how they stand in each other."""
    if isinstance(document, dict):
        return {name: keys(value) for name, value in document.items()}
    return [keys(value) for value in document] if isinstance(document, list) else None


def form(request: Any) -> Any:
    """All of a request that is not a value: what an injection would change."""
    body = request.content
    if body.lstrip().startswith(b"<"):
        root = etree.fromstring(body, etree.XMLParser(resolve_entities=False))
        inner: Any = [(element.tag, sorted(map(str, element.attrib))) for element in root.iter()]
    elif body[:1] in (b"{", b"["):
        inner = keys(json.loads(body))
    else:
        inner = [name for name, _ in parse_qsl(body.decode(), keep_blank_values=True)]
    url = request.url
    query = [name for name, _ in parse_qsl(url.query.decode(), keep_blank_values=True)]
    return request.method, url.scheme, url.netloc, url.raw_path.partition(b"?")[0].count(b"/"), query, inner


def plain(text: str) -> str:
    """A text of the same length and alphabet, so that an adapter takes the same way with it."""
    return "".join(letter if letter.isspace() else "a" if gsm0338.fits(letter) else "я" for letter in text)


@pytest.mark.parametrize("name", sorted(CASES))
@given(text=HOSTILE, source=PRINTABLE, data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_value_of_a_client_never_becomes_a_part_of_the_request(name: str, text: str, source: str, data: Any) -> None:
    provider = provider_of(name)
    kind = data.draw(st.sampled_from(sorted(provider.kinds)))
    message = make(7, hostile(kind, text), source=source)
    if provider.objection(message) is not None:
        return
    request = provider.send([message])
    for header, value in request.headers.raw:
        assert not set(b"\r\n\0") & set(header + value)
    assert not set(b" \r\n\0#") & set(request.url.raw_path)
    path = unquote(request.url.raw_path.partition(b"?")[0].decode())
    assert {".", ".."}.isdisjoint(re.split(r"[/\\]", path))
    harmless = make(7, hostile(kind, plain(text)), source=source)
    if provider.objection(harmless) is None:
        told, meant = form(request), form(provider.send([harmless]))
        # A field that is empty may be left out; nothing may be there that was not.
        assert told[:4] == meant[:4]
        assert set(map(str, told[4])) <= set(map(str, meant[4])) | {"x"}
        if isinstance(told[5], list):
            assert set(map(str, told[5])) <= set(map(str, meant[5]))
        else:
            assert told[5] == meant[5]


# Receipts ------------------------------------------------------------------------------------------------------------

ACCOUNT = AccountConfig(allowed_networks=(), password="x")  # type: ignore[call-arg]


def receipt(message: Message, **fields: Any) -> Receipt:
    told: dict[str, Any] = {
        "message": message,
        "state": MessageState.UNDELIVERABLE,
        "err": 1,
        "done_at": 1,
        "channel": Notify.SMPP,
    }
    known = {field.name for field in msgspec.structs.fields(Receipt)}
    more = {field.name: 1 for field in msgspec.structs.fields(Receipt) if field.required and field.name not in told}
    return Receipt(**{name: value for name, value in {**more, **told, **fields}.items() if name in known})


def line(one: Receipt, account: AccountConfig = ACCOUNT) -> str:
    pdu = deliver_sm(one, 4711, account, 0x34)
    return (pdu.short_message or pdu.option(Tag.MESSAGE_PAYLOAD)).decode("ascii")


@given(text=HOSTILE, source=PRINTABLE)
def test_a_text_makes_no_other_receipt_of_its_own(text: str, source: str) -> None:
    for command in (Sms(text=text), Viber(text=text), Call(text=text), Mail(text=text, to="a@b", subject=text)):
        told = line(receipt(make(7, command, source=source)))
        assert "\n" not in told
        assert "\r" not in told
        assert told.isprintable()
        # As clients read it: the first that fits.
        assert re.findall(r"\bid:(\S+)", told)[0] == "4711"
        assert re.findall(r"\bstat:(\w+)", told)[0] == "UNDELIV"
        assert re.findall(r"\berr:(\w+)", told)[0] == "001"


@given(st.builds(HlrResult, **dict.fromkeys(("imsi", "msc", "mcc", "mnc", "cn", "net", "rcn", "rnet"), HOSTILE)))
def test_a_name_of_a_network_makes_no_other_receipt(found: HlrResult) -> None:
    told = line(receipt(make(7, COMMANDS[Kind.HLR]), hlr=found))
    names = [word.partition(":")[0] for word in told.split(" ")]
    assert names == ["id", "stat", "err", "imsi", "msc", "mcc", "mnc", "cn", "net", "rcn", "rnet"]
    assert all(word.count(":") == 1 for word in told.split(" "))
    assert told.isprintable()
    assert told.startswith("id:4711 stat:UNDELIV err:001 ")


@given(text=HOSTILE, source=PRINTABLE, cost=HOSTILE.map(reading.cost))
def test_a_layout_of_an_operator_is_filled_in_once(text: str, source: str, cost: str) -> None:
    layout = "id:{id} stat:{stat} from:{source} cost:{cost} %(id)s text:{text}"
    account = ACCOUNT.model_copy(update={"dialect": Dialect(receipt_text=layout)})
    message = make(7, Sms(text=text), source=source)
    message = msgspec.structs.replace(message, progress=msgspec.structs.replace(message.progress, cost=cost))
    told = line(receipt(message), account)
    assert told.isprintable()
    assert told.startswith("id:4711 stat:UNDELIV from:")


@pytest.mark.parametrize(
    ("layout", "warned"),
    [
        ("{text} id:{id} stat:{stat}", True),
        ("id:{id} to:{destination} stat:{state}", True),
        ("id:{id} stat:{stat} from:{source} err:{err}", True),
        ("id:{id} stat:{stat} {text}", False),
        ("id:{id} stat:{stat} err:{err} {text}", False),
    ],
)
def test_a_layout_in_which_a_text_may_look_like_a_state_is_told_of(tmp_path: Any, layout: str, warned: bool) -> None:
    path = tmp_path / "smppbridge.toml"
    path.write_text(
        '[accounts.demo]\npassword = "demo"\nallowed_networks = ["127.0.0.0/8"]\n'
        f'dialect = {{ receipt_text = "{layout}" }}\n'
        '[providers.sandbox]\nadapter = "sandbox"\n[[routes]]\nproviders = ["sandbox"]\n'
    )
    path.chmod(0o600)
    checked = check(path, adapter_class)
    assert checked.mistakes == ()
    assert any("may look like them" in str(one) for one in checked.warnings) == warned


# Messages of subscribers ---------------------------------------------------------------------------------------------


def queried(**fields: str) -> Callback:
    return Callback(method="GET", path="", query=urlencode(fields).encode(), headers={}, body=b"", peer="")


def posted(document: Any) -> Callback:
    body = json.dumps(document).encode()
    signature = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return Callback(method="POST", path="", query=b"", headers={"x-signature": signature}, body=body, peer="")


def noticed(number: str, text: str) -> Callback:
    parts = [reading.element("msisdn", number), reading.element("response_message", text)]
    body = b"<response>" + b"".join(map(etree.tostring, parts)) + b"</response>"
    return Callback(method="POST", path="", query=b"", headers={}, body=body, peer="")


#: The callback by which each provider brings a text from a number to a number, with an id.
BROUGHT: dict[str, Callable[[str, str, str, str], Callback]] = {
    "http": lambda id, source, to, text: posted({"results": [{"id": id, "from": source, "to": to, "text": text}]}),
    "iba": lambda id, source, to, text: queried(smsid="1", sender=source, receiver=to, text=text, prefix=id),
    "naimar": lambda id, source, to, text: queried(id="1", msisdn=source, source=to, text=text),
    "omnicell": lambda id, source, to, text: noticed(source, text),
    "skeleton": lambda id, source, to, text: posted({"inbound": [{"id": id, "from": source, "to": to, "text": text}]}),
    "smsc": lambda id, source, to, text: Callback(
        method="POST", path="", query=b"", headers={}, peer="",
        body=urlencode({"id": id, "phone": source, "to": to, "mes": text}).encode(),
    ),
    "smsgate": lambda id, source, to, text: queried(smsid="1", sender=source, receiver=to, text=text, prefix=id),
    "smsgate-json": lambda id, source, to, text: posted(
        {
            "message_id": id,
            "recipient_response": {"recipient": {"phone": source}, "from": to, "content": {"text": text}},
        }
    ),
}  # fmt: skip
RECEIPT = "id:4711 sub:001 dlvrd:001 submit date:2701010000 done date:2701010000 stat:DELIVRD err:000 text:"
#: The second is a user data header, and a receipt behind it.
RECEIPTS = st.sampled_from([RECEIPT, f"\x05\0\3x\2\1{RECEIPT}"])
ODD = st.sampled_from(
    ["79261234567", "+7\x009", "\0", "\x1b[2J", "a\r\nb", "id:1 stat:DELIVRD", "\u0661", "😀", "7" * 300]
)


@pytest.mark.parametrize("name", sorted(BROUGHT))
@given(id=ODD, source=ODD, to=ODD, text=RECEIPTS | HOSTILE, data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_message_of_a_subscriber_is_never_taken_for_a_receipt(
    name: str, id: str, source: str, to: str, text: str, data: Any
) -> None:
    try:
        reply = provider_of(name.removesuffix("-json")).callback(BROUGHT[name](id, source, to, text), 1)
    except BadCallback:
        return
    account = ACCOUNT.model_copy(
        update={"incoming_long": data.draw(st.sampled_from(["parts", "sar", "payload"])), "vendor_tlvs": True}
    )
    for incoming in reply.incoming:
        for said in (incoming.ref, incoming.source, incoming.destination, incoming.prefix, incoming.reply_to):
            assert not set(said) & {"\0", "\r", "\n", "\x1b"}
        for version in (0x33, 0x34):
            for pdu in deliver_sms(incoming, 1, account, Alphabet.GSM, version):
                # SMPP 3.4 §5.2.12: bits 2 to 5 say that it is a receipt of some kind.
                assert not pdu.esm_class & ~EsmClass.UDHI
                for told in (pdu, as_data_sm(pdu)):
                    assert told.tlv(Tag.RECEIPTED_MESSAGE_ID) is None
                    assert told.tlv(Tag.MESSAGE_STATE) is None
                    assert decode(encode(told)).source_addr.isprintable()


@pytest.mark.parametrize("name", sorted(BROUGHT))
def test_an_ordinary_message_of_a_subscriber_is_brought(name: str) -> None:
    """Or the one above would look at nothing."""
    callback = BROUGHT[name]("1", "79261234567", "4711", "id:1 stat:DELIVRD")
    (incoming,) = provider_of(name.removesuffix("-json")).callback(callback, 1).incoming
    assert (incoming.source, incoming.text) == ("79261234567", "id:1 stat:DELIVRD")
