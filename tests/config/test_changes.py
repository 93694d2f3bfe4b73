from __future__ import annotations

from typing import Any

import pytest

from smppbridge.config import Config, diff

BASE: dict[str, Any] = {
    "accounts": {"demo": {"password": "demo", "allowed_networks": ["127.0.0.1"], "throughput": 5}},
    "providers": {"smsc": {"adapter": "smsc", "psw": "one", "login": "me", "callback_token": "t"}},
    "routes": [{"providers": ["smsc"]}],
}


def changed(**tables: Any) -> Config:
    merged = dict(BASE)
    for name, table in tables.items():
        merged[name] = {**BASE.get(name, {}), **table} if isinstance(table, dict) else table
    return Config.model_validate(merged)


DEMO = BASE["accounts"]["demo"]
SMSC = BASE["providers"]["smsc"]
HANDLER = {"url": "http://127.0.0.1/?key=S3CRET"}

CHANGES = [
    ({}, []),
    ({"accounts": {"demo": {**DEMO, "throughput": 50}}}, ["[accounts.demo] throughput: 5 → 50"]),
    ({"accounts": {"demo": {**DEMO, "password": "S3CRET"}}}, ["[accounts.demo] password: changed"]),
    ({"accounts": {"demo": {**DEMO, "alphabet": "iso"}}}, ['[accounts.demo] alphabet: "gsm" → "iso"']),
    ({"accounts": {"demo": {**DEMO, "handler": HANDLER}}}, ["[accounts.demo.handler]: new"]),
    ({"accounts": {"two": DEMO}}, ["[accounts.two]: new"]),
    (
        {"accounts": {"demo": {**DEMO, "allowed_networks": ["10.0.0.0/8"]}}},
        ['[accounts.demo] allowed_networks: ["127.0.0.1/32"] → ["10.0.0.0/8"]'],
    ),
    ({"providers": {"smsc": {**SMSC, "psw": "S3CRET"}}}, ["[providers.smsc] psw: changed"]),
    ({"providers": {"smsc": {**SMSC, "login": "you"}}}, ['[providers.smsc] login: "me" → "you"']),
    ({"providers": {"smsc": {**SMSC, "sender": "x"}}}, ['[providers.smsc] sender: nothing → "x"']),
    ({"providers": {"smsc": {**SMSC, "callback_token": "S3CRET"}}}, ["[providers.smsc] callback_token: changed"]),
    ({"routes": [{"providers": ["smsc"], "account": "demo"}]}, ["[[routes]]: changed, 1 before, 1 now"]),
    ({"store": {"path": "x.db"}}, ['[store] path: "var/smppbridge.db" → "x.db" (needs a restart)']),
    ({"smpp": {"window": 5}}, ["[smpp] window: 100 → 5"]),
    (
        {"smpp": {"listeners": [{"listen": "h:1"}, {"listen": "h:2"}]}},
        ["[smpp] listeners: 1 of them → 2 of them (needs a restart)"],
    ),
    ({"http": {"listen": ""}}, ['[http] listen: "127.0.0.1:8080" → nothing (needs a restart)']),
]


@pytest.mark.parametrize(("tables", "lines"), CHANGES)
def test_what_changed(tables: dict[str, Any], lines: list[str]) -> None:
    assert diff(changed(), changed(**tables)) == lines
    assert "S3CRET" not in "".join(diff(changed(**tables), changed()))


def test_what_is_gone() -> None:
    two = changed(accounts={"two": DEMO})
    assert diff(two, changed()) == ["[accounts.two]: gone"]


def test_what_needs_a_restart_is_for_the_caller_to_say() -> None:
    assert diff(changed(), changed(smpp={"window": 5}), ("smpp.window",)) == [
        "[smpp] window: 100 → 5 (needs a restart)"
    ]
