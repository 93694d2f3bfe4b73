"""What stands between a client and its bind: TLS, a balancer, limits for its address. And messages flow behind it."""

import socket
import ssl

import pytest

from pdu import CommandStatus

pytestmark = pytest.mark.journey

OK, BINDFAIL, INVPASWD = CommandStatus.ESME_ROK, CommandStatus.ESME_RBINDFAIL, CommandStatus.ESME_RINVPASWD
LISTENER = '[{ listen = "127.0.0.1:0" }]'
FAR = b"PROXY TCP4 203.0.113.7 192.0.2.1 40123 2775\r\n"
FAR_2 = bytes.fromhex("0D0A0D0A000D0A515549540A 2111000C CB007107C0000201 9CBB0AD7")


class Files:
    """Where the gateway finds its certificate, its key, and who signs clients' ones; `put` replaces all three."""

    def __init__(self, folder, authority):
        self.make = authority
        self.certificate, self.key, self.clients = (folder / name for name in ("tls.pem", "tls.key", "clients.pem"))

    def put(self, name):
        """Returns the authority of the gateway's certificate, and the one of its clients'."""
        public, known = self.make(f"{name}-public"), self.make(f"{name}-known")
        signed = public.sign("gateway.example")
        for there, new in (
            (self.certificate, signed.certificate),
            (self.key, signed.key),
            (self.clients, known.file),
        ):
            there.write_bytes(new.read_bytes())
        self.key.chmod(0o600)
        return public, known

    def listener(self, more=""):
        return (
            f'[{{ listen = "127.0.0.1:0", tls = {{ certificate = "{self.certificate}", key = "{self.key}", '
            f'clients = "required", clients_ca = "{self.clients}" }}{more} }}]'
        )


@pytest.fixture
def files(tmp_path, authority):
    return Files(tmp_path, authority)


def account(*lines):
    return {'password = "demo"': "\n".join(['password = "demo"', *lines])}


def over_tls(client, context):
    """Goes on within TLS."""
    client.socket = context.wrap_socket(client.socket, server_hostname="gateway.example")
    return client


def test_a_client_is_bound_by_its_certificate(start, connect, files):
    public, known = files.put("first")
    gateway = start(**account('client_certificates = ["client.example"]'), **{LISTENER: files.listener()})
    right, wrong = known.sign("client.example"), known.sign("other.example")
    client = over_tls(connect(gateway), right.client(public.file))
    assert client.bind().command_status == OK
    message_id = client.submit("Hello").message_id
    assert "stat:DELIVRD" in client.receipts(1)[message_id]
    other = over_tls(connect(gateway), wrong.client(public.file))
    assert other.bind().command_status == BINDFAIL
    # The same connection may try again, and is refused again: its certificate is still the wrong one.
    assert other.bind().command_status == BINDFAIL


def test_everything_is_renewed_while_a_client_is_bound(start, connect, files):
    public, known = files.put("old")
    gateway = start(**{LISTENER: files.listener()})
    old = known.sign("client.example").client(public.file)
    bound = over_tls(connect(gateway), old)
    assert bound.bind().command_status == OK
    new_public, new_known = files.put("new")
    gateway.reload()
    with pytest.raises(ssl.SSLCertVerificationError):
        over_tls(connect(gateway), old)
    new = over_tls(connect(gateway), new_known.sign("client.example").client(new_public.file))
    assert new.bind("transmitter").command_status == OK
    stale = known.sign("client2.example").client(new_public.file)
    with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
        over_tls(connect(gateway), stale).bind()
    # Who was there noticed nothing.
    message_id = bound.submit("Hello").message_id
    assert "stat:DELIVRD" in bound.receipts(1)[message_id]


def test_a_certificate_that_is_gone_changes_nothing(start, connect, files):
    public, known = files.put("first")
    gateway = start(**{LISTENER: files.listener()})
    files.certificate.write_text("nonsense")
    with pytest.raises(Exception, match="do not load together"):
        gateway.reload()
    client = over_tls(connect(gateway), known.sign("client.example").client(public.file))
    assert client.bind().command_status == OK


@pytest.mark.parametrize("header", [FAR, FAR_2])
@pytest.mark.parametrize("tls", [False, True])
def test_behind_a_balancer_the_networks_see_the_client(start, connect, files, header, tls):
    balancers = ', proxy_from = ["127.0.0.1"]'
    context = None
    if tls:
        public, known = files.put("first")
        listener = files.listener(balancers)
        context = known.sign("client.example").client(public.file)
    else:
        listener = LISTENER.replace(" }", f"{balancers} }}")
    gateway = start(
        """
        [accounts.far]
        password = "far"
        allowed_networks = ["203.0.113.0/24"]
        """,
        **{LISTENER: listener},
    )

    def client():
        made = connect(gateway)
        made.socket.sendall(header)
        return over_tls(made, context) if tls else made

    far = client()
    assert far.bind(system_id="far", password="far").command_status == OK
    message_id = far.submit("Hello").message_id
    assert "stat:DELIVRD" in far.receipts(1)[message_id]
    # The account of this machine is not to be had from there, although the balancer is on this machine.
    assert client().bind().command_status == BINDFAIL
    # Nor does the balancer's own address help anybody who leaves the header away.
    silent = connect(gateway)
    with pytest.raises((EOFError, ConnectionError)):
        silent.bind()
    assert 'smppbridge_connections_refused_total{reason="proxy"} 1.0' in gateway.get("/metrics")[1]


def test_guessing_slows_down_and_ends_with_the_right_password(start, connect):
    settings = LISTENER + '\nbind_failures = 2\nbind_delay_max = "200ms"'
    gateway = start(**{LISTENER: settings})
    guesser, colleague = connect(gateway), connect(gateway)
    for number in range(5):
        assert guesser.bind(password=f"no{number}").command_status == INVPASWD
    assert "smppbridge_binds_delayed_total 3.0" in gateway.get("/metrics")[1]
    assert colleague.bind().command_status == OK
    assert "smppbridge_binds_delayed_total 4.0" in gateway.get("/metrics")[1]
    assert guesser.bind(password="no").command_status == INVPASWD
    assert "smppbridge_binds_delayed_total 4.0" in gateway.get("/metrics")[1]


def test_a_crowd_that_never_binds_leaves_room_for_who_does(start, connect):
    gateway = start(**{LISTENER: LISTENER + "\nmax_unbound_per_address = 20"})
    bound = connect(gateway)
    assert bound.bind().command_status == OK
    crowd = [socket.create_connection(("127.0.0.1", gateway.port), 10) for _ in range(60)]
    refused = 0
    for one in crowd[20:]:
        # Closed at once: it can be read to its end.
        assert one.recv(1) == b""
        refused += 1
    metrics = gateway.get("/metrics")[1]
    assert f'smppbridge_connections_refused_total{{reason="max_unbound_per_address"}} {refused}.0' in metrics
    assert "smppbridge_connections_unbound 20.0" in metrics
    message_id = bound.submit("Hello").message_id
    assert "stat:DELIVRD" in bound.receipts(1)[message_id]
    for one in crowd:
        one.close()
