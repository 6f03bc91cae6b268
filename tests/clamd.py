"""A scanner on loopback or at a unix socket: clamd's protocol, with one signature."""

import socket
import struct
import threading
from contextlib import suppress
from pathlib import Path

SIGNATURE, MARK = "Baton.Test-1", "what-a-test-takes-for-malware"
VERSION = "ClamAV 1.4.3/27500/Mon Nov 30 08:00:00 2026"


class Clamd:
    """Finds `mark`. `scanned` is what it was sent; where `says` is set it answers that, where `silent` nothing."""

    def __init__(self, folder: Path | None = None) -> None:
        self.scanned: list[bytes] = []
        self.says, self.mark = "", MARK
        self.silent = False
        if folder is None:
            self._listening = socket.create_server(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{self._listening.getsockname()[1]}"
        else:
            self._listening = socket.socket(socket.AF_UNIX)
            self._listening.bind(str(folder / "clamd.ctl"))
            self._listening.listen()
            self.address = f"unix://{folder}/clamd.ctl"
        self._silenced: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        for link in (self._listening, *self._silenced):
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
            link.close()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._listening.accept()
            except OSError:
                return
            with suppress(OSError):
                self._answer(link)

    def _answer(self, link: socket.socket) -> None:
        with link.makefile("rb") as read:
            command = b""
            while not command.endswith(b"\0") and (one := read.read(1)):
                command += one
            if command == b"zVERSION\0":
                answer = VERSION
            else:
                assert command == b"zINSTREAM\0"
                answer = self._looked_at(_stream(read))
        if self.silent:
            self._silenced.append(link)
            return
        link.sendall(answer.encode() + b"\0")
        link.close()

    def _looked_at(self, content: bytes) -> str:
        self.scanned.append(content)
        return self.says or ("stream: " + (f"{SIGNATURE} FOUND" if self.mark.encode() in content else "OK"))


def _stream(read: object) -> bytes:
    parts = []
    while length := struct.unpack(">I", read.read(4))[0]:  # type: ignore[attr-defined]
        parts.append(read.read(length))  # type: ignore[attr-defined]
    return b"".join(parts)
