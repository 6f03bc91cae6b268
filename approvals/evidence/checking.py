"""Whether an evidence bundle is as it was made: its signature, its files, each one's sum. Reads no database."""

import hashlib
import json
import lzma
import struct
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import IO, Any

from accounts import seals

FORMAT, FORMAT_VERSION = "baton.evidence", "1.0"
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
_LARGEST_MANIFEST = 1024 * 1024
_PIECE = 1024 * 1024
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    OSError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
"""What Python's module raises over an archive that was damaged, by where."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a bundle says it is, and what is wrong with it: nothing, where it is as it was made."""

    manifest: dict[str, Any]
    wrong: list[str]


def check(file: IO[bytes], key: str) -> Found:
    """Check an archive by the public key (hex) of the installation that made it. What is not signed is not read."""
    try:
        with zipfile.ZipFile(file) as archive:
            return _checked(archive, key)
    except _BROKEN:
        return Found({}, ["It is no ZIP archive, or a broken one."])


def _checked(archive: zipfile.ZipFile, key: str) -> Found:
    names = Counter(archive.namelist())
    if MANIFEST not in names or SIGNATURE not in names:
        return Found({}, [f"It has no {MANIFEST} and {SIGNATURE}, so it is no evidence bundle."])
    said, signature = (_beginning(archive, name) for name in (MANIFEST, SIGNATURE))
    if not seals.is_signed(said, signature, key):
        return Found({}, [f"The signature is not of the key {key[:16]}…, or {MANIFEST} was changed."])
    manifest: dict[str, Any] = json.loads(said)
    if manifest.get("format") != FORMAT or not str(manifest.get("format_version")).startswith("1."):
        return Found(manifest, [f"It is not {FORMAT} 1, which is what can be checked here."])
    listed = manifest["files"]
    wrong = [f"{name} is there twice." for name, count in names.items() if count > 1]
    wrong += [f"{name} is missing." for name in listed if name not in names]
    wrong += [f"{name} is not in the manifest." for name in names if name not in {*listed, MANIFEST, SIGNATURE}]
    changed = (name for name in listed if name in names and not _fits(archive, name, listed))
    wrong += [f"{name} is not what was signed." for name in changed]
    return Found(manifest, sorted(wrong))


def _beginning(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as entry:
        return entry.read(_LARGEST_MANIFEST)


def _fits(archive: zipfile.ZipFile, name: str, listed: dict[str, Any]) -> bool:
    """Tell whether a file has its sum; no more of it is unpacked than the manifest says it has."""
    left, digest = int(listed[name]["bytes"]), hashlib.sha256()
    try:
        with archive.open(name) as entry:
            while piece := entry.read(min(_PIECE, left + 1)):
                left -= len(piece)
                if left < 0:
                    return False
                digest.update(piece)
    except _BROKEN:
        return False
    return left == 0 and digest.hexdigest() == listed[name]["sha256"]
