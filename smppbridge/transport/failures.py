"""The two ways a request fails, and what may be said of why."""

from __future__ import annotations

import re

#: What an address may begin with, or a query without one. Providers whose requests are GETs have their passwords there,
#: and the address of a proxy holds one.
_ADDRESS = re.compile(r"\S*(://|\?\S|[&=@])")
#: Characters of a reason.
_MOST = 200


class RequestFailed(Exception):
    """No answer. The text says why, for the log and the time-line; it holds no address and no query."""


class NotSent(RequestFailed):
    """The request was certainly not processed."""


class Unclear(RequestFailed):
    """The request may have been processed."""


def reason(error: BaseException) -> str:
    """An error of somebody else's in one line, cut off where an address or a query begins: it may hold a password."""
    text = str(error).partition("\n")[0]
    if address := _ADDRESS.search(text):
        text = text[: address.start()] + "…"
    text = text[:_MOST]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
