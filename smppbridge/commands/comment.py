"""The comment: what stands after `\\n~~~\\n` is kept with the message and never sent."""

from __future__ import annotations

import re

# Line feed, three tildes, line feed; clients that end their lines with CR LF write the same.
_SEPARATOR = re.compile(r"\n~~~\r?\n")


def split(text: str) -> tuple[str, str]:
    """What is for the subscriber, and the comment. The first separator counts: everything after it is comment.

    Tildes at the very end without the last line feed, or at the very beginning without the first, are no separator:
    they are sent as they stand.
    """
    found = _SEPARATOR.search(text)
    if found is None:
        return text, ""
    return text[: found.start()].removesuffix("\r"), text[found.end() :]
