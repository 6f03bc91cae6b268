"""The pages of secrets: kept, replaced and removed, and no value anywhere."""

import logging

import pytest

from accounts import safe, secrets
from accounts.models import AuditEntry, Secret
from accounts.roles import Role
from tests.pages.builders import World, some_triggers
from tests.pages.connecting import KEEP, LIST, VALUE, a_secret, a_step_calls, a_way, an_agent, main, page, plain
from tests.people import a_member, acting, signed_in_as


def test_a_secret_is_kept_and_its_value_stands_nowhere(world: World, caplog: pytest.LogCaptureFixture) -> None:
    dana = signed_in_as(world.team.dana)
    with caplog.at_level(logging.DEBUG):
        response = dana.post(KEEP, {"name": "crm-key", "value": f"  {VALUE}\r\n", "hosts": "API.crm.example\r\n"})
    assert response["Location"] == f"{LIST}?workspace=acme"
    assert secrets.reveal_with_hosts(world.team.workspace.pk, "crm-key") == (VALUE, ("api.crm.example",))
    pages = [plain(dana.get(path)) for path in (LIST, "/connections/+secrets/crm-key/", "/audit/")]
    assert "by dana@example.com" in main(pages[0])
    (entry,) = AuditEntry.objects.filter(action="secret_written")
    for said in (*pages, response.content.decode(), caplog.text, str(entry.data), str(dict(dana.session))):
        assert VALUE not in said
    assert VALUE.encode() not in bytes(Secret.objects.get(name="crm-key").ciphertext)
    assert "no-store" in dana.get("/connections/+secrets/crm-key/")["Cache-Control"]


@pytest.mark.parametrize(
    ("change", "place", "words"),
    [
        ({"name": "Crm Key"}, "name", "Use lower-case letters"),
        ({"name": "local-key"}, "name", "There is already a secret local-key"),
        ({"hosts": "https://api.example"}, "hosts", "Name at most 50 hosts"),
        ({"hosts": "a.example\n" * 51}, "hosts", "Name at most 50 hosts"),
        ({"value": "  "}, "value", "Paste the value here"),
        ({"value": "x" * 16_385}, "value", "Paste the value here"),
    ],
)
def test_a_refused_secret_is_shown_again_without_its_value(
    world: World, change: dict[str, str], place: str, words: str
) -> None:
    a_secret(world)
    typed = {"name": "crm-key", "value": VALUE, "hosts": "api.crm.example", **change}
    response = signed_in_as(world.team.dana).post(KEEP, typed)
    html = plain(response)
    assert response.status_code == 422
    sentence = html[html.index(f'id="e-{place}"') :]
    assert words in sentence[: sentence.index("</span>")]
    assert typed["name"] in html
    assert typed["hosts"].strip() in html
    assert typed["value"] == "  " or typed["value"] not in html
    assert Secret.objects.count() == 1


def test_a_value_is_replaced_and_whoever_did_is_said(world: World) -> None:
    a_secret(world)
    carla = a_member(world.team.workspace, "carla", Role.ADMIN)
    response = signed_in_as(carla).post("/connections/+secrets/local-key/", {"value": "another value", "hosts": ""})
    assert response["Location"] == "/connections/+secrets/local-key/?workspace=acme"
    assert secrets.reveal(world.team.workspace.pk, "local-key") == "another value"
    assert "by carla@example.com" in page(carla, LIST)
    assert "carla@example.com" not in page(world.team.bob, LIST), "who reads no audit log is not told who did what"


def test_a_secret_in_use_is_not_removed_and_its_page_says_what_uses_it(world: World) -> None:
    a_secret(world)
    a_way(world)
    an_agent(world, secrets=("crm-key",))
    safe.write(acting(world.team.dana), "crm-key", VALUE)
    safe.write(acting(world.team.dana), "step-key", VALUE, ["api.example.com"])
    some_triggers(world)
    headers = {"Authorization": "Bearer step-key"}
    a_step_calls(
        world, "http.request@1", {"method": "GET", "url": "https://api.example.com", "secret_headers": headers}
    )
    dana = signed_in_as(world.team.dana)
    for name, user in {
        "local-key": "the connection local",
        "crm-key": "the agent Helper",
        "step-key": f"the pipeline {world.pipeline.name}",
        "hook-key": "the trigger orders",
    }.items():
        response = dana.post(f"/connections/+secrets/{name}/remove/")
        assert response.status_code == 409
        assert f"The secret {name} is used by {user}." in plain(response)
        assert "secret_in_use" in plain(response)
        assert Secret.objects.filter(name=name).exists()


def test_a_secret_that_nothing_uses_is_removed(world: World) -> None:
    a_secret(world)
    dana = signed_in_as(world.team.dana)
    assert "Remove this secret" in plain(dana.get("/connections/+secrets/local-key/"))
    assert dana.post("/connections/+secrets/local-key/remove/")["Location"] == f"{LIST}?workspace=acme"
    assert not Secret.objects.exists()
    assert AuditEntry.objects.filter(action="secret_deleted", target="local-key").exists()
