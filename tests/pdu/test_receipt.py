import re
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdu import STAT, STATE, Alphabet, HlrReceiptText, MessageState, ReceiptText, decode_text, encode_as

FULL = ReceiptText(
    id="855469",
    sub=2,
    dlvrd=1,
    submit_date="2611211200",
    done_date="2611211201",
    stat="UNDELIV",
    err=11,
    text="Your parcel: come at 12",
)
FULL_TEXT = (
    "id:855469 sub:002 dlvrd:001 submit date:2611211200 done date:2611211201 stat:UNDELIV err:011 "
    "text:Your parcel: come at"
)


def test_appendix_b() -> None:
    assert FULL.format() == FULL_TEXT


def test_what_is_not_known() -> None:
    assert ReceiptText(id="1").format() == (
        "id:1 sub:001 dlvrd:000 submit date:0000000000 done date:0000000000 stat: err:000 text:"
    )


@pytest.mark.parametrize(
    ("text", "echo"),
    [
        ("", ""),
        ("exactly 20 letters!!", "exactly 20 letters!!"),
        ("exactly 20 letters!!?", "exactly 20 letters!!"),
        ("Привет, world", "??????, world"),
        ("__HLR__", "??HLR??"),
        ("a@b {~} \x1b\x00", "a?b ??? ??"),
        ("two\nlines\r\n", "two lines  "),
    ],
)
def test_the_echo_reads_the_same_in_every_alphabet(text: str, echo: str) -> None:
    """Only here "?" may stand for a character: the octets are then the same whatever data_coding 0 means."""
    line = ReceiptText(id="1", text=text).format()
    assert line.endswith(f" text:{echo}")
    for alphabet in Alphabet:
        assert encode_as(line, 0, alphabet) == line.encode("ascii")
        assert decode_text(line.encode("ascii"), 0, alphabet) == line


@pytest.mark.parametrize(
    ("line", "receipt"),
    [
        (FULL_TEXT, {**{name: getattr(FULL, name) for name in FULL.__slots__}, "text": "Your parcel: come at"}),
        ("id:1", {"id": "1"}),
        ("stat:DELIVRD id:1", {"id": "1", "stat": "DELIVRD"}),
        ("id:0a-Ff_9:b stat:delivrd err:", {"id": "0a-Ff_9:b", "stat": "DELIVRD"}),
        ("ID:1 Stat:EXPIRED Err:006 Text:Hi", {"id": "1", "stat": "EXPIRED", "err": 6, "text": "Hi"}),
        ("id:1 stat:DELIVRD text:stat:REJECTD id:2 ", {"id": "1", "stat": "DELIVRD", "text": "stat:REJECTD id:2 "}),
        ("text:hello there id:1 stat:DELIVRD", {"id": "1", "stat": "DELIVRD", "text": "hello there"}),
        ("id:1 text: stat:DELIVRD", {"id": "1", "stat": "DELIVRD", "text": ""}),
        ("id:1 text:two words", {"id": "1", "text": "two words"}),
        ("id:1 id:2", {"id": "1"}),
        ("id:1 submit date:261121120059", {"id": "1", "submit_date": "261121120059"}),
        ("id:1 submit_date:2611211200 Done Date:", {"id": "1", "submit_date": "2611211200"}),
        ("id:1 donedate:2611211200 sub: dlvrd:", {"id": "1", "done_date": "2611211200"}),
        ("id:1  msgid:2\nstat:DELIVRD", {"id": "1  msgid:2", "stat": "DELIVRD"}),
    ],
)
def test_reading_is_lenient(line: str, receipt: dict[str, object]) -> None:
    assert ReceiptText.parse(line) == ReceiptText(**receipt)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "it has no id"),
        ("Hello there", "it has no id"),
        ("id: stat:DELIVRD", "it has no id"),
        ("id:1 err:0x0B", "err of the receipt is no number"),
        ("id:1 sub:٣", "sub of the receipt is no number"),
        ("id:1 dlvrd:-1", "dlvrd of the receipt is no number"),
        ("id:1 submit date:26112112", "submitdate of the receipt is no date"),
        ("id:1 done date:yesterday", "donedate of the receipt is no date"),
    ],
)
def test_what_makes_no_sense_says_why(line: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        ReceiptText.parse(line)


DIGITS = st.text("0123456789", min_size=1, max_size=20)
DATES = st.from_regex(r"[0-9]{10}([0-9]{2})?", fullmatch=True)
#: Printable ASCII that is the same octet in GSM 03.38.
SAFE = st.text("abcdefXYZ0123456789 :=&?+%.,!", max_size=20)


@given(
    st.builds(
        ReceiptText,
        id=st.text("0123456789abcdefABCDEF-:_", min_size=1, max_size=64),
        sub=st.integers(0, 999),
        dlvrd=st.integers(0, 999),
        submit_date=DATES,
        done_date=DATES,
        stat=st.sampled_from(sorted(STATE)),
        err=st.integers(0, 999),
        text=SAFE,
    )
)
def test_a_receipt_is_read_as_it_was_written(receipt: ReceiptText) -> None:
    assert ReceiptText.parse(receipt.format()) == receipt


@given(st.text())
def test_reading_gives_a_receipt_or_valueerror(line: str) -> None:
    for text in (line, "id:1 " + line, "id:1 err:" + line, "id:1 stat:x text:" + line):
        try:
            ReceiptText.parse(text)
        except ValueError:
            continue


@given(st.text(max_size=30))
def test_any_text_gives_octets_that_every_alphabet_reads_alike(text: str) -> None:
    line = ReceiptText(id="1", text=text).format()
    assert decode_text(line.encode("ascii"), 0, Alphabet.GSM) == line


def test_every_state_has_a_word_of_seven_letters() -> None:
    assert set(STAT) == set(MessageState)
    assert {len(word) for word in STAT.values()} == {7}


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (MessageState.ENROUTE, "ENROUTE"),
        (MessageState.DELIVERED, "DELIVRD"),
        (MessageState.EXPIRED, "EXPIRED"),
        (MessageState.DELETED, "DELETED"),
        (MessageState.UNDELIVERABLE, "UNDELIV"),
        (MessageState.ACCEPTED, "ACCEPTD"),
        (MessageState.UNKNOWN, "UNKNOWN"),
        (MessageState.REJECTED, "REJECTD"),
    ],
)
def test_words_both_ways(state: MessageState, word: str) -> None:
    assert STAT[state] == word
    assert STATE[word] is state


def test_the_states_of_5_0_have_no_word_of_their_own() -> None:
    assert STAT[MessageState.SCHEDULED] == "ENROUTE"
    assert STAT[MessageState.SKIPPED] == "UNDELIV"


# HLR look-ups --------------------------------------------------------------------------------------------------------

HLR = HlrReceiptText(
    id="855469",
    stat="DELIVRD",
    imsi="250023012345678",
    msc="79232510066",
    mcc="250",
    mnc="02",
    cn="Russian Federation",
    net="MegaFON open Joint Stock Company",
)
HLR_TEXT = (
    "id:855469 stat:DELIVRD err:000 imsi:250023012345678 msc:79232510066 mcc:250 mnc:02 cn:Russian+Federation "
    "net:MegaFON+open+Joint+Stock+Company rcn: rnet:"
)

#: What smsc.ru tells its clients to match.
CLIENTS_EXPRESSION = re.compile(
    r"^id:(\d+) stat:(\w+) err:(\d+) imsi:(\d*) msc:(\d*) mcc:(\d*) mnc:(\d*) cn:([^ ]*) net:([^ ]*) rcn:([^ ]*) "
    r"rnet:([^ ]*)"
)
KEYS = ["id", "stat", "err", "imsi", "msc", "mcc", "mnc", "cn", "net", "rcn", "rnet"]


def as_query_string(line: str) -> dict[str, str]:
    """The other way smsc.ru tells: `strtr($dlr, ": ", "=&")`, then PHP's parse_str."""
    query = line.translate(str.maketrans(": ", "=&"))
    return {key: value for key, (value,) in parse_qs(query, keep_blank_values=True, strict_parsing=True).items()}


def test_the_documented_hlr_line() -> None:
    assert HLR.format() == HLR_TEXT
    assert HlrReceiptText.parse(HLR_TEXT) == HLR


def test_every_key_is_there_when_nothing_is_known() -> None:
    line = HlrReceiptText(id="1", stat="UNDELIV", err=1).format()
    assert line == "id:1 stat:UNDELIV err:001 imsi: msc: mcc: mnc: cn: net: rcn: rnet:"
    assert CLIENTS_EXPRESSION.match(line)
    assert list(as_query_string(line)) == KEYS


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("T-Mobile CZ", "T-Mobile+CZ"),
        ("A & B = C: D", "A+%26+B+%3D+C%3A+D"),
        ("O2 (UK) +1", "O2+%28UK%29+%2B1"),
        ("Côte d’Ivoire", "C%C3%B4te+d%E2%80%99Ivoire"),
        ("a_b~c/d", "a%5Fb%7Ec%2Fd"),
        ("100%\n", "100%25%0A"),
        ("\ud800", "%3F"),
    ],
)
def test_names_are_urlencoded(name: str, written: str) -> None:
    line = HlrReceiptText(id="1", stat="DELIVRD", net=name).format()
    assert f" net:{written} rcn:" in line
    if "\ud800" not in name:
        assert as_query_string(line)["net"] == name


def test_numbers_are_digits_only() -> None:
    line = HlrReceiptText(id="1", stat="DELIVRD", imsi="250 02", msc="+7 923", mcc="250x", mnc="٢2").format()
    assert " imsi:25002 msc:7923 mcc:250 mnc:2 " in line


@given(
    st.builds(
        HlrReceiptText,
        id=DIGITS,
        stat=st.sampled_from(sorted(STATE)),
        err=st.integers(0, 999),
        **{name: DIGITS | st.just("") for name in ("imsi", "msc", "mcc", "mnc")},
        **{name: st.text() for name in ("cn", "net", "rcn", "rnet")},
    )
)
def test_both_recipes_of_the_clients_read_every_hlr_line(receipt: HlrReceiptText) -> None:
    line = receipt.format()
    assert HlrReceiptText.parse(line) == receipt
    matched = CLIENTS_EXPRESSION.match(line)
    assert matched is not None
    assert matched.end() == len(line)
    parsed = as_query_string(line)
    assert list(parsed) == KEYS
    for key in KEYS[3:]:
        assert parsed[key] == getattr(receipt, key)
    assert decode_text(line.encode("ascii"), 0, Alphabet.GSM) == line


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "no id or no imsi"),
        (FULL_TEXT, "no id or no imsi"),
        ("imsi:1 stat:DELIVRD", "no id or no imsi"),
        ("id:1 imsi: err:x", "err of the receipt is no number"),
    ],
)
def test_what_is_no_hlr_line_says_why(line: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        HlrReceiptText.parse(line)


def test_an_hlr_line_with_missing_fields() -> None:
    assert HlrReceiptText.parse("imsi:1 id:2") == HlrReceiptText(id="2", imsi="1")
