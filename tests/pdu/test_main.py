"""`python -m pdu`: what stands where, and what is wrong with it."""

from __future__ import annotations

import io
import re
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pdu import (
    BindTransmitter,
    BodyError,
    CommandId,
    DeliverSm,
    DistributionList,
    EnquireLink,
    Pdu,
    SmeAddress,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
    SubmitSmResp,
    Tag,
    Tlv,
    UnsuccessSme,
    decode,
    encode,
    tlv,
)
from pdu.__main__ import main
from pdu.dump import rows

SUBMIT = SubmitSm(
    sequence_number=2,
    source_addr_ton=5,
    source_addr="SENDER",
    dest_addr_ton=1,
    dest_addr_npi=1,
    destination_addr="79991234567",
    esm_class=0x40,
    validity_period="000000030000000R",
    registered_delivery=0x11,
    short_message=b"\x05\x00\x03\x07\x02\x01\x11\x11HLR\x11\x11",
    tlvs=[tlv(Tag.MESSAGE_STATE, 2), tlv(Tag.NETWORK_ERROR_CODE, b"\x03\0\x06"), Tlv(0x1501, b"\xff")],
)


def shown(capsys: pytest.CaptureFixture[str], *pdus: Pdu | bytes, code: int = 0) -> list[str]:
    octets = b"".join(pdu if isinstance(pdu, bytes) else encode(pdu) for pdu in pdus)
    assert main([octets.hex(" ")]) == code
    return capsys.readouterr().out.splitlines()


def test_a_submit_sm_field_by_field(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, SUBMIT) == [
        "submit_sm, 96 octets",
        "     0  00 00 00 60              command_length           96",
        "     4  00 00 00 04              command_id               0x00000004     submit_sm",
        "     8  00 00 00 00              command_status           0              ESME_ROK: no error",
        "    12  00 00 00 02              sequence_number          2",
        "    16  00                       service_type             ''",
        "    17  05                       source_addr_ton          5              alphanumeric",
        "    18  00                       source_addr_npi          0              unknown",
        "    19  53 45 4e 44 45 52 00     source_addr              'SENDER'",
        "    26  01                       dest_addr_ton            1              international",
        "    27  01                       dest_addr_npi            1              isdn",
        "    28  37 39 39 39 31 32 33 34  destination_addr         '79991234567'",
        "        35 36 37 00",
        "    40  40                       esm_class                0x40           udhi",
        "    41  00                       protocol_id              0",
        "    42  00                       priority_flag            0",
        "    43  00                       schedule_delivery_time   ''",
        "    44  30 30 30 30 30 30 30 33  validity_period          '000000030000000R'  from now on",
        "        30 30 30 30 30 30 30 52",
        "        00",
        "    61  11                       registered_delivery      0x11           receipt, intermediate",
        "    62  00                       replace_if_present_flag  0",
        "    63  00                       data_coding              0x00           default",
        "    64  00                       sm_default_msg_id        0",
        "    65  0d                       sm_length                13",
        "    66  05 00 03 07 02 01 11 11  short_message            13 octets      part 1 of 2, '__HLR__'",
        "        48 4c 52 11 11",
        "    79  04 27 00 01 02           message_state            2              delivered",
        "    84  04 23 00 03 03 00 06     network_error_code       3 octets       error 6 of GSM",
        "    91  15 01 00 01 ff           0x1501                   1 octet",
    ]


def test_lists_are_shown_element_by_element(capsys: pytest.CaptureFixture[str]) -> None:
    multi = SubmitMulti(dest_addresses=[SmeAddress(destination_addr="44"), DistributionList(dl_name="all")])
    lines = shown(capsys, multi)
    assert lines[10:16] == [
        "    21  01                       dest_addresses[0].dest_flag         1           a number",
        "    22  00                       dest_addresses[0].dest_addr_ton     0           unknown",
        "    23  00                       dest_addresses[0].dest_addr_npi     0           unknown",
        "    24  34 34 00                 dest_addresses[0].destination_addr  '44'",
        "    27  02                       dest_addresses[1].dest_flag         2           a distribution list",
        "    28  61 6c 6c 00              dest_addresses[1].dl_name           'all'",
    ]
    response = SubmitMultiResp(unsuccess_smes=[UnsuccessSme(error_status_code=0x0B)])
    assert list(rows(encode(response)))[-1][2:5] == (
        "unsuccess_smes[0].error_status_code",
        "11",
        "ESME_RINVDSTADR: invalid destination address",
    )


def test_a_text_has_two_readings_under_data_coding_0(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, DeliverSm(short_message=b"__HLR__"))
    assert lines[-1].endswith("'§§HLR§§', or '__HLR__' where that is ISO-8859-1")
    lines = shown(capsys, DeliverSm(data_coding=8, tlvs=[tlv(Tag.MESSAGE_PAYLOAD, "Ж".encode("utf-16-be"))]))
    assert lines[-1].endswith("2 octets    'Ж'")
    lines = shown(capsys, DeliverSm(data_coding=8, short_message=b"odd"))
    assert "no text: " in lines[-1]
    lines = shown(capsys, DeliverSm(esm_class=0x40, short_message=b"\x09"))
    assert "no text: the header has 10 octets" in lines[-1]


def test_a_tlv_of_a_wrong_length_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    shown(capsys, response := SubmitSmResp(tlvs=[Tlv(Tag.MESSAGE_STATE, b"\0\x02")]))
    assert list(rows(encode(response)))[-1].meaning == (
        "MESSAGE_STATE is an integer of 1 octet, not 2: ESME_RINVPARLEN if it is asked for"
    )


def test_several_in_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, EnquireLink(sequence_number=1), SubmitSmResp(command_status=0x58))
    assert [line for line in lines if not line.startswith("  ")] == [
        "enquire_link, 16 octets",
        "",
        "submit_sm_resp, 17 octets",
    ]
    assert "ESME_RTHROTTLED" in lines[9]


def test_a_response_without_a_body_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(shown(capsys, struct.pack(">4L", 16, CommandId.SUBMIT_SM_RESP, 8, 1))) == 5


@pytest.mark.parametrize(
    "octets", ["0x00000010 0x00000015 00000000 00000001", "00:00:00:10,00:00:00:15\n00000000;\\x00 000001"]
)
def test_what_stands_between_the_digits_does_not_matter(
    octets: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(octets.split(" ")) == 0
    from_arguments = capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.StringIO(octets))
    assert main([]) == 0
    assert capsys.readouterr().out == from_arguments
    assert from_arguments.startswith("enquire_link, 16 octets\n")


@pytest.mark.parametrize("arguments", [["hello"], ["123"], [" "]])
def test_what_is_not_hexadecimal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Hexadecimal digits" in captured.err


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "python -m pdu" in capsys.readouterr().out


BIND = encode(BindTransmitter(system_id="login", password="secret"))


def test_a_password_is_never_shown(capsys: pytest.CaptureFixture[str]) -> None:
    whole = shown(capsys, BIND)
    assert "    22  ** ** **                 password           ***" in whole
    broken = [BIND[: len(BIND) - cut] for cut in range(1, len(BIND) - 16)]
    broken += [BIND.replace(b"secret", b"secretsecret")]
    for octets in broken:
        octets = struct.pack(">L", len(octets)) + octets[4:]
        text = "\n".join(shown(capsys, octets, code=1))
        assert "secret" not in text
        assert b"secret"[:3].hex(" ") not in text


# What is put in, and what the last line says. -------------------------------------------------------------------------
BROKEN = [
    (
        struct.pack(">4L", 40, 4, 0, 1) + bytes(10),
        "schedule_delivery_time not all of it is here: 40 octets are needed, 26 given",
    ),
    (struct.pack(">4L", 17, 4, 0, 1) + b"x", "service_type the body ends here: answered with ESME_RINVCMDLEN"),
    (struct.pack(">4L", 24, 4, 0, 1) + b"sixsix\0\0", "service_type more than 6 octets: answered with ESME_RINVSERTYP"),
    (
        struct.pack(">4L", 34, 4, 0, 1) + bytes(16) + b"\2x",
        "short_message fewer octets than sm_length says: answered with ESME_RINVMSGLEN",
    ),
    (
        struct.pack(">4L", 18, 6, 0, 1) + b"\1\2",
        "TLV the TLVs do not end with the body: answered with ESME_RINVOPTPARSTREAM",
    ),
    (
        struct.pack(">4L", 22, 0x21, 0, 1) + bytes(4) + b"\1\5",
        "dest_addresses[0].dest_flag 5 is not defined: answered with ESME_RINVDESTFLAG",
    ),
    (struct.pack(">4L", 16, 0x112, 0, 1), "this command cannot be read here: answered with ESME_RINVCMDID"),
    (struct.pack(">4L", 18, 0xABCD, 0, 1) + b"xx", "this command cannot be read here: answered with ESME_RINVCMDID"),
    (
        struct.pack(">4L", 15, 4, 0, 1),
        "command_length is less than a header has: answered with ESME_RINVCMDLEN, and the link is closed",
    ),
    (b"\0\0", "command_length not all of it is here: 16 octets are needed, 2 given"),
]


@pytest.mark.parametrize(("octets", "said"), BROKEN, ids=[said for _, said in BROKEN])
def test_where_it_broke(octets: bytes, said: str) -> None:
    last = list(rows(octets))[-1]
    assert last.broken
    assert f"{last.name} {last.meaning}".strip() == said


def test_what_can_be_read_of_a_broken_one_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, BROKEN[3][0], code=1)[-3:] == [
        "    32  02                       sm_length                2",
        "    33  78                       short_message            fewer octets than sm_length says: answered with",
        "                                                          ESME_RINVMSGLEN",
    ]


def test_a_terminal_gets_colours(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = shown(capsys, EnquireLink())
    assert coloured[0] == "\x1b[1menquire_link, 16 octets\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    plain = shown(capsys, EnquireLink())
    assert plain == [re.sub(r"\x1b\[\d*m", "", line) for line in coloured]


@given(st.sampled_from([*CommandId, 0]), st.sampled_from([0, 8]), st.text("\0\x01\x029", max_size=60))
@example(CommandId.SUBMIT_MULTI, 0, "\0\0\0\0\x01\x01")
def test_it_goes_as_far_as_the_codec(command_id: int, command_status: int, body: str) -> None:
    frame = struct.pack(">4L", 16 + len(body), command_id, command_status, 1) + body.encode()
    table = list(rows(frame))
    assert b"".join(row.octets for row in table) == frame
    try:
        decode(frame)
        answer = None
    except BodyError as error:
        answer = f"answered with {error.command_status.name}"
    assert [row.broken for row in table[:-1]] == [False] * (len(table) - 1)
    assert table[-1].broken == bool(answer)
    assert table[-1].meaning.endswith(answer or "")
