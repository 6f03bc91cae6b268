"""Connections, secrets and what uses them, as the tests of their pages make and read them."""

from typing import Any

from accounts import safe
from accounts.models import Secret, User
from pipelines.library import agents, connections
from pipelines.library.agents import AgentFields
from pipelines.library.connections import ConnectionFields
from pipelines.models import Connection
from tests.pages.builders import World
from tests.people import acting, signed_in_as

LIST, NEW, KEEP = "/connections/", "/connections/+new/", "/connections/+secrets/"
VALUE = "sk-zilpzalp-7731-correct-horse"
PRICES = {"llama": {"input_per_million": "0.10", "output_per_million": "0.40"}}
FORM = {
    "name": "local",
    "kind": "openai",
    "base_url": "http://127.0.0.1:9/v1",
    "trusted": "on",
    "secret": "local-key",
    "max_concurrent": "4",
    "rpm": "60",
    "tpm": "",
}


def a_way(world: World, name: str = "local", **fields: Any) -> Connection:
    given = {"base_url": "http://127.0.0.1:9/v1", "secret": "local-key", **fields}
    return connections.create(acting(world.team.dana), ConnectionFields(name, **given))


def a_secret(world: World, name: str = "local-key") -> Secret:
    return safe.write(acting(world.team.dana), name, VALUE)


def an_agent(world: World, **fields: Any) -> None:
    agents.create(acting(world.team.alice), "helper", AgentFields(**{"model": "local/llama", **fields}), "Helper")


def a_step_calls(world: World, tool: str, args: dict[str, Any]) -> None:
    draft = world.pipeline.draft
    document = {**draft.document, "graph": {**draft.document["graph"], "nodes": {**draft.document["graph"]["nodes"]}}}
    document["graph"]["nodes"]["ring"] = {"kind": "tool", "tool": tool, "args": args}
    draft.document, draft.revision = document, draft.revision + 1
    draft.save()


def page(user: User, path: str, status: int = 200) -> str:
    response = signed_in_as(user).get(path)
    assert response.status_code == status, response
    return plain(response)


def plain(response: Any) -> str:
    html = response.content.decode()
    return str(html.replace("&#x27;", "'").replace("&quot;", '"'))


def main(html: str) -> str:
    return html[html.index('id="main"') : html.index("</main>")]
