"""Health, metrics, callbacks, and the account's own handler, over real sockets."""

import http.server
import json
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from smppbridge.store.base import StoreFailed


@pytest.mark.journey
def test_health_and_metrics_tell_what_happened(start, connect):
    gateway = start()
    assert gateway.get("/healthz") == (200, '{"status":"ok"}')
    status, body = gateway.get("/readyz")
    assert status == 200
    assert json.loads(body)["parts"]["store"] == "ok"
    esme = connect(gateway)
    esme.bind()
    esme.submit("hello")
    esme.submit("hello")
    esme.receipts(1)
    status, text = gateway.get("/metrics")
    assert status == 200
    assert 'smppbridge_messages_accepted_total{account="demo"} 1.0' in text
    assert 'smppbridge_messages_refused_total{account="demo",status="ESME_RSUBMITFAIL"} 1.0' in text
    assert 'smppbridge_binds{account="demo",type="transceiver"} 1.0' in text
    assert 'smppbridge_provider_messages_total{outcome="sent",provider="sandbox"} 1.0' in text
    assert 'smppbridge_pdus_total{command="submit_sm",direction="in"} 2.0' in text
    assert "smppbridge_provider_seconds_bucket" in text


@pytest.mark.journey
def test_metrics_are_for_those_who_may_see_them(start):
    gateway = start(**{"[http]": '[http]\nmetrics_networks = ["192.0.2.0/24"]'})
    assert gateway.get("/metrics")[0] == 403


TOKEN = "a-token-nobody-guesses"


@pytest.mark.journey
@pytest.mark.parametrize(
    "path", ["/callback/sandbox/wrong", "/callback/nobody/" + TOKEN, "/callback/sandbox/", "/callback"]
)
def test_a_callback_without_the_token_finds_nothing(start, path):
    gateway = start(**{'adapter = "sandbox"': f'adapter = "sandbox"\ncallback_token = "{TOKEN}"'})
    assert gateway.get(path, b"{}")[0] == 404


@pytest.mark.journey
def test_no_token_configured_means_no_callbacks(start):
    assert start().get("/callback/sandbox/", b"{}")[0] == 404


@pytest.mark.journey
def test_a_callback_that_is_not_the_providers_is_refused(start):
    gateway = start(**{'adapter = "sandbox"': f'adapter = "sandbox"\ncallback_token = "{TOKEN}"'})
    status, _ = gateway.get(f"/callback/sandbox/{TOKEN}", b"not json")
    assert 400 <= status < 500


@pytest.mark.journey
def test_a_callback_that_is_too_large_is_refused(start):
    gateway = start(
        **{
            'adapter = "sandbox"': f'adapter = "sandbox"\ncallback_token = "{TOKEN}"',
            "[http]": "[http]\nmax_body = 1024",
        }
    )
    assert gateway.get(f"/callback/sandbox/{TOKEN}", b"x" * 2000)[0] == 413


@pytest.mark.journey
def test_a_store_that_takes_nothing_more_is_not_ready(start):
    gateway = start()
    # As after a failed fsync (tests/store/test_sqlite.py); what is there can still be read.
    gateway.gateway.store._writer._failed = StoreFailed("the disk is gone")
    status, body = gateway.get("/readyz")
    assert status == 503
    assert json.loads(body)["parts"]["store"] == "the disk is gone"
    assert gateway.get("/metrics")[0] == 200


@pytest.fixture
def handler():
    """An account's HTTP handler that answers 200, what it has seen, and when it saw something."""
    seen, arrived = [], threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            seen.append(dict(urllib.parse.parse_qsl(body)))
            self.send_response(200)
            self.end_headers()
            arrived.set()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/status", seen, arrived
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.journey
def test_without_registered_delivery_the_status_goes_to_the_handler(start, connect, handler):
    url, seen, arrived = handler
    esme = connect(start(f'[accounts.demo.handler]\nurl = "{url}"\nsecret = "s"'))
    esme.bind()
    answer = esme.submit("hello", registered_delivery=0)
    assert arrived.wait(10)
    assert seen[0]["id"] == answer.message_id
    assert seen[0]["status"] == "1"
    assert len(seen[0]["md5"]) == 32
    assert not esme.aside


@pytest.mark.journey
def test_a_callback_that_breaks_off_is_no_mistake_of_ours(start, capfd):
    gateway = start(**{'adapter = "sandbox"': f'adapter = "sandbox"\ncallback_token = "{TOKEN}"'})
    host, _, port = gateway.gateway.http_address.rpartition(":")
    head = f"POST /callback/sandbox/{TOKEN} HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n\r\n"
    with socket.create_connection((host, int(port)), 10) as client:
        client.sendall(head.encode() + b"half of it")
    deadline = time.monotonic() + 5
    while not gateway.gateway.callbacks.refused and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gateway.gateway.callbacks.refused == 1
    gateway.stop()
    said = capfd.readouterr()
    assert "Traceback" not in said.out + said.err


@pytest.mark.journey
@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE", "OPTIONS"])
def test_a_callback_by_another_method_is_refused(start, method):
    gateway = start(**{'adapter = "sandbox"': f'adapter = "sandbox"\ncallback_token = "{TOKEN}"'})
    request = urllib.request.Request(f"http://{gateway.gateway.http_address}/callback/sandbox/{TOKEN}", method=method)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    with refused.value as answer:
        assert answer.code == 405
    assert gateway.gateway.callbacks.taken == 0
