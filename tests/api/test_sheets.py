"""Every list that may be a sheet: the same lines as its JSON, numbers as numbers, and nothing of another workspace."""

import csv
import io
from typing import Any

import pytest
from django.utils import timezone

from accounts.sheets import cell
from notices.models import AlertFiring
from orchestrator_site.api import api
from pipelines.library import price_changes
from pipelines.library.price_changes import PriceFields
from pipelines.models import Connection
from runs import budgets
from tests.api import walks
from tests.api.walks import ROOT
from tests.api.world import World
from tests.pages.builders import a_model_call
from tests.people import acting, signed_in_as

FORMULA = "=HYPERLINK(0)"
GROWING = "oldest"  # seconds until now


def sheet_routes() -> list[str]:
    """Return the routes of the OpenAPI document that answer with a sheet too."""
    found = []
    for path, item in api.get_openapi_schema()["paths"].items():
        for method, operation in item.items():
            if "text/csv" in operation["responses"].get(200, {}).get("content", {}):
                found.append(f"{method.upper()} {path.removeprefix(ROOT)}")
    return sorted(found)


@pytest.fixture
def busy(world: World) -> World:
    """Every list has a line, and people wrote what a spreadsheet would evaluate."""
    team, here = world.team, world.here
    a_model_call(here.run, 12_345, model="acme-local/local-model", input_tokens=1_000_000, output_tokens=1_000)
    carol = acting(team.carol)
    local = Connection.objects.get(workspace=team.workspace, name="acme-local")
    price_changes.set_price(carol, local, PriceFields("local-model", "0.20", "0.40", None, None, FORMULA))
    budgets.allow_more(carol, here.budget, "2", FORMULA)
    AlertFiring.objects.create(rule=here.alert, revision=1, period_start=timezone.now().date(), said=FORMULA)
    return world


def lines(browser: Any, address: str) -> list[dict[str, str]]:
    answer = browser.get(address)
    assert answer.status_code == 200, (address, answer.content)
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"].startswith("attachment")
    return list(csv.DictReader(io.StringIO(answer.getvalue().decode())))


def asked(route: str, world: World, **more: str) -> str:
    address = walks.CALLS[route].path(route, world.here.ids())
    more |= {"month": "this"} if route in ("GET /what-if", "GET /prices/recalculation") else {}
    query = "&".join(f"{name}={value}" for name, value in more.items())
    return f"{address}{'&' if '?' in address else '?'}{query}"


def test_the_tables_about_money_and_the_desk_are_sheets_too() -> None:
    assert set(sheet_routes()) >= {
        *("GET /costs", "GET /costs/budgets", "GET /budgets/changes", "GET /prices", "GET /prices/changes"),
        *("GET /prices/recalculation", "GET /what-if", "GET /alert-rules", "GET /alert-rules/found"),
        *("GET /approvals/health", "GET /decisions", "GET /costs/forecast", "GET /costs/savings", "GET /costs/results"),
    }


def test_a_sheet_has_the_lines_of_its_list_and_their_values(busy: World) -> None:
    browser = signed_in_as(busy.team.carol)
    told = {}
    for route in sheet_routes():
        found = browser.get(asked(route, busy)).json()
        items = [found["range"]] if "range" in found else found.get("items", [found])
        rows = lines(browser, asked(route, busy, format="csv"))
        assert len(rows) == len(items) + (route == "GET /costs"), "the sheet of sums ends with the total"
        told[route] = rows
        for item, row in zip(items, rows, strict=False):
            shared = [name for name in row if name in item and not isinstance(item[name], dict | list)]
            times = {name for name in shared if name == GROWING or str(item[name]).endswith("Z")}
            assert {name: row[name] for name in shared if name not in times} == {
                name: str(item[name]) if name.endswith(("_usd", "_per_million")) and item[name] else cell(item[name])
                for name in shared
                if name not in times
            }, route
    empty = {route for route, rows in told.items() if not rows}
    assert empty <= {"GET /costs/savings", "GET /costs/waste", "GET /costs/latency", "GET /costs/slowest",
                     "GET /costs/anomalies", "GET /decisions"}  # fmt: skip
    (standing,) = told["GET /costs/budgets"]
    assert (standing["allowed_usd"], standing["left_usd"]) == ("2", "51.999999")
    (asked_of,) = told["GET /what-if"]
    assert asked_of["to"] == "demo/echo"


def test_no_sheet_holds_a_formula_that_somebody_wrote(busy: World) -> None:
    browser = signed_in_as(busy.team.carol)
    written = 0
    for route in sheet_routes():
        cells = [value for row in lines(browser, asked(route, busy, format="csv")) for value in row.values()]
        assert FORMULA not in cells, route
        written += cells.count(f"'{FORMULA}")
    assert written == 3


def test_a_stranger_gets_sheets_of_their_own_workspace(busy: World) -> None:
    browser = signed_in_as(busy.team.charlie)
    for route in sheet_routes():
        if walks.CALLS[route].query.startswith("pipeline="):
            continue  # names a thing of the other workspace
        rows = lines(browser, asked(route, busy, format="csv"))
        assert not any("acme" in value.lower() for row in rows for value in row.values() if value), route


@pytest.mark.parametrize("table", ["totals", "people", "pipelines"])
def test_the_health_of_approvals_is_three_sheets(busy: World, table: str) -> None:
    browser = signed_in_as(busy.team.carol)
    health = browser.get(f"{ROOT}/approvals/health").json()
    rows = lines(browser, f"{ROOT}/approvals/health?format=csv&table={table}")
    wanted = [health] if table == "totals" else health[table]
    assert len(rows) == len(wanted)
    for row, one in zip(rows, wanted, strict=True):
        assert {name: row[name] for name in row if name != GROWING} == {
            name: cell(one[name]) for name in row if name != GROWING
        }
