"""Every convention travels to a provider and back, in every form its octets arrive in."""

import re

import pytest

from pdu import CommandStatus, Tag, gsm0338, tlv
from smppbridge.model import (
    Bot,
    Call,
    Hlr,
    Mail,
    Ping,
    Sms,
    Social,
    TelegramCode,
    Viber,
)

CONVENTIONS = [
    ("Hello", Sms(text="Hello")),
    ("Hello\n~~~\norder 4711", Sms(text="Hello", comment="order 4711")),
    ("__VIBER__: Hello [you] {there}", Viber(text="Hello [you] {there}")),
    ("__MAIL__: Good day\nsubj:News\nto:a_b@example.com", Mail(text="Good day", subject="News", to="a_b@example.com")),
    (
        "__CALL__: Code 1 2\nvoice:w2\n~~~\nparam:25,60,3",
        Call(text="Code 1 2", voice="w2", wait=25, interval=60, attempts=3),
    ),
    ("__SOC__: Hello", Social(text="Hello")),
    ("__TGM__: 123456", TelegramCode(code="123456")),
    ("__BOT__: Hello\nbot:@my_bot", Bot(text="Hello", bot="@my_bot")),
    ("__HLR__", Hlr()),
    ("__PING__", Ping()),
]

#: How the same text looks on the wire: octets and data_coding.
FORMS = {
    "GSM 03.38": lambda text: (gsm0338.encode(text), 0),
    "raw ASCII as data_coding 0": lambda text: (text.encode("ascii"), 0),
    "8-bit": lambda text: (text.encode("latin-1"), 4),
    "UCS2": lambda text: (text.encode("utf-16-be"), 8),
}


@pytest.mark.journey
@pytest.mark.parametrize("form", FORMS)
def test_every_convention_reaches_the_provider_and_is_delivered(start, connect, form):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    sent = {}
    for number, (text, command) in enumerate(CONVENTIONS):
        data, coding = FORMS[form](text)
        answer = esme.submit(data, to=f"7999123450{number}", data_coding=coding, source_addr=f"S{number}")
        assert answer.command_status == CommandStatus.ESME_ROK, (text, answer.option(Tag.ADDITIONAL_STATUS_INFO_TEXT))
        sent[answer.message_id] = command
    receipts = esme.receipts(len(sent))
    assert receipts.keys() == sent.keys()
    assert {re.search(r"stat:(\w+)", line)[1] for line in receipts.values()} == {"DELIVRD"}
    for id, command in sent.items():
        kept = gateway.call(gateway.gateway.store.find(int(id)))
        assert kept.command == command


@pytest.mark.journey
def test_system_type_iso_makes_data_coding_0_iso_8859_1(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind(system_type="ISO")
    answer = esme.submit("Grüße [für] dich".encode("latin-1"))
    assert gateway.call(gateway.gateway.store.find(int(answer.message_id))).command == Sms(text="Grüße [für] dich")


@pytest.mark.journey
def test_the_whole_text_may_come_as_message_payload(start, connect):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    payload = tlv(Tag.MESSAGE_PAYLOAD, "__VIBER__: Привет".encode("utf-16-be"))
    answer = esme.submit(b"", data_coding=8, tlvs=[payload])
    assert gateway.call(gateway.gateway.store.find(int(answer.message_id))).command == Viber(text="Привет")
    assert "stat:DELIVRD" in esme.receipts(1)[answer.message_id]


@pytest.mark.journey
def test_an_hlr_receipt_has_the_documented_form(start, connect):
    esme = connect(start())
    esme.bind()
    answer = esme.submit("__HLR__")
    line = esme.receipts(1)[answer.message_id]
    found = re.match(
        r"^id:(\d+) stat:(\w+) err:(\d+) imsi:(\d*) msc:(\d*) mcc:(\d*) mnc:(\d*) "
        r"cn:([^ ]*) net:([^ ]*) rcn:([^ ]*) rnet:([^ ]*)",
        line,
    )
    assert found
    assert found[1] == answer.message_id
    assert found[4]
    assert found[6] == "250"


@pytest.mark.journey
@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("__TGM__: 12a4", CommandStatus.ESME_RSUBMITFAIL),
        ("__MAIL__: text\nsubj:s", CommandStatus.ESME_RINVDSTADR),
        ("__BOT__: text", CommandStatus.ESME_RSUBMITFAIL),
    ],
)
def test_a_malformed_command_is_refused_with_a_reason_and_leaves_nothing(start, connect, text, status):
    gateway = start()
    esme = connect(gateway)
    esme.bind()
    answer = esme.submit(text)
    assert answer.command_status == status
    assert answer.option(Tag.ADDITIONAL_STATUS_INFO_TEXT)
    assert gateway.call(gateway.gateway.store.last_id()) == 0


@pytest.mark.journey
def test_conventions_can_be_switched_off(start, connect):
    gateway = start(**{'password = "demo"': 'password = "demo"\nconventions = false'})
    esme = connect(gateway)
    esme.bind()
    answer = esme.submit("__VIBER__: Hello")
    kept = gateway.call(gateway.gateway.store.find(int(answer.message_id)))
    assert isinstance(kept.command, Sms)
