"""Prints PDUs field by field.

    python -m pdu 00000010 00000015 00000000 00000001
    xxd -p captured | python -m pdu

Hexadecimal digits come as arguments or on the input; blanks, line ends, colons, commas and 0x between them do not
matter, and several PDUs may follow each other. Of a PDU that cannot be read it prints what can, where it broke, and
what is answered. A password is never shown.

The exit code is 0 if every PDU is whole, 1 if one is not, 2 if the input is not hexadecimal.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import textwrap

from .dump import Row, frames, rows, title

#: Octets on a line.
_OCTETS = 8
#: Values up to this long have their meanings in line.
_VALUE = 14
#: A line where it is no terminal that says.
_COLUMNS = 120
#: What is no digit and does not matter.
_BETWEEN = re.compile(r"0x|\\x|[\s:,;]", re.IGNORECASE)

_BOLD, _DIM, _RED = "1", "2", "31"


def main(arguments: list[str] | None = None) -> int:
    """Print what is given and return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments in (["-h"], ["--help"]):
        print(__doc__)
        return 0
    digits = _BETWEEN.sub("", " ".join(arguments) if arguments else sys.stdin.read())
    try:
        data = bytes.fromhex(digits)
    except ValueError:
        data = b""
    if not data:
        print("Hexadecimal digits are needed, two an octet; python -m pdu --help tells more.", file=sys.stderr)
        return 2
    whole = True
    for number, frame in enumerate(frames(data)):
        if number:
            print()
        whole &= show(frame)
    return 0 if whole else 1


def show(frame: bytes) -> bool:
    """Print one PDU; tell whether it is whole."""
    table = list(rows(frame))
    widths = max(len(row.name) for row in table), max(len(row.value) for row in table if len(row.value) <= _VALUE)
    print(_styled(title(frame), _BOLD))
    for row in table:
        for line in lines(row, *widths):
            print(line)
    return not table[-1].broken


def lines(row: Row, name_width: int, value_width: int) -> list[str]:
    """Lay one row out: offset, octets, name, value and meaning, as many lines as the longer side needs."""
    octets = ["** " * 3] if row.secret else _in_lines(row.octets)
    beside = f"{row.value:{value_width}}  {row.meaning}".rstrip() if row.meaning else row.value
    if row.broken:
        beside = row.meaning
    columns = shutil.get_terminal_size((_COLUMNS, 0)).columns if sys.stdout.isatty() else _COLUMNS
    left = len(f"{0:6}  {'':{3 * _OCTETS}} {'':{name_width}}  ")
    said = textwrap.wrap(beside, max(40, columns - left)) or [""]
    laid_out = []
    for number in range(max(len(octets), len(said))):
        offset = f"{row.offset:6}" if number == 0 else ""
        hexadecimal = octets[number] if number < len(octets) else ""
        name = row.name if number == 0 else ""
        value = said[number] if number < len(said) else ""
        line = _styled(f"{offset:6}  {hexadecimal:{3 * _OCTETS}}", _DIM)
        laid_out.append(f"{line} {name:{name_width}}  {_styled(value, _RED) if row.broken else value}".rstrip())
    return laid_out


def _in_lines(octets: bytes) -> list[str]:
    return [octets[at : at + _OCTETS].hex(" ") for at in range(0, len(octets), _OCTETS)] or [""]


def _styled(text: str, style: str) -> str:
    """Style for a terminal; what goes to a file or a pipe stays plain."""
    if not text.strip() or not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return text
    return f"\x1b[{style}m{text}\x1b[0m"


if __name__ == "__main__":
    sys.exit(main())
