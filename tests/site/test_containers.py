"""The files for containers and systemd say nothing that the settings do not know, and start what the README starts."""

import re
from configparser import RawConfigParser
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator_site import in_clear, up
from tests.conftest import ROOT

DOCKER = ROOT / "docker"
UNITS = sorted((DOCKER / "systemd").glob("*.service"))
SETTINGS = set(re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "README.md").read_text(), re.MULTILINE))
OF_THE_OWNER = {"POSTGRES_PASSWORD", "BATON_WEB_DATABASE_PASSWORD", "BATON_WORKER_DATABASE_PASSWORD"}
SECRETS = {"SECRET_KEY", "BATON_ENCRYPTION_KEYS", "DATABASE_URL"}
PYTHONS = {"PATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return found


class Unit(RawConfigParser):
    """A systemd unit: a key may stand several times, and all its values count."""

    def __init__(self, file: Path) -> None:
        super().__init__(strict=False, delimiters=("=",), comment_prefixes=("#",), interpolation=None)
        self.optionxform = str  # type: ignore[assignment, method-assign]
        self.environment = dict(re.findall(r"^Environment=(\w+)=(.*)$", file.read_text(), re.MULTILINE))
        self.files = re.findall(r"^EnvironmentFile=(.*)$", file.read_text(), re.MULTILINE)
        self.starts = re.findall(r"^ExecStart=(.*)$", file.read_text(), re.MULTILINE)
        self.read(file)


def arguments(command: list[str]) -> set[str]:
    """Return a worker's options, however they are spelled."""
    spelled = " ".join(command).replace("-A orchestrator_site", "--app=orchestrator_site")
    options = re.sub(r"(--(?:pool|concurrency|loglevel)) ", r"\1=", spelled)
    return {part for part in options.split() if part.startswith("--") and not part.startswith("--hostname")}


def is_in_the_image(path: str) -> bool:
    """Return whether a file of this folder is sent to the build, of which `COPY . .` takes everything."""
    lines = [line.strip() for line in (ROOT / ".dockerignore").read_text().splitlines()]
    rules = [line for line in lines if line and not line.startswith("#")]
    assert not any(rule.startswith("!") for rule in rules), "this reads no exceptions"
    return not any(re.fullmatch(_as_docker_reads(rule), path) for rule in rules)


def _as_docker_reads(rule: str) -> str:
    """Return a rule as a regular expression: from the top, `*` within one name; a folder stands for all below it."""
    parts = re.split(r"(\*\*/|\*)", rule.strip("/"))
    said = {"**/": "(?:.*/)?", "*": "[^/]*"}
    return "".join(said.get(part, re.escape(part)) for part in parts) + "(?:/.*)?"


def supervised(name: str) -> Any:
    place = up.Place(Path("/nowhere"), "127.0.0.1", 8000, "http://127.0.0.1:8000", False, False)
    return next(one for one in up.Supervisor(place)._wanted_programs() if one.name == name)


def test_containers_are_told_of_settings_that_there_are(compose: dict[str, Any]) -> None:
    for name in ("prepare", "web", "worker"):
        told = compose["services"][name]["environment"]
        assert set(told) <= SETTINGS | OF_THE_OWNER, name
        assert told["BATON_ENV"] == "production"
        assert set(told) >= SECRETS | {"BATON_BASE_URL", "CELERY_BROKER_URL", "CHANNEL_LAYER_URL"}
    assert "BATON_DATABASE_ROLE" not in compose["services"]["prepare"]["environment"]
    for name in ("web", "worker"):
        assert compose["services"][name]["environment"]["BATON_DATABASE_ROLE"] == f"baton_{name}"


def test_web_and_worker_know_their_own_way_to_the_database_and_no_other(compose: dict[str, Any]) -> None:
    """Whatever stands in docker/baton.env comes to each container by `env_file`, and is overwritten there."""
    example = re.findall(r"^([A-Z_]+)=", (DOCKER / "baton.env.example").read_text(), re.MULTILINE)
    written = {name: f"<{name}>" for name in example}
    for name in ("web", "worker"):
        told = {**written, **compose["services"][name]["environment"]}
        known = set(re.findall(r"\w*PASSWORD", " ".join(map(str, told.values()))))
        assert known == {f"BATON_{name.upper()}_DATABASE_PASSWORD"}
        assert told["DATABASE_URL"].startswith(f"postgresql://baton_{name}:$")
    prepare = {**written, **compose["services"]["prepare"]["environment"]}
    assert prepare["DATABASE_URL"].startswith("postgresql://baton:${POSTGRES_PASSWORD")
    assert all(prepare[name] for name in OF_THE_OWNER)


def test_what_compose_asks_of_the_operator_stands_in_the_example() -> None:
    text = (DOCKER / "compose.yaml").read_text()
    wanted = set(re.findall(r"\$\{([A-Z_]+):\?", text))
    example = set(re.findall(r"^([A-Z_]+)=", (DOCKER / "baton.env.example").read_text(), re.MULTILINE))
    assert wanted <= example <= set(re.findall(r"\$\{([A-Z_]+)", text))


@pytest.mark.parametrize(
    "path", ["docker/baton.env", ".env", "docker/other.env", "docker/baton.env.old", ".data/secret-key", ".git/config"]
)
def test_no_secret_of_the_operator_is_built_into_the_image_or_committed(path: str) -> None:
    assert not is_in_the_image(path)
    kept_out = [rule.rstrip("/") for rule in (ROOT / ".gitignore").read_text().splitlines()] + [".git"]
    assert any(fnmatch(part, rule) for part in Path(path).parts for rule in kept_out)


@pytest.mark.parametrize("service", ["prepare", "web", "worker"])
def test_production_starts_with_the_addresses_that_compose_sets(compose: dict[str, Any], service: str) -> None:
    told = compose["services"][service]["environment"]
    *vouched, more = told["BATON_PRIVATE_NETWORK"].split(",")
    assert more == "${BATON_PRIVATE_NETWORK:-}", "what the operator vouches for is forgotten"
    own = [name for name in compose["services"] if name in vouched]
    assert set(vouched) == {*own, "0.0.0.0"}, "a host that is not of this file's network"
    addresses = ("DATABASE_URL", "CELERY_BROKER_URL", "CHANNEL_LAYER_URL")
    in_clear.refuse({name: re.sub(r"\$\{\w+:\?\}", "pw", told[name]) for name in addresses}, vouched)
    listens = re.search(r"BATON_HOST=(\S+)", (DOCKER / "Dockerfile").read_text())
    assert listens
    in_clear.refuse_listening(listens[1], vouched)


def test_what_the_image_runs_is_in_it() -> None:
    for path in (
        "requirements.lock",
        "orchestrator_site/web.py",
        "orchestrator_site/env.py",
        "manage.py",
        "package.json",
    ):
        assert is_in_the_image(path), path
    assert not is_in_the_image("accounts/__pycache__/models.cpython-312.pyc")


def test_containers_have_no_rights_and_no_scheduler(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"postgres", "valkey", "prepare", "web", "worker"}
    for name in ("prepare", "web", "worker"):
        service = compose["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    assert all("ports" not in compose["services"][name] for name in ("postgres", "valkey", "worker"))


def test_the_image_runs_as_nobody_special_from_the_lock_with_its_hashes() -> None:
    lines = (DOCKER / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    assert lines.index("USER baton") > max(number for number, line in enumerate(lines) if line.startswith("RUN"))
    installs = [line for line in lines if "pip install" in line]
    assert installs
    assert all("--require-hashes" in line and "requirements.lock" in line for line in installs)
    told = set(re.findall(r"([A-Z_]+)=", " ".join(line for line in lines if line.startswith("ENV"))))
    assert told - PYTHONS <= SETTINGS
    assert not told & SECRETS
    assert all((ROOT / line.split()[1]).exists() for line in lines if line.startswith("COPY r"))


@pytest.mark.parametrize("file", UNITS, ids=lambda file: file.name)
def test_units_are_told_of_settings_that_there_are(file: Path) -> None:
    unit = Unit(file)
    assert set(unit.environment) <= SETTINGS
    assert not set(unit.environment) & SECRETS
    told = [*unit.files, unit.get("Service", "UnsetEnvironment", fallback="")]
    own = {"baton-web.service": "web", "baton-worker@.service": "worker"}.get(file.name)
    unset = "BATON_WEB_DATABASE_PASSWORD BATON_WORKER_DATABASE_PASSWORD"
    expected = [f"-/etc/baton/{own}.env", unset] if own else [""]
    assert told == ["/etc/baton/baton.env", *expected], "what is read later is what counts"
    assert (unit["Service"]["User"], unit["Service"]["NoNewPrivileges"]) == ("baton", "true")


def test_units_and_containers_start_what_the_supervisor_starts(compose: dict[str, Any]) -> None:
    web, worker = supervised("web"), supervised("worker")
    units = {file.name: Unit(file) for file in UNITS}
    assert set(units) == {"baton-prepare.service", "baton-web.service", "baton-worker@.service"}
    for name, program in (("baton-web.service", web), ("baton-worker@.service", worker)):
        assert units[name].environment["BATON_DATABASE_ROLE"] == program.env["BATON_DATABASE_ROLE"]
    module = web.argv[1:]
    assert compose["services"]["web"]["command"][1:] == module
    assert units["baton-web.service"].starts[0].split()[1:] == module
    started = [compose["services"]["worker"]["command"], units["baton-worker@.service"].starts[0].split()]
    assert all(arguments(command) == arguments(worker.argv) for command in started)
    for wanted in ("orchestrator_site.prepare", "orchestrator_site.build --collect"):
        assert any(wanted in start for start in units["baton-prepare.service"].starts)


def test_a_stopping_worker_is_given_longer_than_it_waits_for_its_calls(compose: dict[str, Any]) -> None:
    """After that it hands over and closes, which takes up to fifteen seconds; then it would be killed."""
    worker, unit = compose["services"]["worker"], Unit(DOCKER / "systemd" / "baton-worker@.service")
    assert int(worker["stop_grace_period"].removesuffix("s")) >= int(worker["environment"]["BATON_DRAIN_SECONDS"]) + 15
    assert int(unit["Service"]["TimeoutStopSec"]) >= int(unit.environment["BATON_DRAIN_SECONDS"]) + 15
