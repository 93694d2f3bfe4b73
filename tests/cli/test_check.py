from __future__ import annotations

from pathlib import Path
from typing import Any


def test_all_is_well(run: Any, config: Path) -> None:
    result = run("check-config", "--config", config)
    assert result.exit_code == 0
    assert result.stderr == ""
    words = " ".join(result.stdout.split())
    assert "SMPP 127.0.0.1:2775 plain" in words
    assert "demo 127.0.0.0/8 any 10 unlimited plain" in words
    assert "paid smsc all 8 unlimited /callback/paid/***" in words
    assert "1 any hlr viber any any paid, then sandbox" in words
    assert f"ok: {config}" in words
    assert "S3" not in result.output


def test_every_mistake_is_printed_and_nothing_else(run: Any, config: Path) -> None:
    text = config.read_text(encoding="utf-8").replace("[[routes]]", "[[routes]]\nacount = 'x'", 1)
    config.write_text(text.replace('password = "demo"', "password = 5\nmax_binds = 'many'"), encoding="utf-8")
    result = run("check-config", "--config", config)
    assert result.exit_code == 78
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 4
    assert lines[0] == f"{config}: [accounts.demo] password = ***: expected a text"
    assert 'did you mean "account"?' in lines[2]
    assert lines[3] == f"3 mistakes in {config}"


def test_warnings_do_not_fail(run: Any, config: Path) -> None:
    text = config.read_text(encoding="utf-8").replace('password = "demo"', 'password = "ninechars"')
    config.write_text(text, encoding="utf-8")
    result = run("check-config", "--config", config)
    assert result.exit_code == 0
    assert "warning: " in result.stdout
    assert "ninechars" not in result.output


def test_a_cascade_shows_its_legs(run: Any, config: Path) -> None:
    legs = """[[routes.cascade]]
providers = ["sandbox", "paid"]
wait = "90s"
[[routes.cascade]]
kind = "sms"
providers = ["sandbox"]
"""
    text = (
        config.read_text(encoding="utf-8").replace('providers = ["paid", "sandbox"]\n', legs).replace('"hlr"', '"soc"')
    )
    config.write_text(text, encoding="utf-8")
    words = " ".join(run("check-config", "--config", config).stdout.split())
    assert "as it is by sandbox or paid for 90 s, then sms by sandbox" in words
