"""What others wrote, made so that a terminal, a pager and a log reader show it and do nothing else.

Texts, addresses, words of a provider and names in a configuration are other people's. Written raw to a terminal they
move the cursor, change its title, answer in the operator's place (ESC, and the C1 controls of ISO 6429), or read in
another order than they stand (Unicode's bidirectional controls). Here such a character becomes its number. What is
stored and sent stays as it came.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

#: Controls of ASCII and of ISO 6429, those of Unicode that end a line or turn its direction, and halves of pairs.
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def visible(text: str, *, keep: str = "") -> str:
    """`text` with `\\x1b` and `\\u202e` in the place of what would not show; `keep` says what stays."""
    return _HIDDEN.sub(lambda found: found[0] if found[0] in keep else _number(found[0]), text)


def as_json(value: Any) -> bytes:
    """One line of JSON that reads as `value` does, and says such characters by their number. What JSON has no word for
    is told as text."""
    try:
        line = _encode(value)
    except UnicodeEncodeError:
        # Half of a surrogate pair: msgspec has no way to write one, which must cost nobody the line.
        return json.dumps(value, default=str).encode()
    if line.isascii() and b"\x7f" not in line:
        return line
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", line.decode()).encode()


def _number(character: str) -> str:
    return f"\\x{ord(character):02x}" if character < "\x80" else f"\\u{ord(character):04x}"


_encode = msgspec.json.Encoder(enc_hook=str).encode
