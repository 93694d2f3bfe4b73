from __future__ import annotations

import pytest

from smppbridge.commands import Malformed
from smppbridge.commands.telegram import TelegramText
from smppbridge.model import TelegramCode


def parse(text: str) -> TelegramCode:
    return TelegramText().parse(text, "79991234567")


@pytest.mark.parametrize("code", ["1234", "12345678", "0000"])
def test_codes(code):
    assert parse(f"__TGM__: {code}").code == code
    assert parse(f"__TGM__:  {code}\r\n").code == code


@pytest.mark.parametrize(
    "code", ["123", "123456789", "12a4", "1234.", "12 34", "Your code: 1234", "١٢٣٤", "1234\n5678", "+1234"]
)
def test_what_is_no_code_is_refused(code):
    with pytest.raises(Malformed, match="4 to 8 digits"):
        parse(f"__TGM__: {code}")
