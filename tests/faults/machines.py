"""Machines with a network between them that can be cut: network namespaces, or processes where those are not permitted.

A machine reaches the database by one way and everything else by another. A worker that is cut off loses its way to the
database alone; a machine that serves loses every way. Packets vanish: nobody is told that the other side is gone.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from tests.conftest import ROOT, free_port, wait_for
from tests.relay import place

DATABASE, REST = "d", "r"


@dataclass(frozen=True)
class Machine:
    """`inside` comes before a command that runs there; others reach it at `front`, it the database at `database`."""

    name: str
    inside: tuple[str, ...]
    listens: str
    front: str
    database: str

    @property
    def bind(self) -> tuple[str, int]:
        """Return the host and port at which a server on this machine listens."""
        return place(self.listens)


class Network(Protocol):
    """`kind` says how machines are kept apart; services listen at `database_host` and `host`."""

    kind: str
    database_host: str
    host: str

    def machine(self, name: str, database_port: int, *, serves: bool = False) -> Machine: ...

    def cut(self, name: str) -> None: ...

    def heal(self, name: str) -> None: ...

    def remove(self) -> None: ...


class Namespaces:
    """Each machine is a network namespace with a cable to each of two switches; a cut pulls the cable out."""

    kind = "namespaces"

    def __init__(self) -> None:
        self._tag = f"b{os.getpid() % 0xFFFFF:x}"
        self._net = f"10.{64 + os.getpid() % 128}"
        self.database_host, self.host = f"{self._net}.1.1", f"{self._net}.2.1"
        self._numbers = count(10)
        self._cables: dict[str, list[tuple[str, str]]] = {}
        for switch, address in ((DATABASE, self.database_host), (REST, self.host)):
            _ip("link", "add", self._switch(switch), "type", "bridge")
            _ip("address", "add", f"{address}/24", "dev", self._switch(switch))
            _ip("link", "set", "dev", self._switch(switch), "up")

    def machine(self, name: str, database_port: int, *, serves: bool = False) -> Machine:
        space, number = f"{self._tag}-{name}", next(self._numbers)
        _ip("netns", "add", space)
        _ip("-n", space, "link", "set", "dev", "lo", "up")
        self._cables[name] = []
        for switch, part in ((DATABASE, 1), (REST, 2)):
            cable = f"{self._tag}{switch}{number}"
            _ip("link", "add", cable, "type", "veth", "peer", "name", switch, "netns", space)
            _ip("link", "set", "dev", cable, "master", self._switch(switch), "up")
            _ip("-n", space, "address", "add", f"{self._net}.{part}.{number}/24", "dev", switch)
            _ip("-n", space, "link", "set", "dev", switch, "up")
            if serves or switch == DATABASE:
                self._cables[name].append((cable, self._switch(switch)))
        listens = f"{self._net}.2.{number}:8000"
        database = f"{self.database_host}:{database_port}"
        return Machine(name, ("ip", "netns", "exec", space), listens, listens, database)

    def cut(self, name: str) -> None:
        for cable, _ in self._cables[name]:
            _ip("link", "set", "dev", cable, "nomaster")

    def heal(self, name: str) -> None:
        for cable, switch in self._cables[name]:
            _ip("link", "set", "dev", cable, "master", switch)

    def remove(self) -> None:
        for name in self._cables:
            _ip("netns", "delete", f"{self._tag}-{name}")
        for switch in (DATABASE, REST):
            _ip("link", "delete", "dev", self._switch(switch))

    def _switch(self, switch: str) -> str:
        return f"{self._tag}{switch}"


class Loopback:
    """Each machine is processes of this one behind a relay of its own; a cut freezes the relay."""

    kind = "processes"
    database_host = host = "127.0.0.1"

    def __init__(self) -> None:
        self._relays: dict[str, subprocess.Popen[bytes]] = {}

    def machine(self, name: str, database_port: int, *, serves: bool = False) -> Machine:
        listens, front, database = (f"127.0.0.1:{free_port()}" for _ in range(3))
        ways = [f"{database}=127.0.0.1:{database_port}", *([f"{front}={listens}"] if serves else [])]
        self._relays[name] = _relay(ways)
        return Machine(name, (), listens, front, database)

    def cut(self, name: str) -> None:
        self._relays[name].send_signal(signal.SIGSTOP)

    def heal(self, name: str) -> None:
        self._relays[name].send_signal(signal.SIGCONT)

    def remove(self) -> None:
        for process in self._relays.values():
            process.kill()
            process.wait()


@contextmanager
def network() -> Iterator[Network]:
    """Give namespaces where they can be made, else processes; nothing of either is left afterwards."""
    found = _namespaces() or Loopback()
    try:
        yield found
    finally:
        found.remove()


@contextmanager
def passing_on(*ways: str) -> Iterator[None]:
    """Run a relay of these ways, each LISTEN=SERVER[,SERVER…]."""
    process = _relay(ways)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _relay(ways: "list[str] | tuple[str, ...]") -> "subprocess.Popen[bytes]":
    process = subprocess.Popen([sys.executable, "-m", "tests.relay", *ways], cwd=ROOT)
    for way in ways:
        host, port = place(way.partition("=")[0])
        wait_for(lambda host=host, port=port: _listens(host, port), 20)
    return process


def _listens(host: str, port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


def _namespaces() -> Namespaces | None:
    if os.geteuid() != 0 or not shutil.which("ip"):
        return None
    probe = f"b{os.getpid() % 0xFFFFF:x}-probe"
    try:
        _ip("netns", "add", probe)
        _ip("-n", probe, "link", "add", "one", "type", "veth", "peer", "name", "two")
        _ip("-n", probe, "link", "add", "switch", "type", "bridge")
    except subprocess.CalledProcessError:
        return None
    finally:
        with suppress(subprocess.CalledProcessError):
            _ip("netns", "delete", probe)
    return Namespaces()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
