"""[distribution_lists]: who is behind a dl_name, in the file itself or in one of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from smppbridge import config
from smppbridge.config import MAX_DESTINATIONS

WHOLE = """
[accounts.demo]
password = "demo"
allowed_networks = ["127.0.0.0/8"]

[distribution_lists.staff]
accounts = ["demo"]
numbers = ["79990000001", "+79990000002"]

[providers.sandbox]
adapter = "sandbox"

[[routes]]
providers = ["sandbox"]
"""


def write(tmp_path: Path, old: str = "", new: str = "", *, file: str = "") -> Path:
    assert old in WHOLE
    path = tmp_path / "gateway.toml"
    path.write_text(WHOLE.replace(old, new), encoding="utf-8")
    path.chmod(0o600)
    if file:
        (tmp_path / "staff.txt").write_text(file, encoding="utf-8")
    return path


def mistakes(path: Path) -> list[str]:
    return [str(one).removeprefix(f"{path}: ") for one in config.check(path).mistakes]


def test_numbers_stand_in_the_configuration(tmp_path: Path) -> None:
    settings = config.load(write(tmp_path))
    assert settings.distribution_lists["staff"].numbers == ("79990000001", "+79990000002")


def test_those_of_the_file_come_after_them(tmp_path: Path) -> None:
    file = "# The night shift\n79990000003\n\n  +79990000004   # since May\r\n79990000001\n"
    path = write(
        tmp_path, 'numbers = ["79990000001"', f'file = "{tmp_path / "staff.txt"}"\nnumbers = ["1234"', file=file
    )
    numbers = config.load(path).distribution_lists["staff"].numbers
    assert numbers == ("1234", "+79990000002", "79990000003", "+79990000004", "79990000001")


def test_a_file_is_enough(tmp_path: Path) -> None:
    path = write(tmp_path, "numbers = [", f'file = "{tmp_path / "staff.txt"}"\n#', file="79990000003")
    assert config.load(path).distribution_lists["staff"].numbers == ("79990000003",)


def test_a_byte_order_mark_is_no_part_of_the_first_number(tmp_path: Path) -> None:
    path = write(tmp_path, "numbers = [", f'file = "{tmp_path / "staff.txt"}"\n#', file="\ufeff79990000003\r\n")
    assert config.load(path).distribution_lists["staff"].numbers == ("79990000003",)


def test_it_is_read_anew_with_the_configuration_and_the_log_names_nobodys_number(tmp_path: Path) -> None:
    path = write(tmp_path, "numbers = [", f'file = "{tmp_path / "staff.txt"}"\n#', file="79990000003")
    before = config.load(path)
    (tmp_path / "staff.txt").write_text("79990000003\n79990000004\n")
    after = config.load(path)
    assert config.diff(before, after) == ["[distribution_lists.staff] numbers: 1 of them → 2 of them"]


def test_a_file_stays_closed_to_who_only_looks_at_the_settings(tmp_path: Path) -> None:
    path = write(tmp_path, "numbers = [", 'file = "/not/there"\n#')
    checked = config.check(path, sealed=True)
    assert checked.mistakes == ()


TOO_MANY = ", ".join(f'"7{number:010}"' for number in range(MAX_DESTINATIONS + 1))

MISTAKES = [
    # text in the configuration, what stands there instead, what is said
    (
        "staff]",
        "'a dl_name of 21 octets']",
        '."a dl_name of 21 octets"]: its name is no dl_name: expected 1 to 20 printable',
    ),
    ("staff]", "'штаб']", '."штаб"]: its name is no dl_name: expected 1 to 20 printable ASCII characters'),
    ("staff]", "'']", '.""]: its name is no dl_name: expected 1 to 20 printable ASCII characters'),
    ('"demo"]\n', '"demo", "demp"]\n', '.staff] accounts (item 2) = "demp": there is no [accounts.demp]; did you mean'),
    ('["demo"]\n', "[]\n", ".staff] accounts = []: expected a list of at least one"),
    ('accounts = ["demo"]\n', "", ".staff] accounts is missing: expected a list of at least one"),
    ('"79990000001"', '"7 999"', '.staff] numbers (item 1) = "7 999": expected 3 to 20 digits, with or without a plus'),
    ('"79990000001"', '"12"', '.staff] numbers (item 1) = "12": expected 3 to 20 digits'),
    ('"79990000001"', f'"+{"1" * 20}"', ": expected 3 to 20 digits, with or without a plus"),
    ('numbers = ["79990000001", "+79990000002"]', "", ".staff]: there is no number in it"),
    ('"79990000001"', TOO_MANY, f".staff]: has more than {MAX_DESTINATIONS} numbers"),
    ("numbers =", "file = '/not/there'\nnumbers =", '.staff] file = "/not/there": cannot be read: No such file'),
    ("numbers =", "files = 'x'\nnumbers =", '.staff] files = "x": unknown key; did you mean "file"?'),
]


@pytest.mark.parametrize(("old", "new", "said"), MISTAKES)
def test_every_mistake_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    [mistake] = mistakes(write(tmp_path, old, new))
    assert mistake.startswith("[distribution_lists")
    assert said in mistake


def test_of_a_file_the_first_wrong_line_is_named(tmp_path: Path) -> None:
    file = "79990000003\n7999-1\nnobody\n# fine\nЯ\n"
    path = write(tmp_path, "numbers =", f'file = "{tmp_path / "staff.txt"}"\nnumbers =', file=file)
    [mistake] = mistakes(path)
    assert mistake.endswith(": line 2 is no number: expected 3 to 20 digits, with or without a plus (and 2 more)")
    path = write(tmp_path, "numbers = [", f'file = "{tmp_path / "staff.txt"}"\n#')
    (tmp_path / "staff.txt").write_bytes(b"\xff\xfe")
    [mistake] = mistakes(path)
    assert mistake.endswith(": expected text in UTF-8")


def test_as_many_as_one_submit_multi_may_have_are_not_too_many(tmp_path: Path) -> None:
    # The same number with and without a plus is one.
    numbers = [f"7{number:010}" for number in range(MAX_DESTINATIONS)]
    path = write(
        tmp_path,
        "numbers =",
        f'file = "{tmp_path / "staff.txt"}"\nnumbers =',
        file="\n".join([*numbers, f"+{numbers[0]}"]),
    )
    text = path.read_text().replace('"79990000001", "+79990000002"', "")
    path.write_text(text)
    assert mistakes(path) == []
