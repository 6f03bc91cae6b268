"""What Prometheus is told, and whom it is told to."""

import json
import logging
import re
from ipaddress import ip_network
from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from orchestrator_site import metrics
from orchestrator_site.json_logs import JsonFormatter
from orchestrator_site.measured import MEASURES
from tests.api.world import World, a_world
from tests.conftest import ROOT
from tests.people import bearer

SAMPLE = re.compile(r'^[a-z_]+(\{[a-z_]+="[^"\n]*"(,[a-z_]+="[^"\n]*")*\})? -?[0-9.e+]+$')
FAR = {"REMOTE_ADDR": "198.51.100.7"}


@pytest.fixture
def world(db: None) -> World:
    return a_world()


def told(answer: Any) -> dict[str, str]:
    """Return the samples by name and labels."""
    lines = [line for line in answer.content.decode().splitlines() if not line.startswith("#")]
    assert all(SAMPLE.match(line) for line in lines), lines
    return dict(line.rsplit(" ", 1) for line in lines)


def test_every_figure_is_told_to_the_machine_itself(world: World) -> None:
    answer = Client().get("/metrics")
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples = told(answer)
    assert samples["baton_database_up"] == samples["baton_broker_up"] == "1"
    assert float(samples['baton_runs{state="queued"}']) > 0
    assert float(samples['baton_approvals_waiting{kind="approve"}']) > 0
    assert 'baton_queue_to_start_seconds{quantile="0.99"}' in samples
    for one in MEASURES:
        assert f"# TYPE baton_{one.name} gauge" in answer.content.decode()
        assert one.labels or f"baton_{one.name}" in samples, one.name
    for name in world.here.ids().values():
        assert name not in answer.content.decode()


def test_others_need_an_allowed_address_or_the_token_of_an_admin(world: World, settings: Settings) -> None:
    team = world.team
    assert Client(**FAR).get("/metrics").status_code == 401
    for name in ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP"):
        assert Client().get("/metrics", headers={name: "127.0.0.1"}).status_code == 401, name
    assert Client(**FAR).get("/metrics", headers=bearer(team.alice, team.workspace)).status_code == 403
    assert Client(**FAR).get("/metrics", headers=bearer(team.dana, team.workspace, "read")).status_code == 403
    assert Client(**FAR).get("/metrics", headers=bearer(team.dana, team.workspace)).status_code == 200
    assert Client().post("/metrics").status_code == 405
    settings.METRICS_ALLOW = [ip_network("198.51.100.0/24")]
    assert Client(**FAR).get("/metrics").status_code == 200


def test_in_production_the_machine_itself_is_allowed_only_by_name(world: World, settings: Settings) -> None:
    settings.PRODUCTION = settings.SECURE_SSL_REDIRECT = True
    assert Client().get("/metrics").status_code == 401
    settings.METRICS_ALLOW = [ip_network("127.0.0.0/8")]
    assert Client().get("/metrics").status_code == 200
    assert Client().get("/login/").status_code == 301


def test_in_production_a_token_opens_the_figures_over_https_alone(world: World, settings: Settings) -> None:
    settings.PRODUCTION = settings.SECURE_SSL_REDIRECT = True
    shown = bearer(world.team.dana, world.team.workspace)
    in_clear = Client(**FAR).get("/metrics", headers=shown)
    assert (in_clear.status_code, in_clear.json()["code"]) == (403, "https_needed")
    assert Client(**FAR).get("/metrics", headers=shown, secure=True).status_code == 200


async def test_answers_are_counted_by_status_and_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "ANSWERS", metrics.Answers())

    async def teapot(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 418})
        await send({"type": "http.response.body", "body": b""})

    async def ignore(message: Any) -> None:
        return None

    for _ in range(2):
        await metrics.counted(teapot)({}, None, ignore)  # type: ignore[arg-type]
    lines = list(metrics._http())
    assert 'baton_http_answers_total{status="418"} 2' in lines
    assert 'baton_http_seconds_bucket{le="+Inf"} 2' in lines
    assert "baton_http_seconds_count 2" in lines


def test_a_log_line_in_json_names_the_run_and_its_trace() -> None:
    run = "018f0000-0000-7000-8000-00000000000a"
    record = logging.LogRecord("baton.worker", logging.WARNING, "", 0, "Run %s waits for\n%s", (run, "it"), None)
    record.workspace = "acme"
    line = JsonFormatter().format(record)
    assert "\n" not in line
    said = json.loads(line)
    assert (said["level"], said["logger"], said["message"]) == ("warning", "baton.worker", f"Run {run} waits for\nit")
    assert (said["run_id"], said["trace_id"], said["workspace"]) == (run, run.replace("-", ""), "acme")


def test_the_dashboard_shows_every_figure_and_no_other() -> None:
    dashboard = json.loads((ROOT / "docker/grafana/baton.json").read_text())
    asked = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    beside = {"database_up", "broker_up", "doorbells_waiting", "http_answers_total", "http_seconds_bucket"}
    beside |= {"log_server_up", "log_lines_waiting", "log_lines_dropped_total"}
    assert set(re.findall(r"baton_(\w+)", asked)) == {one.name for one in MEASURES} | beside
