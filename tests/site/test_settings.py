"""Every setting is read through a typed reader, refuses a bad value, and stands in the README."""

import os
import re
import ssl
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from orchestrator_site import env
from tests.conftest import ROOT

READ = re.compile(r"env\.(?:text|integer|choice|items|hosts|networks|url|path|socket)\(\s*\"([A-Z_]+)\"")
INTERNAL = {"BATON_TEST_DB"}  # set by tests, by nobody else


def test_the_readme_lists_exactly_the_settings_that_are_read() -> None:
    sources = "".join(file.read_text() for file in (ROOT / "orchestrator_site").rglob("*.py"))
    elsewhere = {"OTEL_EXPORTER_OTLP_ENDPOINT"} & set(re.findall(r"[A-Z_]{6,}", _all_code()))
    listed = set(re.findall(r"^\| `([A-Z_]+)`", (ROOT / "README.md").read_text(), re.M))
    assert listed == (set(READ.findall(sources)) - INTERNAL) | elsewhere


def _all_code() -> str:
    apps = ("orchestrator_site", "accounts", "pipelines", "runs", "approvals")
    return "".join(file.read_text() for app in apps for file in (ROOT / app).rglob("*.py"))


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("many", "EXAMPLE must be a whole number, not 'many'."),
        ("0", "EXAMPLE must be between 1 and 9, not 0."),
        ("10", "EXAMPLE must be between 1 and 9, not 10."),
    ],
)
def test_a_number_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch, value: str, complaint: str) -> None:
    monkeypatch.setenv("EXAMPLE", value)
    with pytest.raises(ImproperlyConfigured, match=re.escape(complaint)):
        env.integer("EXAMPLE", 5, 1, 9)


def test_networks_are_refused_where_they_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE", "10.0.0.0/8, 2001:db8::1")
    assert [str(network) for network in env.networks("EXAMPLE")] == ["10.0.0.0/8", "2001:db8::1/128"]
    monkeypatch.setenv("EXAMPLE", "10.0.0.1/8")
    with pytest.raises(ImproperlyConfigured, match="EXAMPLE must be addresses and networks"):
        env.networks("EXAMPLE")


def test_blank_means_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE", "  ")
    assert env.integer("EXAMPLE", 5, 1, 9) == 5
    assert env.text("EXAMPLE", "other") == "other"
    assert env.items("EXAMPLE") == []


def test_an_address_of_another_kind_is_refused_without_repeating_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE", "mysql://root:hunter2@db")
    with pytest.raises(ImproperlyConfigured) as refused:
        env.url("EXAMPLE", "", ("postgresql",))
    assert "mysql" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def manage(command: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    environment = {
        **os.environ,
        "BATON_ENV": "production",
        "SECRET_KEY": "",
        "DJANGO_ALLOW_ASYNC_UNSAFE": "",
        **settings,
    }
    arguments = [sys.executable, "manage.py", *command.split()]
    return subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_production_refuses_to_start_without_a_secret_key() -> None:
    done = manage("check")
    assert done.returncode == 1
    assert done.stderr == ("Settings: SECRET_KEY is required when BATON_ENV=production. Set 50 random characters.\n")


STRONG = "kL9#vQ2m$Xw7&Tz4!Rb8^Yn3*Gc6@Hd1%Jf5(Ps0)Ua-We=Ei+Oq"
FERNET = "c2l4dGVlbiBieXRlcyBhbmQgc2l4dGVlbiBieXRlcyE="
SOUND = {"SECRET_KEY": STRONG, "BATON_ENCRYPTION_KEYS": FERNET, "BATON_BASE_URL": "https://baton.example"}


@pytest.mark.parametrize(
    ("setting", "value", "complaint"),
    [
        ("SECRET_KEY", "x", "SECRET_KEY is too weak"),
        ("SECRET_KEY", "ab" * 30, "SECRET_KEY is too weak"),
        ("BATON_ENCRYPTION_KEYS", "", "BATON_ENCRYPTION_KEYS is required"),
        ("BATON_ENCRYPTION_KEYS", f"{FERNET},nonsense", "Key 2 of BATON_ENCRYPTION_KEYS is no Fernet key"),
        ("BATON_BASE_URL", "http://baton.example", "BATON_BASE_URL must be the https:// address"),
        ("BATON_BASE_URL", "", "BATON_BASE_URL must be the https:// address"),
        ("BATON_WEB_DATABASE_PASSWORD", "nonsense", "The database password of baton_web is too weak"),
    ],
)
def test_production_refuses_to_start_with_what_guards_nothing(setting: str, value: str, complaint: str) -> None:
    done = manage("check", **{**SOUND, setting: value})
    assert done.returncode == 1
    assert done.stderr.startswith(f"Settings: {complaint}")
    assert "nonsense" not in done.stderr, "a key is repeated"


def test_production_refuses_one_password_for_two_logins() -> None:
    names = ("BATON_WEB_DATABASE_PASSWORD", "BATON_WORKER_DATABASE_PASSWORD")
    done = manage("check", **SOUND, **dict.fromkeys(names, "seventeen letters"))
    assert done.returncode == 1
    assert "need a password each" in done.stderr


def test_logins_by_certificate_have_no_password_beside_them() -> None:
    told = {**SOUND, "BATON_DATABASE_LOGINS": "certificate"}
    assert manage("check", **told).returncode == 0
    done = manage("check", **told, BATON_WORKER_DATABASE_PASSWORD="seventeen letters")
    assert (done.returncode, done.stderr[:44]) == (1, "Settings: BATON_DATABASE_LOGINS=certificate ")
    assert "seventeen" not in done.stderr


@pytest.mark.parametrize("login", ["baton_web", "baton_worker"])
def test_a_command_at_the_address_of_a_process_says_where_to_say_it(login: str) -> None:
    done = manage("keep_days acme 90", **SOUND, DATABASE_URL=f"postgresql://{login}:secret@127.0.0.1/baton")
    assert done.returncode == 1
    assert done.stderr.startswith(f"Commands are the owner's, and DATABASE_URL names {login}, a process's login.")


IN_CLEAR = {
    "DATABASE_URL": "postgresql://baton:hunter2@db.example/baton?sslmode=require",
    "CELERY_BROKER_URL": "redis://:hunter2@cache.example:6379/1",
    "CHANNEL_LAYER_URL": "redis://:hunter2@cache.example:6379/0",
    "EMAIL_URL": "smtp://baton:hunter2@mail.example:587",
    "BATON_AUDIT_HEADS": "http://heads.example/",
    "BATON_SYSLOG": "syslog://logs.example",
    "BATON_SCANNER": "tcp://scanner.example:3310",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example:4318",
}


@pytest.mark.parametrize("setting", IN_CLEAR)
def test_production_refuses_to_start_with_an_address_in_the_clear(setting: str) -> None:
    done = manage("check", **SOUND, **{setting: IN_CLEAR[setting]})
    assert done.returncode == 1
    assert done.stderr.startswith(f"Settings: {setting} leads to")
    assert "hunter2" not in done.stderr


def test_production_starts_where_the_operator_vouches_for_the_way() -> None:
    hosts = "db.example,cache.example,mail.example,heads.example,logs.example,scanner.example,collector.example"
    done = manage("check", **SOUND, **IN_CLEAR, BATON_PRIVATE_NETWORK=hosts)
    assert done.returncode == 0, done.stderr


def test_production_listens_to_other_machines_only_where_the_operator_says_so() -> None:
    done = manage("check", **SOUND, BATON_HOST="0.0.0.0")
    assert (done.returncode, done.stderr[:31]) == (1, "Settings: BATON_HOST is 0.0.0.0")
    assert manage("check", **SOUND, BATON_HOST="0.0.0.0", BATON_PRIVATE_NETWORK="0.0.0.0").returncode == 0


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("rediss://broker.example/1", {"ssl_cert_reqs": ssl.CERT_REQUIRED}),
        ("amqps://broker.example/1", {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None}),
        ("amqps://broker.example/1?ssl_cert_reqs=none", {"cert_reqs": ssl.CERT_NONE}),
    ],
)
def test_celery_is_told_to_look_at_the_brokers_certificate(address: str, asked: dict[str, object]) -> None:
    told = "from orchestrator_site.celery import app; print(app.connection_for_read().ssl, app.connection().ssl)"
    done = subprocess.run(
        [sys.executable, "-c", told],
        cwd=ROOT,
        env={**os.environ, "CELERY_BROKER_URL": address},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == f"{asked} {asked}"


def test_production_settings_pass_djangos_deployment_check() -> None:
    done = manage("check --deploy --fail-level WARNING", **SOUND)
    assert done.returncode == 0, done.stderr
