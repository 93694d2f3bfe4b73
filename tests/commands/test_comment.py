from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smppbridge.commands.comment import split


@pytest.mark.parametrize(
    ("text", "message", "comment"),
    [
        ("Hi\n~~~\nnote", "Hi", "note"),
        ("Hi\r\n~~~\r\nnote", "Hi", "note"),
        ("Hi\r\n~~~\nnote", "Hi", "note"),
        ("Hi\n~~~\r\nnote", "Hi", "note"),
        ("Hi\n~~~\none\n~~~\ntwo", "Hi", "one\n~~~\ntwo"),
        ("Hi\n~~~\n~~~\n", "Hi", "~~~\n"),
        ("Hi\n~~~\n", "Hi", ""),
        ("Hi\n\n~~~\n\nnote\n", "Hi\n", "\nnote\n"),
        ("\n~~~\nnote", "", "note"),
    ],
)
def test_the_first_separator_counts(text, message, comment):
    assert split(text) == (message, comment)


@pytest.mark.parametrize("text", ["Hi\n~~~", "~~~\nHi", "Hi ~~~ there", "Hi\n~~~~\nthere", "Hi\n~~\nthere", "~", ""])
def test_tildes_that_separate_nothing_are_text(text):
    assert split(text) == (text, "")


@given(st.text("a~\r\n"))
def test_nothing_is_lost(text):
    message, comment = split(text)
    separator = text[len(message) : len(text) - len(comment)]
    assert separator in ("", "\n~~~\n", "\r\n~~~\n", "\n~~~\r\n", "\r\n~~~\r\n")
    assert message + separator + comment == text
    assert "\n~~~\n" not in message
