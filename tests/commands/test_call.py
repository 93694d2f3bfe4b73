from __future__ import annotations

import pytest

from smppbridge.commands import Malformed
from smppbridge.commands.call import CallText
from smppbridge.model import Call


def parse(text: str) -> Call:
    return CallText().parse(text, "79991234567")


@pytest.mark.parametrize("voice", ["m", "m2", "m3", "m4", "w", "w2", "w3", "w4", "en", "fr", "de", ""])
def test_voices(voice):
    assert parse(f"__CALL__: Hi\nvoice:{voice}") == Call(text="Hi", voice=voice)


@pytest.mark.parametrize("voice", ["m1", "m5", "w0", "M", "W2", "x", "eng", "en-US", "woman", "m2 m3", "1"])
def test_unknown_voices_are_refused(voice):
    with pytest.raises(Malformed, match="one of m, m2"):
        parse(f"__CALL__: Hi\nvoice:{voice}")


@pytest.mark.parametrize(
    "text", ["Hi\nVoice:w", "Hi\n voice:w", "Hi\nvoice=w", "Hi\nvoice:w\nvoice:m", "Hi\nvoice:w\nbye", "voice:w\nbye"]
)
def test_a_voice_that_would_be_read_out_is_refused(text):
    with pytest.raises(Malformed, match="as the last line"):
        parse(f"__CALL__: {text}")


def test_the_word_voice_may_be_spoken():
    assert parse("__CALL__: Your voice: a message") == Call(text="Your voice: a message")


@pytest.mark.parametrize(
    "param",
    [
        "25,60,3",
        "param:25,60,3",
        "param=25,60,3",
        "param 25,60,3",
        "PARAM: 25, 60, 3",
        " param : 25 ,\t60 , 3 ",
        "025,0060,03",
        "25,60,3\r\n",
        "25,60,3\n",
    ],
)
def test_every_way_to_write_the_parameter(param):
    assert parse(f"__CALL__: Hi\n~~~\n{param}") == Call(text="Hi", wait=25, interval=60, attempts=3)


@pytest.mark.parametrize(("param", "wait", "interval", "attempts"), [("0,10,1", 0, 10, 1), ("99,3600,9", 99, 3600, 9)])
def test_limits(param, wait, interval, attempts):
    assert parse(f"__CALL__: Hi\n~~~\n{param}") == Call(text="Hi", wait=wait, interval=interval, attempts=attempts)


@pytest.mark.parametrize(
    "param",
    [
        "100,60,3",
        "25,9,3",
        "25,3601,3",
        "25,60,0",
        "25,60,10",
        "25,,3",
        ",,",
        "9" * 5000 + ",60,3",
        "param:",
        "param:25",
        "param:25,60",
        "param:25,60,3,1",
        "param=-1,60,3",
        "param 25 60 3",
        "order 4711\nparam:25,60,3",
    ],
)
def test_a_parameter_that_cannot_be_meant_is_refused(param):
    with pytest.raises(Malformed, match="param:w,i,n"):
        parse(f"__CALL__: Hi\n~~~\n{param}")


@pytest.mark.parametrize(
    "comment", ["order 4711", "25,60", "4711", "parameters of the call", "order 1,2,3", "١,٢,٣", "\n25,60,3"]
)
def test_anything_else_is_a_comment(comment):
    assert parse(f"__CALL__: Hi\n~~~\n{comment}") == Call(text="Hi", comment=comment)


def test_a_comment_goes_on_after_the_parameter():
    found = parse("__CALL__: Hi\nvoice:w\r\n~~~\r\nparam:25,60,3\r\norder\n4711")
    assert found == Call(text="Hi", voice="w", wait=25, interval=60, attempts=3, comment="order\n4711")
