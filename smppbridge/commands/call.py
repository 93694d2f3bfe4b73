"""Voice calls."""

from __future__ import annotations

import re

import msgspec

from ..model import Call
from .convention import Convention, Malformed, cut_line

# The vendor's four male and four female voices, or the two letters of a language (smsc HTTP API, `voice`).
_VOICE = re.compile(r"[mw][234]?|[a-z]{2}")

# A line that would be read out to the subscriber although it was meant to choose the voice.
_MISTYPED_VOICE = re.compile(r"^[ \t]*voice[ \t]*[:=]", re.IGNORECASE | re.MULTILINE)

# What stands after the separator: a line that says "param", or three numbers (or the places for them) with commas.
_SAYS_PARAM = re.compile(r"^[ \t]*param(?:[ \t]*[:=]|[ \t]+(?=[0-9]))", re.IGNORECASE | re.MULTILINE)
# Possessive, because blanks and figures are found nowhere else: a line of blanks would take the square of its length.
_THREE = re.compile(r"[ \t]*+([0-9]*+)[ \t]*+,[ \t]*+([0-9]*+)[ \t]*+,[ \t]*+([0-9]*+)[ \t\r]*")

#: smsc HTTP API, `param` = w,i,n. Seconds to wait for an answer (10 to 35 have an effect), default there 22;
#: seconds between attempts, default 20; attempts, default 5.
WAIT, INTERVAL, ATTEMPTS = range(100), range(10, 3601), range(1, 10)


class _Param(msgspec.Struct, frozen=True, gc=False):
    wait: int | None = None
    interval: int | None = None
    attempts: int | None = None


class CallText(Convention):
    """A call in which the text is read out; a last line `voice:VOICE` chooses the voice, `param` may be the comment."""

    prefix = "__CALL__"
    example = "__CALL__: Your code is 4 8 2 9\nvoice:w2\n~~~\nparam:25,60,3"

    def parse(self, text: str, destination: str) -> Call:
        body, after = self.open(text)
        message, voice = cut_line(body, "voice")
        if _MISTYPED_VOICE.search(message):
            raise Malformed('write "voice:VOICE" once, in lower case, as the last line of the text')
        if voice and not _VOICE.fullmatch(voice):
            raise Malformed('write "voice:" and one of m, m2, m3, m4, w, w2, w3, w4 or the two letters of a language')
        param, comment = _param(after)
        return Call(
            text=self.filled(message),
            voice=voice or "",
            wait=param.wait,
            interval=param.interval,
            attempts=param.attempts,
            comment=comment,
        )


def _param(after: str) -> tuple[_Param, str]:
    """The call parameter in the first line after the separator, and the rest, which is comment.

    Its literal form is not documented by the vendor: `param:w,i,n`, `param=w,i,n` and bare `w,i,n` are read alike.
    """
    line, _, rest = after.partition("\n")
    said = _SAYS_PARAM.match(line)
    numbers = _THREE.fullmatch(line, said.end() if said else 0)
    if numbers is None:
        if _SAYS_PARAM.search(after):
            raise _bad_param()
        return _Param(), after
    wait, interval, attempts = (
        _within(allowed, digits) for allowed, digits in zip((WAIT, INTERVAL, ATTEMPTS), numbers.groups(), strict=True)
    )
    return _Param(wait, interval, attempts), rest


def _within(allowed: range, digits: str) -> int:
    # No allowed number has more digits than this, and int() refuses to read thousands of them.
    if len(digits) > 8 or not digits or int(digits) not in allowed:
        raise _bad_param()
    return int(digits)


def _bad_param() -> Malformed:
    return Malformed(
        'write the call parameter in the first line after "~~~" as "param:w,i,n": '
        "seconds to wait for an answer 0-99, seconds between attempts 10-3600, attempts 1-9"
    )
