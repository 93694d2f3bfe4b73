"""docs/text-conventions.md and docs/adding-a-convention.md say what the code does."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from pdu import Alphabet, gsm0338
from smppbridge import commands
from smppbridge.commands import CONVENTIONS, Convention, Malformed, Reader

DOCS = Path(__file__).parents[2] / "docs"
CONVENTIONS_PAGE = (DOCS / "text-conventions.md").read_text(encoding="utf-8")
ADDING_PAGE = (DOCS / "adding-a-convention.md").read_text(encoding="utf-8")

NUMBER = "79991234567"


def table(page: str, head: str) -> list[str]:
    """The rows of the table whose first line is `head`."""
    lines = page.split(f"\n{head}\n", 1)[1].splitlines()
    rows = []
    for line in lines[1:]:
        if not line.startswith("|"):
            break
        rows.append(line)
    return rows


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split(" | ")]


def row_of(convention: Convention) -> str:
    says = " ".join((inspect.getdoc(convention) or "").split("\n\n")[0].split())
    prefix = f"`{convention.prefix}`" if convention.prefix else "none"
    example = convention.example.replace("\n", "\\n")
    return f"| {prefix} | {says} | `{example}` |"


def written(cell: str) -> str:
    """The text that a cell in code quotes stands for."""
    return cell.strip("`").replace("\\n", "\n")


def test_the_table_of_conventions_is_the_list_of_conventions():
    rows = table(CONVENTIONS_PAGE, "| Prefix | What it asks for | Example |")
    assert rows == [row_of(convention) for convention in CONVENTIONS]


def test_the_octets_of_the_raw_ascii_trap():
    for row in table(CONVENTIONS_PAGE, "| Text | GSM 03.38 | raw ASCII | raw ASCII read as GSM 03.38 |"):
        text, gsm, raw, misread = map(written, cells(row))
        assert bytes.fromhex(gsm) == gsm0338.encode(text)
        assert bytes.fromhex(raw) == text.encode("ascii")
        assert misread == gsm0338.decode(text.encode("ascii"))


# One message for every way to be refused, as octets and data_coding.
REFUSED: list[tuple[bytes, int]] = [
    (b"", 0),
    (b"\x04\x1f\x04", 8),
    (b"\xd8\x3d", 8),
    (b"\xff\xfe\x48\x00", 8),
    (b"caf\xe9", 1),
    (b"Hi", 5),
    ("Привет".encode(), 0),
    (b"__VIBER__: Hi\x00", 0),
    (b"\x11\x11VIBER\x11\x11: Hi", 4),
    (b"__viber__: Hi", 0),
    (b"__VIBER__ Hi", 0),
    (b"__VIBER__: ", 0),
    (b"__HLR__: 79991234567", 0),
    (b"__MAIL__: Hi", 0),
    (b"__MAIL__: Hi\nto:a@example.com\nsubj:S\nto:b@example.com", 0),
    (b"__MAIL__: Hi\nsubj:S\rBcc: b@example.com", 0),
    (b"__MAIL__: Hi\nsubj:S", 0),
    (b"__MAIL__: Hi\nsubj:S\nto:Ann <ann@example.com>", 0),
    (b"__CALL__: Hi\nVoice:w", 0),
    (b"__CALL__: Hi\nvoice:woman", 0),
    (b"__CALL__: Hi\n~~~\nparam:25,5,3", 0),
    (b"__TGM__: 12-34", 0),
    (b"__BOT__: Hi", 0),
    (b"__BOT__: Hi\nbot:my_bot", 0),
]


def refusal(body: bytes, data_coding: int) -> tuple[str, str]:
    with pytest.raises(Malformed) as refused:
        commands.read(
            body,
            data_coding=data_coding,
            has_udh=False,
            destination=NUMBER,
            alphabet=Alphabet.GSM,
            conventions=True,
        )
    return refused.value.status.name, refused.value.reason


def test_the_table_of_refusals_is_what_clients_get():
    rows = [cells(row)[:2] for row in table(CONVENTIONS_PAGE, "| Status | Reason | When |")]
    patterns = [(status, re.compile(re.escape(reason).replace("…", ".+"))) for status, reason in rows]
    met = set()
    for body, data_coding in REFUSED:
        status, reason = refusal(body, data_coding)
        assert len(reason.encode("ascii")) <= 255
        # "…; send UCS2 with data_coding 8" stands for what the codec says; the exact rows come first.
        fitting = [(s, p.pattern) for s, p in patterns if s == status and p.fullmatch(reason)]
        exact = [row for row in fitting if not row[1].startswith(".+")] or fitting
        assert len(exact) == 1, f"not one row for: {status} {reason}"
        met.add(exact[0])
    assert met == {(status, pattern.pattern) for status, pattern in patterns}


def test_no_refusal_is_missing_from_the_table():
    """Every `Malformed(` of the package has a reason that some message of REFUSED gets."""
    source = "".join(path.read_text(encoding="utf-8") for path in Path(commands.__file__).parent.glob("*.py"))
    raised = len(re.findall(r"(?:raise|return) Malformed\(", source))
    # The reason made of a codec's own words is raised for two of the messages.
    assert raised == len(REFUSED) - 1


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def test_the_worked_example_works(monkeypatch):
    whatsapp, line, test = blocks(ADDING_PAGE)
    made: dict[str, object] = {"__name__": "smppbridge.commands.whatsapp", "__package__": "smppbridge.commands"}
    exec(whatsapp, made)  # noqa: S102 -- a page of our own
    convention = eval(line.strip().rstrip(","), made)  # noqa: S307
    assert isinstance(convention, Convention)

    monkeypatch.setattr(commands, "read_text", Reader((convention, *CONVENTIONS)).read_text)
    tested: dict[str, object] = {"__name__": "test_whatsapp"}
    exec(test, tested)  # noqa: S102
    tested["test_whatsapp"]()
    what_is_refused = tested["test_what_is_refused"]
    (mark,) = what_is_refused.pytestmark
    for text in mark.args[1]:
        what_is_refused(text)
    assert commands.read_text(convention.example, NUMBER) == convention.parse(convention.example, NUMBER)
    assert row_of(convention) in ADDING_PAGE
