"""Production speaks to nobody in the clear whom the operator has not named, and believes no certificate unseen."""

import asyncio
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path

import psycopg
import pytest
import redis
import redis.asyncio
from celery import Celery
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from kombu.exceptions import OperationalError as BrokerError

from orchestrator_site import in_clear
from runs.execution import post
from runs.execution.failures import Failure

VOUCHED = ["db.internal", "10.0.0.7", "*.private.example"]


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://baton:pw@db.example/baton",
        "postgresql://baton:pw@db.example/baton?sslmode=prefer",
        "postgresql://baton:pw@db.example/baton?sslmode=require",
        "postgresql://baton:pw@db.example/baton?sslmode=verify-ca",
        "postgresql:///baton?host=db.example",
        "postgresql://localhost,db.example/baton",
        "postgresql://localhost/baton?hostaddr=192.0.2.1",
        "postgresql://db.internal.example/baton",
        "redis://cache.example:6379/1",
        "redis://127.0.0.1.example:6379/1",
        "rediss://cache.example:6379/1?ssl_cert_reqs=none",
        "rediss://cache.example:6379/1?ssl_cert_reqs=CERT_OPTIONAL",
        "rediss://cache.example:6379/1?ssl_check_hostname=false",
        "amqp://guest:guest@broker.example//",
        "smtp://user:pw@mail.example:587?from=a@example.com",
        "smtp://user:pw@mail.example:587?tls=0",
        "smtp://user:pw@mail.example:587?tls=0&tls=1",
        "postgresql://localhost/baton?service=prod",
        "http://collector.example:4318",
    ],
)
def test_an_address_in_the_clear_is_refused_with_what_to_say_instead(address: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"EXAMPLE_URL leads to [\w.]+ without TLS") as refused:
        in_clear.refuse({"EXAMPLE_URL": address}, VOUCHED)
    assert "BATON_PRIVATE_NETWORK" in str(refused.value)
    assert "pw" not in str(refused.value), "a password is repeated"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "postgresql://baton:pw@db.example/baton?sslmode=verify-full",
        "postgresql://baton:pw@db.internal/baton",
        "postgresql://baton:pw@a.private.example,localhost/baton",
        "postgresql://baton@%2Fvar%2Frun%2Fpostgresql/baton",
        "postgresql://baton@/baton?host=/var/run/postgresql",
        "postgresql://127.0.0.1:5432/baton",
        "redis://[::1]:6379/0",
        "redis://10.0.0.7:6379/0",
        "redis+socket:///run/valkey.sock?virtual_host=1",
        "unix:///run/valkey.sock?db=0",
        "rediss://cache.example:6379/1",
        "rediss://cache.example:6379/1?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs=/etc/ca.pem",
        "amqps://guest:guest@broker.example//",
        "smtp://localhost:25",
        "smtp://mail.example:587?tls=1&from=a@example.com",
        "smtps://mail.example",
        "console:",
        "file:/var/lib/baton/heads",
        "https://collector.example",
    ],
)
def test_an_address_with_tls_or_on_this_machine_or_vouched_for_is_taken(address: str) -> None:
    in_clear.refuse({"EXAMPLE_URL": address}, VOUCHED)


def test_a_database_without_a_host_is_where_the_client_library_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    in_clear.refuse({"DATABASE_URL": "postgresql:///baton"}, [])
    monkeypatch.setenv("PGHOST", "db.example")
    with pytest.raises(ImproperlyConfigured, match=r"leads to db\.example"):
        in_clear.refuse({"DATABASE_URL": "postgresql:///baton"}, [])


@pytest.mark.parametrize(("name", "value"), [("PGSERVICE", "prod"), ("PGHOSTADDR", "192.0.2.1")])
def test_what_the_environment_says_of_the_database_counts(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured, match=f"leads to {value}"):
        in_clear.refuse({"DATABASE_URL": "postgresql://localhost/baton"}, [])
    in_clear.refuse({"DATABASE_URL": "postgresql://localhost/baton?sslmode=verify-full"}, [])


def test_only_the_broker_has_several_addresses_and_they_are_alike() -> None:
    in_clear.refuse({"DATABASE_URL": "postgresql://baton:a;b@db.example/baton?sslmode=verify-full"}, [])
    with pytest.raises(ImproperlyConfigured, match=r"leads to cache\.example"):
        in_clear.refuse({"CHANNEL_LAYER_URL": "redis://:pa;ss@cache.example/0"}, [])
    with pytest.raises(ImproperlyConfigured, match=r"leads to cache\.example"):
        in_clear.refuse({"CELERY_BROKER_URL": "redis://localhost/1;redis://cache.example/1"}, [])
    with pytest.raises(ImproperlyConfigured, match="mixes redis and rediss"):
        in_clear.refuse({"CELERY_BROKER_URL": "redis://localhost/1;rediss://cache.example/1"}, [])


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "baton.example"])
def test_the_web_listens_to_other_machines_only_where_somebody_vouches(host: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="BATON_HOST is"):
        in_clear.refuse_listening(host, ["127.0.0.1"])
    in_clear.refuse_listening(host, [host])
    in_clear.refuse_listening("127.0.0.1", [])


# What our clients make of a certificate


class TlsServer:
    """Takes connections, says what comes before TLS, and counts who goes on speaking after it."""

    def __init__(self, names: list[str], folder: Path) -> None:
        self.authority = folder / "authority.pem"
        self.believed = 0
        self.tried = threading.Semaphore(0)
        self._context = _server_context(names, folder)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._listening.accept()
            except OSError:
                return
            link.settimeout(5)
            try:
                _before_tls(link)
                with self._context.wrap_socket(link, server_side=True) as inside:
                    inside.sendall(b"220 ready\r\n")  # a mail client waits for this, the others speak first
                    self.believed += len(inside.recv(1))  # some look at the name after the handshake
            except OSError:
                link.close()
            self.tried.release()


def _before_tls(link: socket.socket) -> None:
    """Let PostgreSQL's clients ask for TLS; all others begin with it."""
    if link.recv(1, socket.MSG_PEEK) == b"\0":
        link.recv(8)
        link.sendall(b"S")


def _server_context(names: list[str], folder: Path) -> ssl.SSLContext:
    authority, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
    root = _certificate("Our own authority", authority, authority, x509.BasicConstraints(ca=True, path_length=None))
    own = _certificate(names[0], server, authority, alternatives)
    (folder / "authority.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    private = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(server.private_bytes(*private) + own.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return context


def _alternative(name: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType
) -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Our own authority")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(extension, critical=False)
        .sign(by, hashes.SHA256())
    )


def a_broker(scheme: str) -> Callable[[int], object]:
    def ask(port: int) -> None:
        address = f"{scheme}://localhost:{port}/1"
        app = Celery("probe", broker=address, set_as_current=False)
        app.conf.broker_use_ssl = in_clear.broker_tls(address)
        with app.connection_for_write(address, connect_timeout=5) as link:  # Celery's environment would win
            link.ensure_connection(max_retries=1, interval_start=0, timeout=5)

    return ask


def a_database(port: int) -> None:
    psycopg.connect(f"postgresql://u@localhost:{port}/x?sslmode=verify-full&sslrootcert=system", connect_timeout=5)


def a_channel_layer(port: int) -> None:
    asyncio.run(redis.asyncio.Redis.from_url(f"rediss://localhost:{port}/0", socket_timeout=5).ping())


def a_counter_of_requests(port: int) -> None:
    redis.Redis.from_url(f"rediss://localhost:{port}/0", socket_timeout=5).ping()


def a_mail_server(port: int) -> None:
    with override_settings(EMAIL_URL=f"smtps://localhost:{port}"):
        message = EmailMessage()
        message["To"] = message["From"] = "a@example.com"
        post.deliver(message, timeout=5)


CLIENTS: dict[str, Callable[[int], object]] = {
    "broker, Redis": a_broker("rediss"),
    "broker, AMQP": a_broker("amqps"),
    "database": a_database,
    "channel layer": a_channel_layer,
    "limits": a_counter_of_requests,
    "mail": a_mail_server,
}
BROKEN_OFF = (OSError, redis.RedisError, BrokerError, psycopg.Error, Failure)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize(
    ("names", "knows_authority", "believed"),
    [
        (["localhost", "127.0.0.1"], True, True),
        (["localhost", "127.0.0.1"], False, False),
        (["other.example"], True, False),
    ],
    ids=["its own", "of an unknown authority", "another's"],
)
def test_a_service_is_believed_by_its_certificate_alone(
    names: list[str],
    knows_authority: bool,
    believed: bool,
    client: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = TlsServer(names, tmp_path)
    if knows_authority:
        monkeypatch.setenv("SSL_CERT_FILE", str(server.authority))
    with pytest.raises(BROKEN_OFF):  # at the latest when the server says no more
        CLIENTS[client](server.port)
    assert server.tried.acquire(timeout=5)
    server.close()
    assert (server.believed > 0) is believed
