"""Production speaks to nobody in the clear whom the operator has not named, and believes no certificate unseen."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import psycopg
import pytest
import redis
import redis.asyncio
from celery import Celery
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from kombu.exceptions import OperationalError as BrokerError

from orchestrator_site import in_clear
from runs.execution import post
from runs.execution.failures import Failure
from tests.authority import Authority

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
        "syslog://logs.example:601",
        "tcp://scanner.example:3310",
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
        "postgresql://baton_web@db.example/baton?sslmode=verify-full&sslcert=/w.crt&sslkey=/w.key&sslrootcert=/ca.pem",
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
        "rediss://cache.example:6379/1?ssl_ca_certs=/ca.pem&ssl_certfile=/w.crt&ssl_keyfile=/w.key",
        "amqps://guest:guest@broker.example//",
        "amqps://broker.example//?ssl_ca_certs=/ca.pem&ssl_certfile=/w.crt&ssl_keyfile=/w.key",
        "smtp://localhost:25",
        "smtp://mail.example:587?tls=1&from=a@example.com",
        "smtps://mail.example",
        "console:",
        "file:/var/lib/baton/heads",
        "https://collector.example",
        "syslogs://logs.example",
        "syslog://localhost:601",
        "tcp://127.0.0.1:3310",
        "unix:///run/clamav/clamd.ctl",
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
    """Takes connections, says what comes before TLS, and counts who goes on speaking after it.

    With `asks` it speaks with those alone who show a certificate of its authority.
    """

    def __init__(self, names: list[str], folder: Path, *, asks: bool = False) -> None:
        self.authority = Authority(folder)
        self.believed = 0
        self.tried = threading.Semaphore(0)
        own = self.authority.issue("server", *names)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(own.certificate, own.key)
        if asks:
            self._context.load_verify_locations(self.authority.file)
            self._context.verify_mode = ssl.CERT_REQUIRED
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


def a_broker(scheme: str, more: str = "") -> Callable[[int], object]:
    def ask(port: int) -> None:
        address, tls = in_clear.broker(f"{scheme}://localhost:{port}/1{more}")
        app = Celery("probe", broker=address, set_as_current=False)
        app.conf.broker_use_ssl = tls
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
        monkeypatch.setenv("SSL_CERT_FILE", str(server.authority.file))
    with pytest.raises(BROKEN_OFF):  # at the latest when the server says no more
        CLIENTS[client](server.port)
    assert server.tried.acquire(timeout=5)
    server.close()
    assert (server.believed > 0) is believed


@pytest.mark.parametrize("scheme", ["rediss", "amqps"])
@pytest.mark.parametrize("shows", [True, False], ids=["with a certificate", "without"])
def test_a_broker_is_shown_the_certificate_that_its_address_names(scheme: str, shows: bool, tmp_path: Path) -> None:
    server = TlsServer(["localhost", "127.0.0.1"], tmp_path, asks=True)
    mine = server.authority.issue("worker")
    said = f"?ssl_cert_reqs=required&ssl_ca_certs={server.authority.file}"
    said += f"&ssl_certfile={mine.certificate}&ssl_keyfile={mine.key}" if shows else ""
    with pytest.raises(BROKEN_OFF):
        a_broker(scheme, said)(server.port)
    assert server.tried.acquire(timeout=5)
    server.close()
    assert (server.believed > 0) is shows


CHECKED = {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None}
FILES = {"ca_certs": "/a b.pem", "certfile": "/c.pem", "keyfile": "/k.pem"}


@pytest.mark.parametrize(
    ("said", "left", "told"),
    [
        ("", "", CHECKED),
        ("?heartbeat=5", "?heartbeat=5", CHECKED),
        ("?ssl_cert_reqs=none&heartbeat=5", "?heartbeat=5", {"cert_reqs": ssl.CERT_NONE}),
        ("?ssl_cert_reqs=CERT_REQUIRED&ssl_check_hostname=False", "", {"cert_reqs": ssl.CERT_REQUIRED}),
        ("?ssl_ca_certs=/a%20b.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem", "", {**FILES, **CHECKED}),
    ],
)
def test_what_an_amqps_address_says_of_tls_reaches_its_client(said: str, left: str, told: dict[str, object]) -> None:
    ways = [f"amqps://guest:pw@{host}.example//" for host in ("one", "two")]
    assert in_clear.broker(";".join(f"{way}{said}" for way in ways)) == (";".join(f"{way}{left}" for way in ways), told)


@pytest.mark.parametrize("said", ["ssl_cert_reqs=maybe", "ssl_certs=/etc/ca.pem"])
def test_what_an_amqps_address_cannot_mean_of_tls_is_named(said: str) -> None:
    name = said.partition("=")[0]
    with pytest.raises(ImproperlyConfigured, match=f"^CELERY_BROKER_URL says {name}.* it may say ssl_ca_certs") as why:
        in_clear.broker(f"amqps://guest:pw@broker.example//?{said}")
    assert "pw" not in str(why.value)


def test_several_brokers_are_spoken_to_alike() -> None:
    with pytest.raises(ImproperlyConfigured, match="must say the same of TLS"):
        in_clear.broker("amqps://one.example//?ssl_ca_certs=/a.pem;amqps://two.example//")
