"""What holds for every vendor: it reads whatever it is sent, and what it tells stands in its own table."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smppbridge.simulator import infobip, naimar, omnicell, smsc, smsgate
from smppbridge.simulator.server import VENDORS
from smppbridge.simulator.vendor import Answer, Asked, Reply, Settings, Vendor

from .conftest import NOON

SID = "AC" + "0" * 32
PATHS = [
    *(f"{smsc.ROOT}{page}.php" for page in ("send", "status", "balance")),
    *(omnicell.SEND, omnicell.ASK),
    *(smsgate.GET, smsgate.JSON, smsgate.XML, smsgate.XML_STATE),
    *(smsgate.GET_BALANCE, smsgate.JSON_BALANCE, smsgate.XML_BALANCE),
    "/sendsms.php",
    *(naimar.BILLED, naimar.PLAIN, naimar.GET),
    f"/2010-04-01/Accounts/{SID}/Messages.json",
    *(infobip.SEND, infobip.LOGS),
    "/nowhere",
]
TYPES = ["application/x-www-form-urlencoded", "application/json", "text/xml", ""]
AUTHORIZATIONS = [
    f"Basic {base64.b64encode(b'demo:demo').decode()}",
    f"Basic {base64.b64encode(f'{SID}:demo'.encode()).decode()}",
    "App demo",
    "Bearer demo",
    "",
]
#: Names that lead past the first check, and some that lead nowhere.
NAMES = [
    *("login", "psw", "user", "pwd", "username", "password", "apikey", "phones", "phone", "mes", "id", "fmt", "cost"),
    *("sender", "valid", "list", "sadr", "dadr", "text", "smsid", "balance", "msisdn", "id_message", "send_viber"),
    *("send_sms", "text_viber", "sender_sms", "text_sms", "templateData", "message", "state", "security", "type"),
    *("messages", "destinations", "to", "content", "From", "To", "Body", "messageId", "x"),
]

values = st.one_of(
    st.sampled_from(["demo", "1", "0", "79991234567", "380631111111", "Hello", "1,2", ",", "", "3", "balance"]),
    st.text(max_size=20),
)
documents = st.recursive(
    st.one_of(values, st.integers(), st.none(), st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=5)),
    max_leaves=20,
)
#: Elements, attributes and text in any order; about as often well-formed as not.
TAGS = ["message", "service", "to", "body", "request", "security", "login", "sms", "recipients", "recipient", "abonent"]
elements = st.recursive(
    st.sampled_from(["", "demo", "79991234567", "status", "&lt;", "\n"]),
    lambda inner: st.builds(
        lambda tag, name, value, parts: f'<{tag} {name}="{value}">{"".join(parts)}</{tag}>',
        st.sampled_from([*TAGS, "id", "text", "username", "password", "state"]),
        st.sampled_from(["id", "value", "phone", "source", "type", "content-type"]),
        st.sampled_from(["demo", "single", "bulk", "individual", "SMS", "text/plain", "1"]),
        st.lists(inner, max_size=4),
    ),
    max_leaves=20,
)
pairs = st.lists(st.tuples(st.sampled_from(NAMES), values), max_size=8).map(
    lambda found: "&".join(f"{name}={quote(value)}" for name, value in found).encode()
)
bodies = st.one_of(
    st.binary(max_size=50),
    pairs,
    documents.map(lambda document: json.dumps(document).encode()),
    elements.map(str.encode),
)
requests = st.builds(
    lambda method, path, query, body, kind, who: Asked(
        method=method,
        path=path,
        now=NOON,
        query=query,
        body=body,
        headers={"content-type": kind, "authorization": who},
    ),
    st.sampled_from(["GET", "POST", "PUT"]),
    st.sampled_from(PATHS),
    st.one_of(pairs, st.binary(max_size=30)),
    bodies,
    st.sampled_from(TYPES),
    st.sampled_from(AUTHORIZATIONS),
)


@pytest.mark.parametrize("kind", VENDORS, ids=[kind.name for kind in VENDORS])
@given(asked=requests)
def test_whatever_is_sent_is_answered(kind: type[Vendor], asked: Asked) -> None:
    vendor = kind(Settings())
    vendor.purpose(asked)
    assert all(isinstance(text, str) for text in vendor.fields(asked).values())
    answer = vendor.answer(asked)
    assert isinstance(answer, Answer)
    assert 200 <= answer.status < 600
    assert isinstance(answer.body, bytes)
    assert vendor.counts.processed == len(vendor.messages)


@pytest.mark.parametrize("kind", VENDORS, ids=[kind.name for kind in VENDORS])
def test_endings_are_four_digits_and_their_own(kind: type[Vendor]) -> None:
    digits = [ending.digits for ending in kind.endings]
    assert len(set(digits)) == len(digits)
    assert all(len(one) == 4 and one.isdigit() for one in digits)
    # What is said of it is said in one line of a table.
    assert not any("|" in ending.says or "\n" in ending.says for ending in kind.endings)


@pytest.mark.parametrize("kind", VENDORS, ids=[kind.name for kind in VENDORS])
@given(text=st.text(max_size=50), source=st.text(max_size=20))
def test_whatever_a_subscriber_writes_is_pushed(kind: type[Vendor], text: str, source: str) -> None:
    push = kind(Settings()).incoming(Reply(source=source, destination="7401", text=text), NOON)
    assert push is not None
    assert push.what == "message"
