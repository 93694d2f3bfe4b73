"""How one client speaks SMPP where the specification leaves a choice, or the client takes one it does not leave.

SMPP 3.4 does not say how a message id is written, leaves the text of a receipt to the message centre (Appendix B) and
the meaning of data_coding 0 too (§5.2.19). So clients differ, and each is right by the centre it was written for. A
dialect names such a client's choices, one trait each; `like` takes all of them from a profile that is known to work.

The fields' defaults are the profile `smsc.ru`, the others say only where they differ: after loading every trait has a
value, and nobody has to ask what was left open. docs/smpp-support.md tells the reasons for each profile.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from .mistakes import Unit, did_you_mean

Profile = Literal["smsc.ru", "kannel", "jasmin", "spec"]
IdForm = Literal["decimal", "hex"]
#: What the octets of a text are, whatever its data_coding says.
Meaning = Literal["gsm", "gsm_packed", "ascii", "latin1", "ucs2", "ucs2_le", "utf8", "eight_bit", "binary"]
#: YY has two digits of the year, YYYY all of them; then month, day, hour, minute and, with ss, second.
DateForm = Literal["YYMMDDhhmm", "YYMMDDhhmmss", "YYYYMMDDhhmm", "YYYYMMDDhhmmss"]

#: SMPP 3.4 Appendix B.
APPENDIX_B = (
    "id:{id} sub:{sub} dlvrd:{dlvrd} submit date:{submit_date} done date:{done_date} stat:{stat} err:{err} text:{text}"
)
#: What a receipt's text may name.
RECEIPT_FIELDS = frozenset(
    {"id", "sub", "dlvrd", "submit_date", "done_date", "stat", "state", "err", "text", "source", "destination", "cost"}
)

#: Ids of ours have 63 bits (`ids.py`).
_LARGEST_ID = 2**63 - 1
_LONGEST_HEX = 16

PROFILES: Mapping[str, Mapping[str, Any]] = {
    "smsc.ru": {},
    # Warns of every TLV that it has no name for, and cuts passwords off.
    "kannel": {"vendor_tlvs": False, "cut_passwords": True},
    # Older ones lose the link over a TLV that they do not know.
    "jasmin": {"vendor_tlvs": False},
    # SMPP 3.4 as it is written: §5.2.19 has no text under 4.
    "spec": {"vendor_tlvs": False, "data_codings": {4: "binary"}},
}


def _number(key: object) -> object:
    """ "4" or "0x04" → 4, because the keys of a TOML table are texts; anything else is left as it is."""
    if isinstance(key, str) and re.fullmatch(r"[0-9]{1,3}|0x[0-9A-Fa-f]{1,2}", key, re.ASCII):
        return int(key, 16 if key.startswith("0x") else 10)
    return key


def _data_codings(value: object) -> object:
    if not isinstance(value, dict):
        raise ValueError('expected a table such as { "4" = "binary" }')
    read = {_number(key): meaning for key, meaning in value.items()}
    for key, meaning in read.items():
        if not isinstance(key, int) or not 0 <= key <= 255:
            raise ValueError(f"{key} is no data_coding: expected a number from 0 to 255")
        if meaning not in get_args(Meaning):
            names = ", ".join(get_args(Meaning))
            raise ValueError(f"{key} = {meaning!s}: expected one of {names}{did_you_mean(meaning, get_args(Meaning))}")
    return read


def _receipt_text(value: str) -> str:
    if not (value.isascii() and value.isprintable()):
        raise ValueError("expected printable ASCII in one line: a receipt reads the same in every alphabet")
    named = re.findall(r"\{([^{}]*)\}", value)
    for name in named:
        if name not in RECEIPT_FIELDS:
            known = ", ".join(f"{{{field}}}" for field in sorted(RECEIPT_FIELDS))
            raise ValueError(f"there is no {{{name}}}{did_you_mean(name, RECEIPT_FIELDS)}; there are {known}")
    if re.search("[{}]", re.sub(r"\{[^{}]*\}", "", value)):
        raise ValueError("a brace stands alone; expected {id} and the like, and no others")
    if "id" not in named:
        raise ValueError("expected {id} in it: nobody could tell which message it is about")
    return value


Switch = Annotated[bool, Field(strict=True)]
IdLength = Annotated[int, Field(strict=True, ge=0, le=64), Unit("characters")]


class Dialect(BaseModel):
    """[accounts.NAME.dialect]: a profile, and what is different from it. `dialect = "kannel"` is short for a profile
    as it stands."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    #: The profile that has what is not said here.
    like: Profile = "smsc.ru"
    #: Message ids in responses. Decimal is what Appendix B has in receipts, so nobody has to convert anything.
    response_ids: IdForm = "decimal"
    #: Filled up with zeros to this length; 0: as long as it is. A message_id has 64 characters at most (§5.2.23).
    response_id_length: IdLength = 0
    #: Message ids in receipts: in the text and in receipted_message_id.
    receipt_ids: IdForm = "decimal"
    receipt_id_length: IdLength = 0
    #: The text of a receipt; `{name}` stands for a value.
    receipt_text: Annotated[str, AfterValidator(_receipt_text)] = APPENDIX_B
    receipt_dates: DateForm = "YYMMDDhhmm"
    #: Whether receipts have TLVs at all, and those of smsc.ru among them.
    receipt_tlvs: Switch = True
    vendor_tlvs: Switch = True
    #: What brings receipts and subscribers' messages; clients of 3.3 know DELIVER_SM only.
    deliver_with: Literal["deliver_sm", "data_sm"] = "deliver_sm"
    #: What a data_coding means, where it is not what SMPP 3.4 §5.2.19 and 3GPP TS 23.038 §4 say.
    data_codings: Annotated[dict[int, Meaning], BeforeValidator(_data_codings)] = {}
    #: A text may end with a NUL that is not part of it.
    nul_terminated: Switch = False
    #: lenient: esm_class may say that there is a user data header, or that there is none, and be wrong.
    headers: Literal["strict", "lenient"] = "strict"
    #: A password of more than 8 characters passes with its first 8 too.
    cut_passwords: Switch = False

    @model_validator(mode="before")
    @classmethod
    def _as_the_profile_says(cls, value: Any) -> Any:
        """What is not said comes from the profile; of data_codings, each that is not said."""
        if isinstance(value, str):
            if value not in PROFILES:
                names = ", ".join(f'"{name}"' for name in get_args(Profile))
                raise ValueError(f"expected a table or one of {names}{did_you_mean(value, PROFILES)}")
            value = {"like": value}
        if not isinstance(value, dict):
            return value
        profile = PROFILES.get(str(value.get("like", "smsc.ru")), {})
        said = {**profile, **value}
        codings = value.get("data_codings", {})
        if isinstance(codings, dict):
            meant = {_number(key): meaning for key, meaning in codings.items()}
            said["data_codings"] = {**profile.get("data_codings", {}), **meant}
        return said

    @cached_property
    def write_response_id(self) -> Callable[[int], str]:
        """A message id as responses have it; `str` itself for the commonest form."""
        return _writer(self.response_ids, self.response_id_length)

    @cached_property
    def write_receipt_id(self) -> Callable[[int], str]:
        """A message id as receipts have it."""
        return _writer(self.receipt_ids, self.receipt_id_length)

    def read_id(self, text: str) -> int | None:
        """What a client gives back as a message_id, be it as responses write it or as receipts do; None: no id of ours.

        The two are told apart by their length, zeros in front left out: an id has 18 or 19 digits as a decimal number,
        15 or 16 as a hexadecimal one.
        """
        form = self.response_ids
        if form != self.receipt_ids:
            form = "hex" if len(text.lstrip("0")) <= _LONGEST_HEX else "decimal"
        if not _FORMS[form](text):
            return None
        id = int(text, 10 if form == "decimal" else 16)
        return id if 0 < id <= _LARGEST_ID else None


_FORMS = {
    "decimal": re.compile("[0-9]{1,64}", re.ASCII).fullmatch,
    "hex": re.compile("[0-9A-Fa-f]{1,64}", re.ASCII).fullmatch,
}

_Writer: TypeAlias = Callable[[int], str]


def _writer(form: IdForm, length: int) -> _Writer:
    """Hexadecimal in capitals: Jasmin turns ids into capitals before it compares them, Kannel reads both."""
    if form == "decimal" and not length:
        return str
    return f"{{:0{length}{'d' if form == 'decimal' else 'X'}}}".format if length else "{:X}".format
