"""Anybody who reaches the callbacks: what he may try, and what he learns by it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

PROVIDERS = """
[providers.open]
adapter = "smsc"
base_url = "http://127.0.0.1:1/"
login = "me"
password = "secret"
callback_secret = "signs what is called back"
callback_token = "0123456789abcdef-right"

[providers.elsewhere]
adapter = "smsc"
base_url = "http://127.0.0.1:1/"
login = "me"
password = "secret"
callback_secret = "signs what is called back"
callback_token = "0123456789abcdef-right"
callback_networks = ["192.0.2.0/24"]
"""
RIGHT = "0123456789abcdef-right"


def ask(running: Any, target: str, more: str = "", method: str = "POST", named: str = "Host: x\r\n") -> bytes:
    """The whole answer, octet by octet but for the date."""
    host, port = running.gateway.http_address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), 10) as sock:
        head = f"{method} {target} HTTP/1.1\r\n{named}Connection: close\r\nContent-Length: 0\r\n{more}\r\n"
        sock.sendall(head.encode())
        answer = b""
        while data := sock.recv(65536):
            answer += data
    return b"\r\n".join(line for line in answer.split(b"\r\n") if not line.lower().startswith(b"date:"))


@pytest.mark.journey
def test_every_closed_door_looks_the_same(start: Callable[..., Any]) -> None:
    """No provider of this name, none that is called back, a wrong token, the wrong network: one answer to all."""
    running = start(PROVIDERS)
    answers = {
        ask(running, target)
        for target in (
            "/callback/nobody/guess", "/callback/sandbox/guess", "/callback/open/guess", f"/callback/open/{RIGHT[:-1]}",
            f"/callback/open/{RIGHT}x", f"/callback/elsewhere/{RIGHT}", "/callback/open/%00", "/callback/open/%ff",
            "/callback/open/" + "x" * 10_000, "/callback/%1b%5b2J/x", "/callback/..%2fopen/x",
        )
    }  # fmt: skip
    assert len(answers) == 1
    assert answers.pop().startswith(b"HTTP/1.1 404 ")
    # The token opens the door; what comes in has to be signed.
    assert not ask(running, f"/callback/open/{RIGHT}").startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 200 "))


@pytest.mark.journey
def test_a_header_moves_nobody_into_a_network(start: Callable[..., Any]) -> None:
    """From this machine it is believed, so that a proxy can tell; the last address in it is the proxy's own word."""
    running = start(PROVIDERS)
    for forwarded in ("192.0.2.7, 203.0.113.5", "192.0.2.7:80, 203.0.113.5", "'192.0.2.7', 203.0.113.5"):
        assert b" 404 " in ask(running, f"/callback/elsewhere/{RIGHT}", f"X-Forwarded-For: {forwarded}\r\n")
    for header in ("X-Real-IP", "Forwarded", "CF-Connecting-IP", "True-Client-IP"):
        assert b" 404 " in ask(running, f"/callback/elsewhere/{RIGHT}", f"{header}: 192.0.2.7\r\n")
    assert b" 404 " not in ask(running, f"/callback/elsewhere/{RIGHT}", "X-Forwarded-For: 192.0.2.7\r\n")


@pytest.mark.journey
def test_metrics_are_for_their_networks_and_nothing_else_is_shown(start: Callable[..., Any]) -> None:
    running = start()
    outside = "X-Forwarded-For: 203.0.113.5\r\n"
    assert ask(running, "/metrics", outside, "GET").startswith(b"HTTP/1.1 403 ")
    assert ask(running, "/metrics", "", "GET").startswith(b"HTTP/1.1 200 ")
    for target in ("/", "/openapi.json", "/docs", "/redoc", "/callback", "/callback/", "/callback/sandbox", "/metrics/",
                   "/static/../metrics", "/..%2f..%2fetc/passwd", "//metrics", "/healthz/../metrics"):  # fmt: skip
        told = ask(running, target, outside, "GET")
        assert not told.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 3")), target
        assert b"smppbridge" not in told


@pytest.mark.journey
@pytest.mark.parametrize("host", ["Host: evil.example", "Host: [", "Host:"])
def test_nobody_is_sent_elsewhere(start: Callable[..., Any], host: str) -> None:
    """Not to what he says is our name, and not to the address that we listen on."""
    running = start()
    for target in ("/metrics/", "/healthz/", "/readyz/"):
        told = ask(running, target, f"{host}\r\n", "GET", named="").lower()
        assert told.startswith(b"http/1.1 404 ")
        assert b"location" not in told
        assert b"evil" not in told
        assert b"127.0.0.1" not in told


@pytest.mark.journey
def test_guesses_add_no_labels_to_metrics(start: Callable[..., Any], connect: Callable[..., Any]) -> None:
    running = start()
    for number in range(30):
        ask(running, f"/callback/provider{number}/x")
        if number < 4:
            connect(running).bind(system_id=f"guess{number}", password="x")
    told = running.get("/metrics")[1]
    assert "guess" not in told
    assert "provider1" not in told
    assert 'smppbridge_callbacks_total{outcome="refused"} 30.0' in told
