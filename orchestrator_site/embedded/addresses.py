"""Where the embedded services of a data folder are found, without starting them."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

URL_FILE = "postgres-url"
LONGEST_SOCKET_FOLDER = 80  # the kernel takes 107 bytes for a socket's whole path, PostgreSQL's file name is 19 of them
_PLANNING = "-c jit=off -c random_page_cost=1.1"
_OF_ROLE = {"baton_worker": " -c idle_in_transaction_session_timeout=10s"}
"""A worker that freezes in the middle of a transaction keeps its locks until then: nobody waits for it for ever."""


def kept_secret(data_dir: Path, name: str, make: Callable[[], str]) -> str:
    """Return the secret kept in the data folder under this name, made on first use (file mode 0600)."""
    file = data_dir / name
    if not file.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(f".{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(make())
        draft.replace(file)
    return file.read_text().strip()


def short_name(data_dir: Path) -> str:
    """Return twelve characters that stand for this data folder where its path would be too long or not reachable."""
    return hashlib.sha256(str(data_dir).encode()).hexdigest()[:12]


def socket_folder(wanted: Path) -> Path:
    """Return this folder, or a folder in /tmp named after it when its path is too long for a unix socket."""
    if len(str(wanted)) <= LONGEST_SOCKET_FOLDER:
        return wanted
    return Path("/tmp") / f"baton-{os.getuid()}-{short_name(wanted)}"  # noqa: S108 its owner is checked before use


def postgres_url(data_dir: Path) -> str:
    """Return the owner's URL that the embedded PostgreSQL wrote when it was made, or one that cannot connect."""
    file = data_dir / URL_FILE
    return file.read_text().strip() if file.exists() else "postgresql://baton@/baton?host=" + str(data_dir)


def valkey_socket(data_dir: Path) -> Path:
    return socket_folder(data_dir) / "valkey.sock"


def broker_url(data_dir: Path) -> str:
    return f"redis+socket://{valkey_socket(data_dir)}?virtual_host=1"


def channel_layer_url(data_dir: Path) -> str:
    return f"unix://{valkey_socket(data_dir)}?db=0"


def django_database(url: str, role: str) -> dict[str, Any]:
    """Return Django's settings for a postgresql:// URL, acting as `role` unless that is "owner".

    The role is set as a start-up option, so that `RESET ROLE` returns to it. So is how queries are planned, unless the
    address says otherwise: to compile one takes longer than any of ours runs, and no disk of today needs four times as
    long for a row found by index as for the next one, for which all runs there are would be read to find a day's.
    """
    parts = urlsplit(url)
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    options: dict[str, Any] = {key: value for key, value in query.items() if key not in ("host", "port", "user")}
    options["options"] = " ".join([_PLANNING, *filter(None, [query.get("options")])])
    if role != "owner":
        options["options"] += f" -c role={role}{_OF_ROLE.get(role, '')}"
        options["pool"] = {"min_size": 0, "max_size": 16, "timeout": 10}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")) or "postgres",
        "USER": unquote(parts.username or "") or query.get("user", ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": unquote(parts.hostname or "") or query.get("host", ""),
        "PORT": str(parts.port or query.get("port", "")),
        "OPTIONS": options,
        # A page finds out what a worker bears: a migration, or a database that came back, has cut the line meanwhile.
        "CONN_HEALTH_CHECKS": role == "baton_web",
        "ATOMIC_REQUESTS": False,
    }
