from __future__ import annotations

import pytest

from smppbridge.commands import Malformed
from smppbridge.commands.convention import cut_line
from smppbridge.commands.hlr import HlrText
from smppbridge.commands.viber import ViberText


@pytest.mark.parametrize(
    ("text", "opened"),
    [
        ("__VIBER__: Hi", ("Hi", "")),
        ("__VIBER__:Hi", ("Hi", "")),
        ("__VIBER__:  Hi \n", (" Hi \n", "")),
        ("__VIBER__: one\ntwo\n~~~\nnote", ("one\ntwo", "note")),
        ("__VIBER__: __VIBER__: Hi", ("__VIBER__: Hi", "")),
    ],
)
def test_open(text, opened):
    assert ViberText().open(text) == opened


@pytest.mark.parametrize("text", ["__VIBER__", "__VIBER__ Hi", "__VIBER__; Hi", "__VIBER__ : Hi", "__VIBER___: Hi"])
def test_a_known_prefix_without_its_colon_is_refused(text):
    with pytest.raises(Malformed, match="write a colon, a space and the text"):
        ViberText().open(text)


@pytest.mark.parametrize("text", ["__VIBER__:", "__VIBER__: ", "__VIBER__: \n ", "__VIBER__: \n~~~\nnote"])
def test_a_prefix_without_text_is_refused(text):
    with pytest.raises(Malformed, match="there is no text"):
        ViberText().open(text)


@pytest.mark.parametrize("text", ["__HLR__", "__HLR__ ", "__HLR__\r\n", "__HLR__\n \n"])
def test_blanks_after_a_bare_prefix_do_not_count(text):
    assert HlrText().open_bare(text) == ""


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("Hi\nbot:@a", ("Hi", "@a")),
        ("Hi\r\nbot:@a\r\n", ("Hi", "@a")),
        ("Hi\nbot: @a \n\n", ("Hi", "@a")),
        ("Hi\nbot:", ("Hi", "")),
        ("\nbot:@a", ("", "@a")),
        ("Hi\n\nbot:@a", ("Hi\n", "@a")),
        ("bot:@b\nbot:@a", ("bot:@b", "@a")),
    ],
)
def test_cut_line(text, cut):
    assert cut_line(text, "bot") == cut


@pytest.mark.parametrize(
    "text", ["bot:@a", "Hi bot:@a", "Hi\nbot:@a\nHo\n", "Hi\nBot:@a", "Hi\n bot:@a", "Hi\nbot :@a", ""]
)
def test_other_last_lines_stay_text(text):
    assert cut_line(text, "bot") == (text, None)
