from __future__ import annotations

import re
from typing import Any

import pytest

from smppbridge.smpp.admission import verify_password


def test_from_standard_input(run: Any) -> None:
    result = run("hash-password", "--stdin", input="s3same\n")
    assert result.exit_code == 0
    found = re.fullmatch(r'password_hash = "(scrypt\$[^"]+)"\n', result.stdout)
    assert found
    assert verify_password("s3same", found[1])
    assert not verify_password("s3samf", found[1])


def test_asked_twice_without_showing(run: Any) -> None:
    result = run("hash-password", input="s3same\ns3samf\ns3same\ns3same\n")
    assert result.exit_code == 0
    assert "s3sam" not in result.output
    assert 'password_hash = "scrypt$' in result.stdout


@pytest.mark.parametrize(
    ("password", "code", "said"), [("", 1, "the password is empty"), ("ninechars", 0, "9 characters and SMPP 3.4")]
)
def test_what_is_said_of_bad_passwords(run: Any, password: str, code: int, said: str) -> None:
    result = run("hash-password", "--stdin", input=f"{password}\n")
    assert result.exit_code == code
    assert said in result.stderr
