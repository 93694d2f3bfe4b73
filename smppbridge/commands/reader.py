"""Octets → text → command: which byte form, which convention.

Two questions are settled here for all conventions, so that none of them knows about octets.

The byte form. Under data_coding 0 (the default alphabet) one and the same text arrives in two forms: `_` is 0x11 in
GSM 03.38 and 0x5F from clients that send ASCII as it is; `~` is 0x1B 0x3D or 0x7E. No octet says which it is, but a
prefix or a separator does: what reads as one in either form was meant as one, and the whole text is read in that form.
Only where neither stands in the text does the account's alphabet decide.

The mistyped prefix. A text that was meant for Viber and goes out as a paid SMS with the prefix in plain sight is the
worst that can happen here, so a text that only nearly begins with a known prefix is refused, never sent. Names that
nobody knows are ordinary text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from pdu import Alphabet, CommandStatus, Undecodable, decode_text, gsm0338, is_default, is_flash, is_text, is_ucs2

from ..model import Binary, Command, Sms
from .convention import Convention, Malformed
from .sms import no_text

# A convention's prefix: the name is ASCII, so that its letters are the same octets in every form.
_PREFIX = re.compile(r"__([0-9A-Z]+)__")

# What a prefix can begin with, and the blanks that must not but may stand before it. One look at the first octet tells
# nearly every ordinary text from a command.
_OPENING = frozenset("_ \t\r\n")
_OPENING_OCTETS = frozenset(b"_\x11 \t\r\n")

# Line feed, three tildes, line feed: raw (the group) or as GSM 03.38 escape sequences.
_SEPARATOR_OCTETS = re.compile(rb"\n(?:(~~~)|(?:\x1b=){3})\r?\n")
_TILDE, _ESCAPE, _GSM_TILDES = b"~", b"\x1b", b"\x1b=\x1b=\x1b="

# smsc.ru's coding × 4: 0 the default alphabet, 4 eight bits (ISO-8859-1 if that is text).
_DEFAULT, _EIGHT_BIT = 0, 4
# SMPP 3.4 §5.2.19.
_ASCII = 1

# The answers of `pdu` for every data_coding, because one of them is wanted for every message.
_IS_DEFAULT, _IS_UCS2, _IS_FLASH = (tuple(map(asked, range(256))) for asked in (is_default, is_ucs2, is_flash))
_IS_BINARY = tuple(not is_text(data_coding) for data_coding in range(256))

# By these names because looking a member up in its enum costs more than everything else that is done with it here.
_GSM, _ISO = Alphabet.GSM, Alphabet.ISO


class Reader:
    """Reads messages by a list of conventions, the first one that fits."""

    def __init__(self, conventions: Sequence[Convention]) -> None:
        self._conventions = tuple(conventions)
        names = "|".join(_name(convention.prefix) for convention in self._conventions if convention.prefix)
        word = f"(?:{names})(?![0-9A-Za-z])"
        # The group tells raw ASCII from GSM 03.38. Mistyped names count: they are refused once they are text.
        octets = rf"[ \t\r\n]*(?:(_{{2,}})|\x11{{2,}})[ \t]*{word}"
        self._prefix_octets = re.compile(octets.encode("ascii"), re.IGNORECASE)
        self._mistyped = re.compile(rf"[ \t\r\n]*(?:__(?:{names})__|_{{2,}}[ \t]*(?i:{word})[ \t\r\n_]*(?::|\n~~~|\Z))")

    def read(
        self,
        body: bytes,
        *,
        data_coding: int,
        has_udh: bool,
        destination: str,
        alphabet: Alphabet,
        conventions: bool,
    ) -> Command:
        """What a SUBMIT_SM asks for. `body` is the user data, joined if it came in parts, without the headers of that.

        With `conventions` off every text is an SMS as it stands, separator and all. Raises Malformed and nothing else.
        """
        if not body:
            raise no_text()
        if has_udh:
            # Ports, pictures, language tables: whatever the header says, the octets are for the handset alone.
            return Binary(data=body, data_coding=data_coding, has_udh=True)
        if _IS_DEFAULT[data_coding]:
            text = self._default(body, alphabet, conventions)
        elif _IS_UCS2[data_coding]:
            text = _ucs2(body)
        elif _IS_BINARY[data_coding]:
            return Binary(data=body, data_coding=data_coding)
        elif is_text(_EIGHT_BIT, body):
            text = _decoded(body, data_coding)
        elif data_coding == _ASCII:
            # node-smpp and others say ASCII and write GSM 03.38: what ASCII has no text for was meant so.
            text = self._default(body, _GSM, conventions)
        elif conventions and (self._prefix_octets.match(body) or self._form(body) is _GSM):
            # Data for a handset would not look like this; GSM 03.38 under a wrong data_coding does.
            raise Malformed(
                'the prefix or "~~~" says text but there are control octets; GSM 03.38 goes with data_coding 0'
            )
        elif data_coding == _EIGHT_BIT:
            return Binary(data=body, data_coding=data_coding)
        else:
            text = _decoded(body, data_coding)
        command = self.read_text(text, destination) if conventions else Sms(text=text)
        if _IS_FLASH[data_coding] and isinstance(command, Sms):
            return msgspec.structs.replace(command, flash=True)
        return command

    def read_text(self, text: str, destination: str) -> Command:
        """What a text asks for, with conventions on. Raises Malformed and nothing else."""
        if text and text[0] not in _OPENING and "~" not in text:
            return Sms(text=text)
        for convention in self._conventions:
            if text.startswith(convention.prefix):
                if not convention.prefix:
                    self._refuse_mistyped(text)
                return convention.parse(text, destination)
        raise no_text()

    def _refuse_mistyped(self, text: str) -> None:
        if self._mistyped.match(text):
            raise Malformed(
                "the text only nearly begins with a prefix: write it in capitals, two underscores on either side, "
                "as the very first characters; or do not begin with two underscores"
            )

    def _default(self, body: bytes, alphabet: Alphabet, conventions: bool) -> str:
        """Read data_coding 0 and its like: as the prefix says, else as the separator says, else by the alphabet."""
        form = None
        # One search for one octet is the cheapest look there is; it is all that nearly every message costs here.
        if conventions and (body[0] in _OPENING_OCTETS or _TILDE in body or (_ESCAPE in body and _GSM_TILDES in body)):
            form = self._form(body)
        if form is None:
            if alphabet is _ISO:
                return body.decode("latin-1")
            if body.isascii():
                return gsm0338.decode(body)
        elif form is _GSM:
            return _decoded(body, _DEFAULT)
        # ISO-8859-1 is a guess here: by a prefix in raw ASCII, or by octets that GSM 03.38 does not have.
        if is_text(_EIGHT_BIT, body):
            return body.decode("latin-1")
        if form is None:
            raise Malformed("the octets are neither GSM 03.38 nor ISO-8859-1 text; send UCS2 with data_coding 8")
        raise Malformed('the prefix or "~~~" is raw ASCII but other octets are not; send one form, or UCS2')

    def _form(self, body: bytes) -> Alphabet | None:
        """The form in which a prefix, or else a separator, stands in the octets; None where neither does."""
        found = self._prefix_octets.match(body) or _SEPARATOR_OCTETS.search(body)
        if found is None:
            return None
        return _GSM if found[1] is None else _ISO


def _ucs2(body: bytes) -> str:
    if len(body) % 2:
        raise Malformed(
            "UCS2 has two octets a character, this text ends in half a character", CommandStatus.ESME_RINVMSGLEN
        )
    try:
        text = body.decode("utf-16-be")
    except UnicodeDecodeError:
        raise Malformed("half of a surrogate pair is missing; send UTF-16BE and split it between characters") from None
    # The byte order mark with its octets swapped; no character itself.
    if text[0] == "\ufffe":
        raise Malformed("UCS2 goes high octet first (UTF-16BE), this text is low octet first")
    return text.removeprefix("\ufeff")


def _decoded(body: bytes, data_coding: int) -> str:
    try:
        return decode_text(body, data_coding)
    except Undecodable as error:
        raise unreadable(error) from None


def unreadable(error: Undecodable) -> Malformed:
    """What a client is told whose octets are no text in its coding."""
    return Malformed(f"{error}; send UCS2 with data_coding 8")


def _name(prefix: str) -> str:
    found = _PREFIX.fullmatch(prefix)
    if found is None:
        raise ValueError(f"a prefix is two underscores, capitals or digits, two underscores; this one is {prefix!r}")
    return found[1]
