"""Whom a SUBMIT_MULTI means, and what its response says of those that cannot be sent to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pdu import CommandStatus, DistributionList, SmeAddress, SubmitMultiResp, decode, encode
from smppbridge.config import DistributionListConfig
from smppbridge.model import bare
from smppbridge.submission.multi import Failed, expand, reason_of, response

LISTS = {
    "staff": DistributionListConfig(accounts=("shop", "demo"), numbers=("79990000001", "+79990000002")),
    "night": DistributionListConfig(accounts=("shop",), numbers=("+79990000001", "79990000003")),
}


def number(text: str, ton: int = 2, npi: int = 3) -> SmeAddress:
    return SmeAddress(dest_addr_ton=ton, dest_addr_npi=npi, destination_addr=text)


def failure(text: str, status: CommandStatus = CommandStatus.ESME_RINVDSTADR) -> Failed:
    return Failed(number(text), status, f"{text} is wrong")


# Whom it means -------------------------------------------------------------------------------------------------------


def test_numbers_stay_as_they_were_written() -> None:
    assert expand([number("79990000009"), number("nobody", 5, 0)], LISTS, "shop") == (
        [number("79990000009"), number("nobody", 5, 0)],
        [],
    )


def test_a_list_stands_for_its_numbers_which_are_international() -> None:
    assert expand([DistributionList(dl_name="staff")], LISTS, "shop") == (
        [number("79990000001", 1, 1), number("+79990000002", 1, 1)],
        [],
    )


def test_nobody_is_meant_twice_and_the_first_writing_counts() -> None:
    named = [number("79990000003"), *(DistributionList(dl_name=name) for name in ("night", "staff", "night"))]
    found, missing = expand([*named, number("+79990000003")], LISTS, "shop")
    assert [one.destination_addr for one in found] == ["79990000003", "+79990000001", "+79990000002"]
    assert missing == []


def test_a_list_of_others_is_one_that_is_not_there() -> None:
    for name in ("night", "nowhere", ""):
        found, [missing] = expand([DistributionList(dl_name=name), DistributionList(dl_name=name)], LISTS, "demo")
        assert found == []
        assert (missing.to.destination_addr, missing.status) == (name, CommandStatus.ESME_RINVDLNAME)
    assert expand([DistributionList(dl_name="staff")], LISTS, "nobody")[0] == []


NUMBERS = st.from_regex(r"\+?[0-9]{3,6}", fullmatch=True)
NAMES = st.sampled_from(["a", "b", "c"])


@given(
    named=st.lists(st.one_of(NUMBERS.map(number), NAMES.map(lambda name: DistributionList(dl_name=name)))),
    lists=st.dictionaries(
        NAMES,
        st.builds(
            DistributionListConfig,
            accounts=st.sampled_from([("shop",), ("demo",), ("shop", "demo")]),
            numbers=st.lists(NUMBERS, min_size=1).map(tuple),
        ),
    ),
)
def test_everybody_who_is_meant_and_nobody_else_is_sent_to_once(
    named: list[SmeAddress | DistributionList], lists: dict[str, DistributionListConfig]
) -> None:
    found, missing = expand(named, lists, "shop")
    mine = {name: one for name, one in lists.items() if "shop" in one.accounts}
    meant = []
    for one in named:
        if isinstance(one, SmeAddress):
            meant.append(one.destination_addr)
        elif one.dl_name in mine:
            meant += mine[one.dl_name].numbers
    # Each once, in the order and the writing in which it was named first.
    first = {bare(text): text for text in reversed(meant)}
    assert {bare(one.destination_addr): one.destination_addr for one in found} == first
    assert len(found) == len(first)
    assert [bare(one.destination_addr) for one in found] == list(dict.fromkeys(map(bare, meant)))
    asked = {one.dl_name for one in named if isinstance(one, DistributionList)}
    assert sorted(one.to.destination_addr for one in missing) == sorted(asked - mine.keys())


# What the client is told ---------------------------------------------------------------------------------------------


def test_with_an_id_it_is_a_success_whoever_is_left_out() -> None:
    answer = response(7, "123", [failure("nobody"), failure("someone", CommandStatus.ESME_RSUBMITFAIL)])
    assert (answer.sequence_number, answer.command_status, answer.message_id) == (7, CommandStatus.ESME_ROK, "123")
    one, other = answer.unsuccess_smes
    assert (one.dest_addr_ton, one.dest_addr_npi, one.destination_addr) == (2, 3, "nobody")
    assert (one.error_status_code, other.error_status_code) == (
        CommandStatus.ESME_RINVDSTADR,
        CommandStatus.ESME_RSUBMITFAIL,
    )


def test_without_one_it_has_the_status_that_all_have() -> None:
    assert response(7, "", [failure("a"), failure("b")]).command_status == CommandStatus.ESME_RINVDSTADR
    mixed = [failure("a"), failure("b", CommandStatus.ESME_RINVDLNAME)]
    assert response(7, "", mixed).command_status == CommandStatus.ESME_RSUBMITFAIL


@given(st.integers(min_value=0, max_value=600), st.booleans())
def test_it_always_fits_into_a_pdu(count: int, taken: bool) -> None:
    failed = [failure(str(number)) for number in range(count)]
    answer = response(7, "123" if taken else "", failed)
    read = decode(encode(answer))
    assert isinstance(read, SubmitMultiResp)
    # Also beside an error, so that the client learns who of them.
    assert [one.destination_addr for one in read.unsuccess_smes] == [str(number) for number in range(count)][:255]


def test_the_first_reason_stands_for_all() -> None:
    assert reason_of([], 3) == ""
    said = reason_of([failure("nobody"), failure("someone")], 3)
    assert said == "2 of 3 destinations cannot be sent to, the first: nobody is wrong"
