"""The two ways a request fails, and what may be said of why."""

from __future__ import annotations

import re

from ..config.secrets import CUT

#: What the first word has in it that may be an address, or a query without one. Providers whose requests are GETs have
#: their passwords there, and the address of a proxy holds one.
_ADDRESS = re.compile(r"://|\?\S|[&=@]")
#: Characters of a reason.
_MOST = 200


class RequestFailed(Exception):
    """No answer. The text says why, for the log and the time-line; it holds no address and no query."""


class NotSent(RequestFailed):
    """The request was certainly not processed."""


class Unclear(RequestFailed):
    """The request may have been processed."""


def reason(error: BaseException) -> str:
    """An error of somebody else's in one line, cut off where an address or a query begins: it may hold a password.
    Where it is cut off, a sign says so: a secret may begin there, which `config.mask` looks for."""
    text = str(error).partition("\n")[0]
    if address := _ADDRESS.search(text):
        before = text[: address.start()]
        text = before[: len(before) - len(_word_at_end(before))] + CUT
    if len(text) > _MOST:
        text = text[: _MOST - 1] + CUT
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _word_at_end(text: str) -> str:
    words = text.split()
    return words[-1] if words and not text[-1].isspace() else ""
