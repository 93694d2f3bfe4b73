"""The journeys with clients that nobody here wrote: node-smpp, aiosmpplib, Net::SMPP and Kannel, beside smpplib, which
other tests use. One that a machine lacks is skipped with one line; `.ci/run` installs them all."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
TO = "79991234567"


# node-smpp -----------------------------------------------------------------------------------------------------------


class Node:
    """node-smpp in a process of its own, told what to do line by line."""

    def __init__(self, port: int, modules: Path) -> None:
        program = shutil.which("node")
        assert program
        self.process = subprocess.Popen(
            [program, str(HERE / "esme.js"), str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"NODE_PATH": str(modules)},
        )

    def read(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "node-smpp ended"
        return json.loads(line)

    def ask(self, what: str, **fields: Any) -> dict[str, Any]:
        assert self.process.stdin
        self.process.stdin.write(json.dumps({"do": what, **fields}) + "\n")
        self.process.stdin.flush()
        return self.read()

    def receipts(self, count: int) -> list[dict[str, Any]]:
        return self.ask("receipts", count=count)["receipts"]

    def close(self) -> None:
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            pipe.close()
        self.process.wait()


@pytest.fixture(scope="session")
def modules() -> Path:
    """node-smpp, installed into `var/`, outside of what git knows."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not here: node-smpp is not tried")
    folder = HERE.parents[1] / "var" / "clients"
    if not (folder / "node_modules" / "smpp").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(HERE / "package.json", folder)
        command = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"]
        installed = subprocess.run(command, cwd=folder, check=False, timeout=120, capture_output=True)
        if installed.returncode:
            pytest.skip("npm could not install node-smpp")
    return folder / "node_modules"


@pytest.fixture
def node(modules: Path) -> Iterator[Callable[[Any], Node]]:
    clients: list[Node] = []

    def node(gateway: Any) -> Node:
        client = Node(gateway.port, modules)
        clients.append(client)
        bound = client.read()
        assert (bound["answer"], bound["status"], bound["sc_interface_version"]) == ("bind_transceiver_resp", 0, 0x50)
        return client

    yield node
    for client in clients:
        client.close()


@pytest.mark.journey
def test_node_smpp_sends_and_hears_of_it(start: Any, node: Callable[[Any], Node]) -> None:
    client = node(start())
    texts = ["Hello", "Привет, мир", "a" * 400, "__VIBER__: Hello on Viber"]
    ids = []
    for text in texts:
        answer = client.ask(
            "submit_sm",
            source_addr="TEST",
            destination_addr=TO,
            registered_delivery=1,
            **({"message_payload": text} if len(text) > 140 else {"short_message": text}),
        )
        assert (answer["answer"], answer["status"]) == ("submit_sm_resp", 0), answer
        ids.append(answer["message_id"])
    receipts = client.receipts(4)
    assert {receipt["receipted_message_id"] for receipt in receipts} == set(ids)
    assert all("stat:DELIVRD" in receipt["short_message"] for receipt in receipts)
    assert all(receipt["esm_class"] == 4 for receipt in receipts)
    found = client.ask("submit_sm", destination_addr=TO, registered_delivery=1, short_message="__HLR__")
    (receipt,) = client.receipts(1)
    assert re.match(rf"id:{found['message_id']} stat:DELIVRD err:000 imsi:\d+ msc:\d+ ", receipt["short_message"])
    unbound = client.ask("unbind")
    assert (unbound["answer"], unbound["status"]) == ("unbind_resp", 0)


@pytest.mark.journey
def test_node_smpp_is_told_why_it_is_refused(start: Any, node: Callable[[Any], Node]) -> None:
    """It binds with 5.0, so a refusal has its reason in additional_status_info_text."""
    client = node(start())
    refused = client.ask("submit_sm", destination_addr="nobody", short_message="Hello")
    assert (refused["status"], refused["message_id"]) == (0x0B, "")
    assert "3 to 20 digits" in refused["additional_status_info_text"]


@pytest.mark.journey
def test_node_smpp_sends_to_many_and_asks_and_takes_back(start: Any, node: Callable[[Any], Node]) -> None:
    client = node(start())
    numbers = ["79991110031", "79991110032", "nobody"]
    many = client.ask(
        "submit_multi",
        source_addr="TEST",
        registered_delivery=1,
        short_message="Hello, all",
        dest_address=[{"dest_addr_ton": 1, "dest_addr_npi": 1, "destination_addr": number} for number in numbers],
    )
    assert (many["answer"], many["status"]) == ("submit_multi_resp", 0)
    assert [(one["destination_addr"], one["error_status_code"]) for one in many["unsuccess_sme"]] == [("nobody", 0x0B)]
    receipts = client.receipts(2)
    assert {receipt["source_addr"] for receipt in receipts} == set(numbers[:2])
    assert {receipt["receipted_message_id"] for receipt in receipts} == {many["message_id"]}

    data = client.ask("data_sm", source_addr="TEST", destination_addr=TO, message_payload="By DATA_SM")
    assert (data["answer"], data["status"]) == ("data_sm_resp", 0)

    later = datetime.now(UTC) + timedelta(hours=1)
    fields = {"source_addr": "TEST", "schedule_delivery_time": later.strftime("%y%m%d%H%M%S000+")}
    kept = client.ask("submit_sm", destination_addr=TO, short_message="Later", registered_delivery=1, **fields)
    named = {"message_id": kept["message_id"], "source_addr": "TEST"}
    assert client.ask("query_sm", **named)["message_state"] == 0, "SCHEDULED, of 5.0"
    assert client.ask("replace_sm", **named, short_message="Later still", registered_delivery=1)["status"] == 0
    assert client.ask("cancel_sm", **named)["status"] == 0
    (receipt,) = client.receipts(1)
    assert "stat:DELETED" in receipt["short_message"]
    over = client.ask("query_sm", **named)
    assert (over["message_state"], over["error_code"]) == (4, 0)
    assert over["final_date"]
    assert client.ask("cancel_sm", **named)["status"] == 0x11


@contextlib.contextmanager
def within(process: subprocess.Popen[str], seconds: float = 60) -> Iterator[None]:
    """A client that hangs is ended, so that whoever reads from it sees the end."""
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


# aiosmpplib ----------------------------------------------------------------------------------------------------------


@pytest.mark.journey
def test_aiosmpplib_sends_and_reads_its_receipts(start: Any) -> None:
    pytest.importorskip("aiosmpplib")
    texts = ["Hello", "Привет", "€uro {braces}", "b" * 500]
    command = [sys.executable, str(HERE / "esme.py"), str(start().port), *texts]
    said: dict[str, Any] = {}
    receipts: dict[str, Any] = {}
    with (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
        within(process),
    ):
        assert process.stdin
        assert process.stdout
        while len(receipts) < len(texts):
            read = process.stdout.readline()
            assert read, "aiosmpplib ended"
            line = json.loads(read)
            if "answer" in line:
                assert line["answer"] == 0
                said[line["id"]] = line["log_id"]
            elif line.get("receipt"):
                receipts[line["receipt"]["id"]] = line["receipt"]
        process.stdin.write("stop\n")
        process.stdin.close()
        assert process.wait(20) == 0
    assert receipts.keys() == said.keys()
    assert sorted(said.values()) == [str(number) for number in range(len(texts))]
    assert {receipt["stat"] for receipt in receipts.values()} == {"DELIVRD"}
    assert all(receipt["dlvrd"] == receipt["sub"] for receipt in receipts.values())


# Net::SMPP -----------------------------------------------------------------------------------------------------------


@pytest.mark.journey
def test_net_smpp_sends_hears_asks_and_goes(start: Any) -> None:
    perl = shutil.which("perl")
    if perl is None or subprocess.run([perl, "-MNet::SMPP", "-e", "1"], check=False, capture_output=True).returncode:
        pytest.skip("Perl's Net::SMPP is not here (Debian: libnet-smpp-perl)")
    command = [perl, str(HERE / "esme.pl"), str(start().port)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    # It says on standard error that it does not know the TLVs of the vendor, and reads on.
    assert done.returncode == 0, done.stderr
    bound, submitted, receipt, refused, state, unbound = done.stdout.splitlines()
    id = submitted.split()[2]
    assert (bound, submitted) == ("bound", f"submitted 0 {id}")
    assert re.fullmatch(rf"receipt 4 id:{id} sub:001 dlvrd:001 .* stat:DELIVRD err:000 text:Hello from Perl", receipt)
    assert refused == "refused 11"
    assert re.fullmatch(r"state 0 2 \d{15}[+-]", state)
    assert unbound == "unbound 0"


# Kannel --------------------------------------------------------------------------------------------------------------

KANNEL = """
group = core
admin-port = {admin}
smsbox-port = {smsbox}
admin-password = test
admin-interface = 127.0.0.1
smsbox-interface = 127.0.0.1
log-file = {folder}/bearerbox.log
log-level = 0
dlr-storage = internal
box-allow-ip = 127.0.0.1

group = smsc
smsc = smpp
smsc-id = gateway
host = 127.0.0.1
port = {port}
smsc-username = demo
smsc-password = demo
system-type = ""
transceiver-mode = true
interface-version = 34
enquire-link-interval = 30
reconnect-delay = 1
max-pending-submits = 300
wait-ack-expire = 0
throughput = 100
source-addr-autodetect = yes

group = smsbox
bearerbox-host = 127.0.0.1
bearerbox-port = {smsbox}
sendsms-port = {sendsms}
sendsms-interface = 127.0.0.1
log-file = {folder}/smsbox.log
log-level = 0

group = sendsms-user
username = tester
password = tester
concatenation = true
max-messages = 10

group = sms-service
keyword = default
max-messages = 0
get-url = "http://127.0.0.1:{heard}/mo?from=%p&to=%P&text=%a"
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Heard(http.server.ThreadingHTTPServer):
    """Takes what Kannel reports."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Hearing)
        self.paths: list[str] = []
        self.news = threading.Condition()

    def wait_for(self, wanted: Callable[[list[str]], bool]) -> list[str]:
        with self.news:
            assert self.news.wait_for(lambda: wanted(self.paths), 30), self.paths
            return list(self.paths)


class _Hearing(http.server.BaseHTTPRequestHandler):
    server: Heard

    def do_GET(self) -> None:
        with self.server.news:
            self.server.paths.append(urllib.parse.unquote_plus(self.path))
            self.server.news.notify_all()
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Not on the screen."""


@pytest.fixture
def heard() -> Iterator[Heard]:
    with Heard() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Kannel:
    """bearerbox and smsbox, with the settings that smsc.ru gives its customers."""

    def __init__(self, folder: Path, port: int, heard: Heard) -> None:
        self.ports = {name: free_port() for name in ("admin", "smsbox", "sendsms")}
        self.heard = heard
        config = folder / "kannel.conf"
        config.write_text(KANNEL.format(folder=folder, port=port, heard=heard.server_address[1], **self.ports))
        self.processes: list[subprocess.Popen[bytes]] = []
        for program in ("bearerbox", "smsbox"):
            found = shutil.which(program) or f"/usr/sbin/{program}"
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            self.processes.append(subprocess.Popen([found, "-v", "4", str(config)], cwd=folder, **quiet))
            self.until(lambda: self.answers("smsbox" if program == "bearerbox" else "sendsms"))  # noqa: B023
        self.until(lambda: "online" in self.get("admin", "status.txt?password=test"))

    def until(self, ready: Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while not ready():
            assert time.monotonic() < end, "Kannel did not come up"
            time.sleep(0.1)

    def answers(self, name: str) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.ports[name]), 1).close()
        except OSError:
            return False
        return True

    def get(self, name: str, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[name]}/{path}", timeout=10) as answer:
            return str(answer.read().decode("latin-1"))

    def send(self, text: str, mark: str, **fields: str) -> str:
        base = {"username": "tester", "password": "tester", "from": "TEST", "to": TO, "dlr-mask": "31"}
        report = f"http://127.0.0.1:{self.heard.server_address[1]}/dlr?type=%d&answer=%A&foreign=%F&mark={mark}"
        query = urllib.parse.urlencode({**base, "text": text, "dlr-url": report, **fields})
        return self.get("sendsms", f"cgi-bin/sendsms?{query}")

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def kannel(tmp_path: Path, heard: Heard) -> Iterator[Callable[[Any], Kannel]]:
    if not (shutil.which("bearerbox") or Path("/usr/sbin/bearerbox").exists()):
        pytest.skip("Kannel is not here (Debian: kannel)")
    running: list[Kannel] = []

    def kannel(gateway: Any) -> Kannel:
        running.append(Kannel(tmp_path, gateway.port, heard))
        return running[-1]

    yield kannel
    for one in running:
        one.stop()


#: Kannel's types of delivery reports: 1 delivered, 2 not delivered, 4 queued, 8 accepted by the centre, 16 rejected.
DELIVERED, ACCEPTED, REJECTED = 1, 8, 16


@pytest.mark.journey
@pytest.mark.parametrize("like", ["smsc.ru", "kannel"])
def test_kannel_sends_and_reads_its_receipts(
    start: Any, kannel: Callable[[Any], Kannel], heard: Heard, like: str
) -> None:
    networks = 'allowed_networks = ["127.0.0.0/8"]'
    box = kannel(start(**{networks: f'{networks}\ndialect = "{like}"'}))
    texts = ["Hello from Kannel", "Привет от Kannel", "Long: " + "c" * 400, "__VIBER__: Hello"]
    for number, text in enumerate(texts):
        coding = {} if text.isascii() else {"coding": "2", "charset": "UTF-8"}
        said = box.send(text, f"m{number}", **coding)
        assert said.startswith("0: Accepted"), said
    paths = heard.wait_for(lambda paths: len(reports(paths, DELIVERED)) >= len(texts))
    assert reports(paths, DELIVERED) == ["m0", "m1", "m2", "m3"]
    box.send("Nowhere", "m4", to="1")
    assert reports(heard.wait_for(lambda paths: bool(reports(paths, REJECTED))), REJECTED) == ["m4"]


@pytest.mark.journey
def test_kannel_is_back_after_a_restart_of_the_gateway(
    start: Any, kannel: Callable[[Any], Kannel], heard: Heard
) -> None:
    """Nothing is lost and nothing is told twice over a restart: Kannel binds again by itself."""
    port = free_port()
    listen = {
        'listen = "127.0.0.1:0" }]': f'listen = "127.0.0.1:{port}" }}]',
        'status_delay = "20ms"': 'status_delay = "3s"',
    }
    first = start(**listen)
    box = kannel(first)
    marks = [f"m{number}" for number in range(5)]
    for mark in marks:
        assert box.send(f"Message {mark}", mark).startswith("0: Accepted")
    heard.wait_for(lambda paths: reports(paths, ACCEPTED) == marks)
    first.stop()
    start(**listen)
    paths = heard.wait_for(lambda paths: len(reports(paths, DELIVERED)) >= 5)
    assert reports(paths, DELIVERED) == marks


def reports(paths: list[str], kind: int) -> list[str]:
    """Of which messages Kannel has reported this."""
    return sorted(path.rpartition("mark=")[2] for path in paths if f"type={kind}&" in path)
