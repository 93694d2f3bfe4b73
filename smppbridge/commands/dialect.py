"""Reading for a client that means something of its own by a data_coding: translated first, then read like any other."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from pdu import Alphabet, Undecodable, is_flash
from pdu.text import CODINGS, Coding

from ..charset import specified
from ..config.dialects import Meaning
from ..model import Binary, Command, Sms
from .reader import Reader, unreadable

#: What data has that came under a number which says text: eight bits, unspecified (SMPP 3.4 §5.2.19).
_OCTETS = 4


class DialectReader:
    """`read` as `Reader` has it, for one account."""

    def __init__(self, reader: Reader, codings: Mapping[int, Meaning]) -> None:
        self._reader = reader
        self._codings = codings

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
        """What a SUBMIT_SM asks for. Raises Malformed and nothing else."""
        meaning = self._codings.get(data_coding)
        coding = data_coding
        if meaning is not None and body and not has_udh:
            if meaning == "binary":
                return Binary(data=body, data_coding=_of_data(data_coding))
            try:
                coding, body, alphabet = specified(meaning, body, alphabet)
            except Undecodable as error:
                raise unreadable(error) from None
        command = self._reader.read(
            body,
            data_coding=coding,
            has_udh=has_udh,
            destination=destination,
            alphabet=alphabet,
            conventions=conventions,
        )
        if coding != data_coding:
            # What the number says beside the alphabet still holds.
            if isinstance(command, Binary):
                command = msgspec.structs.replace(command, data_coding=_of_data(data_coding))
            elif isinstance(command, Sms) and is_flash(data_coding):
                command = msgspec.structs.replace(command, flash=True)
        return command


def _of_data(data_coding: int) -> int:
    """The number itself, where data may have it."""
    return data_coding if CODINGS[data_coding] in (Coding.BINARY, Coding.EIGHT_BIT) else _OCTETS
