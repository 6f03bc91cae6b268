from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from accounts import secrets
from accounts.errors import Conflict, Forbidden, Invalid
from accounts.models import AuditEntry
from pipelines.graph import parse
from pipelines.graph.lock import Price
from pipelines.graph.tools import Delivery, Effect
from pipelines.library import agents, connections, models, prices
from pipelines.library.agents import AgentFields
from pipelines.library.connections import ConnectionFields
from pipelines.library.library import library_of
from pipelines.library.tools import TOOLS
from pipelines.models import AgentVersion, Connection
from tests.people import Team, acting
from tests.pipelines.builders import a_document, a_writer


@pytest.fixture(autouse=True)
def _no_keys(settings: Settings) -> None:
    settings.PROVIDER_ENV = dict.fromkeys(("openai", "anthropic", "google"), ("", ""))


def a_connection(team: Team, name: str = "local", **fields: Any) -> Connection:
    return connections.create(acting(team.dana), ConnectionFields(name=name, **fields))


# tools


@pytest.mark.parametrize(
    ("tool", "args", "effect", "delivery"),
    [
        ("http.request@1", {"method": "GET"}, Effect.NONE, Delivery.IDEMPOTENT),
        ("http.request@1", {"method": "head"}, Effect.NONE, Delivery.IDEMPOTENT),
        ("http.request@1", {"method": "POST"}, Effect.IRREVERSIBLE, Delivery.NEITHER),
        ("http.request@1", {"method": "POST", "idempotency_header": "Key"}, Effect.IRREVERSIBLE, Delivery.KEYED),
        ("http.request@1", {"method": "DELETE"}, Effect.IRREVERSIBLE, Delivery.NEITHER),
        ("email.send@1", {"to": "a@b.example"}, Effect.IRREVERSIBLE, Delivery.NEITHER),
        ("crm.log@1", {"contact": "a"}, Effect.REVERSIBLE, Delivery.KEYED),
        ("notes.append@1", {"text": "a"}, Effect.REVERSIBLE, Delivery.KEYED),
        ("knowledge.search@1", {"collection": "a", "query": "b"}, Effect.NONE, Delivery.IDEMPOTENT),
    ],
)
def test_a_tool_says_what_a_call_does(tool: str, args: dict[str, Any], effect: Effect, delivery: Delivery) -> None:
    assert (TOOLS[tool].effect_of(args), TOOLS[tool].delivery_of(args)) == (effect, delivery)


def test_the_arguments_of_the_tools_are_the_published_ones() -> None:
    assert {tool: set(spec.args_schema["properties"]) for tool, spec in TOOLS.items()} == {
        "http.request@1": {"method", "url", "headers", "secret_headers", "json", "body", "idempotency_header"},
        "email.send@1": {"to", "subject", "body"},
        "crm.log@1": {"contact", "note"},
        "notes.append@1": {"text"},
        "knowledge.search@1": {"collection", "query", "limit"},
    }


# agents


def test_an_agent_is_saved_in_versions(team: Team) -> None:
    first = a_writer(acting(team.alice), instructions="One", max_cost_usd="0.25", tools=("notes.append@1",))
    second = agents.new_version(acting(team.dana), first.agent, AgentFields(model="demo/echo", instructions="Two"))
    assert (first.number, second.number) == (1, 2)
    spec = agents.resolve(team.workspace, "writer@1")
    assert spec is not None
    assert (spec.id, spec.instructions, spec.max_cost_micros, spec.tools) == (
        "writer@1",
        "One",
        250_000,
        ("notes.append@1",),
    )


@pytest.mark.parametrize("ref", ["writer", "writer@3", "writer@x", "writer@" + "9" * 40, "nobody@1", ""])
def test_an_agent_that_is_not_there_resolves_to_nothing(team: Team, ref: str) -> None:
    a_writer(acting(team.alice))
    assert agents.resolve(team.workspace, ref) is None
    assert agents.resolve(team.elsewhere, "writer@1") is None


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"model": "writer"}, "/model"),
        ({"model": "demo/nobody"}, "/model"),
        ({"model": "demo/" + "x" * 200}, "/model"),
        ({"tools": ("rocket.launch@1",)}, "/tools/0"),
        ({"fallback": ("demo/echo", "nonsense")}, "/fallback/1"),
        ({"max_output": 0}, "/max_output"),
        ({"temperature": 3.0}, "/temperature"),
        ({"max_cost_usd": "free"}, "/max_cost_usd"),
        ({"max_cost_usd": "0"}, "/max_cost_usd"),
        ({"max_cost_usd": "0.0000001"}, "/max_cost_usd"),
        ({"instructions": "x" * 100_001}, "/instructions"),
        ({"output_schema": {"type": "spaceship"}}, "/output_schema"),
    ],
)
def test_an_agent_that_cannot_be_names_the_field(team: Team, fields: dict[str, Any], where: str) -> None:
    with pytest.raises(Invalid) as refusal:
        a_writer(acting(team.alice), **fields)
    assert (refusal.value.where or "").startswith(where)
    assert not AgentVersion.objects.exists()


def test_an_agents_slug_is_taken_once(team: Team) -> None:
    a_writer(acting(team.alice))
    with pytest.raises(Conflict) as refusal:
        a_writer(acting(team.alice))
    assert refusal.value.code == "slug_taken"
    with pytest.raises(Invalid):
        a_writer(acting(team.alice), slug="No Slug")


def test_a_reviewer_makes_no_agents(team: Team) -> None:
    with pytest.raises(Forbidden):
        a_writer(acting(team.bob))


# connections


def test_a_connection_names_its_secret_and_never_tells_it(team: Team) -> None:
    secrets.put(team.workspace, "local-key", "s3cret")
    row = a_connection(team, base_url="http://127.0.0.1:9000/v1/", secret="local-key")
    assert (row.base_url, row.trusted_address) == ("http://127.0.0.1:9000/v1", True)
    route = models.route(team.workspace, "local/tiny/model")
    assert route is not None
    assert (route.kind, route.model) == ("openai", "tiny/model")
    assert route.secret == "local-key"
    assert "s3cret" not in str(AuditEntry.objects.filter(action="connection.created").get().data)


@pytest.mark.parametrize(
    ("base_url", "trusted"),
    [
        ("", False),
        ("https://api.example.com/v1", False),
        ("http://localhost:1234/v1", True),
        ("http://[::1]:1234/v1", True),
        ("http://10.1.2.3/v1", True),
        ("http://[::ffff:127.0.0.1]/v1", True),
    ],
)
def test_an_address_written_as_private_is_trusted_because_an_admin_wrote_it(
    team: Team, base_url: str, trusted: bool
) -> None:
    assert a_connection(team, base_url=base_url).trusted_address is trusted


@pytest.mark.parametrize(
    "base_url",
    [
        "ftp://host/v1",
        "file:///etc/passwd",
        "https://user:word@host/v1",
        "https://host/v1?key=1",
        "https://",
        "nonsense",
        "http://169.254.169.254/latest",
        "http://0.0.0.0/v1",
        "http://[::]/v1",
        "http://224.0.0.1/v1",
        "http://host:99999/v1",
        "http://[broken/v1",
    ],
)
def test_an_address_that_no_model_server_has_is_refused(team: Team, base_url: str) -> None:
    with pytest.raises(Invalid) as refusal:
        a_connection(team, base_url=base_url)
    assert refusal.value.where == "/base_url"


def test_a_private_address_can_be_refused_on_purpose(team: Team) -> None:
    with pytest.raises(Invalid) as refusal:
        a_connection(team, base_url="http://127.0.0.1/v1", trusted_address=False)
    assert refusal.value.code == "private_address"


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"name": "demo"}, "/name"),
        ({"name": "Not a slug"}, "/name"),
        ({"kind": "carrier-pigeon"}, "/kind"),
        ({"rpm": 0}, "/rpm"),
        ({"prices": {"a/b": {"input_per_million": "1"}}}, "/prices/a~1b"),
        ({"prices": {"m": {"input_per_million": 1, "output_per_million": "1"}}}, "/prices/m/input_per_million"),
        ({"prices": {"m": {"input_per_million": "1", "output_per_million": "-1"}}}, "/prices/m/output_per_million"),
        ({"prices": {"m": {"input_per_million": "NaN", "output_per_million": "1"}}}, "/prices/m/input_per_million"),
    ],
)
def test_a_connection_that_cannot_be_names_the_field(team: Team, fields: dict[str, Any], where: str) -> None:
    with pytest.raises(Invalid) as refusal:
        a_connection(team, **{"name": "local", **fields})
    assert refusal.value.where == where


def test_admins_make_connections_and_managers_price_them(team: Team) -> None:
    row = a_connection(team)
    price = {"tiny": {"input_per_million": "0.10", "output_per_million": "0.40"}}
    for person in (team.alice, team.bob, team.carol, team.erin):
        with pytest.raises(Forbidden):
            connections.create(acting(person), ConnectionFields(name="mine"))
    for person in (team.alice, team.bob, team.erin):
        with pytest.raises(Forbidden):
            connections.set_prices(acting(person), row, price)
    connections.set_prices(acting(team.carol), row, price)
    assert prices.price(team.workspace, "local/tiny") == Price(100_000, 400_000)


# models and prices


def test_a_model_is_reached_through_demo_connection_or_environment(team: Team, settings: Settings) -> None:
    assert models.route(team.workspace, "demo/echo") == models.ModelRoute("demo/echo", "echo", "demo")
    assert models.route(team.workspace, "demo/nobody") is None
    assert models.route(team.workspace, "openai/gpt-5-mini") is None
    assert models.route(team.workspace, "nonsense") is None
    settings.PROVIDER_ENV = {**settings.PROVIDER_ENV, "openai": ("key", "http://127.0.0.1:9/v1")}
    route = models.route(team.workspace, "openai/gpt-5-mini")
    assert route is not None
    assert (route.from_environment, route.trusted_address, route.base_url) == (True, True, "http://127.0.0.1:9/v1")
    a_connection(team, "openai")
    own = models.route(team.workspace, "openai/gpt-5-mini")
    assert own is not None
    assert not own.from_environment, "a workspace's own connection comes first"
    assert models.route(team.elsewhere, "openai/gpt-5-mini") == route


def test_the_demo_models_have_prices() -> None:
    assert {
        "demo/echo": Price(100_000, 400_000),
        "demo/writer": Price(250_000, 2_000_000),
        "demo/judge": Price(150_000, 600_000),
    } == models.DEMO_PRICES
    assert models.is_simulated("demo/echo")
    assert not models.is_simulated("openai/demo")


def test_a_known_model_has_the_packaged_price_and_an_override_wins(team: Team) -> None:
    assert prices.price(team.workspace, "openai/gpt-5-mini") == Price(250_000, 2_000_000, 25_000)
    a_connection(team, "openai", prices={"gpt-5-mini": {"input_per_million": "9", "output_per_million": "9.5"}})
    assert prices.price(team.workspace, "openai/gpt-5-mini") == Price(9_000_000, 9_500_000)
    assert prices.price(team.elsewhere, "openai/gpt-5-mini") == Price(250_000, 2_000_000, 25_000)


@pytest.mark.parametrize("ref", ["openai/never-heard-of", "nobody/gpt-5-mini", "gpt-5-mini", "demo/nobody", "", "/"])
def test_an_unknown_price_stays_unknown(team: Team, ref: str) -> None:
    assert prices.price(team.workspace, ref) is None


def test_a_local_server_has_no_price_until_somebody_sets_one(team: Team) -> None:
    a_connection(team, "local", base_url="http://127.0.0.1:9/v1")
    assert prices.price(team.workspace, "local/gpt-5-mini") is None


# the library as publishing sees it


def test_the_library_holds_what_a_document_names_in_few_queries(
    team: Team, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    a_writer(acting(team.alice))
    for number in range(5):
        a_writer(acting(team.alice), slug=f"other-{number}")
    a_writer(acting(team.charlie), slug="stranger")
    actor, document = acting(team.alice), parse.parse(a_document())
    with django_assert_num_queries(3):
        library = library_of(actor, document)
    assert set(library.agents) == {"writer@1"}
    assert library.tools == TOOLS
    assert len(library_of(actor).agents) == 6
    assert "stranger@1" not in library_of(actor).agents


def test_the_price_book_tells_unknown_prices_from_unknown_models(team: Team) -> None:
    a_connection(team, "local", prices={"tiny": {"input_per_million": "1", "output_per_million": "2"}})
    book = library_of(acting(team.alice)).prices
    assert book["local/tiny"] == Price(1_000_000, 2_000_000)
    assert book["local/other"] is None
    assert "nobody/model" not in book
    assert set(book) == {"demo/echo", "demo/writer", "demo/judge", "local/tiny"}
    assert len(book) == 4


# servers of tools, windows of models, rights of agents


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"base_url": ""}, "/base_url"),
        ({"prices": {"m": {"input_per_million": "1", "output_per_million": "1"}}}, "/prices"),
        ({"tpm": 5}, "/tpm"),
        ({"base_url": "file:///etc/passwd"}, "/base_url"),
        ({"secret_header": "X-Api-Key"}, "/secret_header"),
        ({"secret": "files-key", "secret_header": "Host"}, "/secret_header"),
        ({"secret": "files-key", "secret_header": "Mcp-Session-Id"}, "/secret_header"),
        ({"secret": "files-key", "secret_header": "X-Api-Key\r\nHost"}, "/secret_header"),
        ({"secret": "files-key", "secret_header": "X" * 64}, "/secret_header"),
    ],
)
def test_a_server_of_tools_has_an_address_and_no_prices(team: Team, fields: dict[str, Any], where: str) -> None:
    given = {"base_url": "https://tools.example/mcp", **fields}
    with pytest.raises(Invalid) as caught:
        connections.create(acting(team.dana), ConnectionFields("files", "mcp", **given))
    assert caught.value.where == where


def test_a_server_of_tools_answers_to_no_model_s_name(team: Team) -> None:
    connections.create(acting(team.dana), ConnectionFields("files", "mcp", "https://tools.example/mcp"))
    assert models.route(team.workspace, "files/gpt") is None
    assert "files/gpt" not in library_of(acting(team.alice)).prices


def test_how_much_a_model_reads_is_the_connection_s_word_or_the_packaged_table_s(team: Team) -> None:
    own = {"input_per_million": "1", "output_per_million": "2", "context_window": 8_000}
    a_connection(team, "local", prices={"tiny": own, "other": {**own, "context_window": None}})
    a_connection(team, "openai")
    windows = library_of(acting(team.alice)).windows
    assert (windows["local/tiny"], windows["demo/writer"]) == (8_000, 128_000)
    assert "local/other" not in windows
    assert windows["openai/gpt-4o"] >= 100_000
    assert {"demo/echo", "local/tiny"} <= set(windows)


@pytest.mark.parametrize("window", [0, -1, "many", 1.5, 10**12])
def test_a_window_is_a_number_of_tokens(team: Team, window: Any) -> None:
    price = {"input_per_million": "1", "output_per_million": "2", "context_window": window}
    with pytest.raises(Invalid) as caught:
        a_connection(team, "local", prices={"m": price})
    assert caught.value.where == "/prices/m/context_window"


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"egress": ("https://api.example.com",)}, "/egress/0"),
        ({"egress": ("api.example.com", "*")}, "/egress/1"),
        ({"secrets": ("Crm Key",)}, "/secrets/0"),
        ({"tools": ("mcp.files.echo@1",)}, "/tools/0"),
    ],
)
def test_rights_that_cannot_be_are_refused(team: Team, fields: dict[str, Any], where: str) -> None:
    with pytest.raises(Invalid) as caught:
        a_writer(acting(team.alice), **fields)
    assert caught.value.where == where
