"""A PostgreSQL and a broker of this machine that speak TLS, and with those alone who show a client certificate.

The embedded ones have no TLS built in.
"""

import os
import shutil
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import psycopg
import pytest
import redis

from orchestrator_site.embedded import postgres
from orchestrator_site.embedded.folders import EmbeddedFailed, private_folder
from orchestrator_site.processes import Program, launch, stop
from tests.authority import Authority, Issued
from tests.conftest import free_port, wait_for
from tests.faults.own import OwnDatabase

HOST = "localhost"
_RULES = f"""
local all {postgres.OWNER} scram-sha-256
hostssl all all all cert
"""
"""The test itself looks on by the socket; whoever comes over the network shows a certificate for the login."""


class SealedDatabase(OwnDatabase):
    """In the place of the test database, as its parent is."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        self._authority = authority
        super().__init__(folder, HOST)

    def url(self, login: str, shown: Issued | None) -> str:
        """Return the address for a login, with a certificate to show or none; there is no password in it."""
        query = {"sslmode": "verify-full", "sslrootcert": str(self._authority.file)}
        if shown:
            query |= {"sslcert": str(shown.certificate), "sslkey": str(shown.key)}
        return f"postgresql://{login}@{HOST}:{self.port}/{postgres.DATABASE}?{urlencode(query)}"

    def _lay_out(self) -> None:
        """A cluster of another version cannot begin with what the embedded one made."""

    def _started(self) -> "subprocess.Popen[bytes]":
        try:
            self._cluster = replace(postgres._find(self._folder), binaries=postgres._system_binaries())
        except EmbeddedFailed:
            pytest.skip("PostgreSQL with TLS is not installed")
        private_folder(self._cluster.sockets, self._cluster.user, 0o711 if self._cluster.user else 0o700)
        postgres._create(self._cluster)
        process = launch(self._program())
        self._cluster.wait_ready(process)
        there = f"{self._cluster.url('postgres')}&port={self.port}"
        with psycopg.connect(there, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {postgres.DATABASE}")
        return process

    def _program(self) -> Program:
        data, own = self._cluster.data, self._authority.issue("database", HOST)
        files = {"ssl_cert_file": own.certificate, "ssl_key_file": own.key, "ssl_ca_file": self._authority.file}
        told = {"listen_addresses": HOST, "port": str(self.port), "ssl": "on"}
        for name, file in files.items():
            there = shutil.copy(file, data / name)
            there.chmod(0o600)
            if self._cluster.user:
                os.chown(there, self._cluster.user.uid, self._cluster.user.gid)
            told[name] = name
        (data / "pg_hba.conf").write_text(_RULES)
        program = self._cluster.program()
        return replace(program, argv=[*program.argv, *(part for pair in told.items() for part in _option(*pair))])


def _option(name: str, value: str) -> tuple[str, str]:
    return "-c", f"{name}={value}"


class SealedBroker:
    """Takes bells and what pages are told; it knows no password either."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        server = shutil.which("redis-server")
        if server is None:
            pytest.skip("Redis with TLS is not installed")
        self._authority, self.port = authority, free_port()
        own, log = authority.issue("broker", HOST), folder / "broker.log"
        told = {
            "port": "0",
            "tls-port": self.port,
            "bind": "127.0.0.1",
            "tls-auth-clients": "yes",
            "tls-cert-file": own.certificate,
            "tls-key-file": own.key,
            "tls-ca-cert-file": authority.file,
            "save": "",
            "dir": folder,
        }
        argv = [server, *(part for name, value in told.items() for part in (f"--{name}", str(value)))]
        self._process = launch(Program("broker", argv, orphaned=signal.SIGTERM, log=log))
        self._own = own
        wait_for(self._answers, 20, log.read_text)

    def url(self, database: int, shown: Issued | None) -> str:
        query = {"ssl_ca_certs": str(self._authority.file)}
        if shown:
            query |= {"ssl_certfile": str(shown.certificate), "ssl_keyfile": str(shown.key)}
        return f"rediss://{HOST}:{self.port}/{database}?{urlencode(query)}"

    def environment(self, shown: Issued) -> dict[str, str]:
        return {"CELERY_BROKER_URL": self.url(1, shown), "CHANNEL_LAYER_URL": self.url(0, shown)}

    def keys(self, database: int) -> set[str]:
        with redis.Redis.from_url(self.url(database, self._own)) as client:
            return {key.decode() for key in client.scan_iter()}

    def stop(self) -> None:
        stop(self._process, signal.SIGTERM, 10)

    def _answers(self) -> bool:
        try:
            self.keys(0)
        except (redis.RedisError, OSError):
            return False
        return True
