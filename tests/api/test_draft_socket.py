"""The socket of a draft on a real web server: changes are heard, people see each other, nobody stays who may not."""

import json
import time
from typing import Any

import pytest
from websockets.sync.client import ClientConnection

from accounts.models import Membership
from pipelines import drafts
from pipelines.models import Draft, Pipeline
from tests.api.test_sockets import ALMOST_NOW, close_code, frames, opened
from tests.conftest import LiveStack
from tests.people import Team, a_team, acting, signed_in_as
from tests.pipelines.builders import a_pipeline, a_writer

pytestmark = pytest.mark.django_db(transaction=True)
PATH = "/ws/pipelines/brief"


@pytest.fixture
def team(live_stack: LiveStack) -> Team:
    return a_team()


@pytest.fixture
def pipeline(team: Team) -> Pipeline:
    a_writer(acting(team.alice))
    return a_pipeline(acting(team.alice))


def until(link: ClientConnection, wanted: dict[str, Any], seconds: float = 15) -> float:
    """Return after how many seconds a frame says this."""
    began = time.monotonic()
    said = []
    for frame in frames(link, seconds):
        said.append(frame)
        if frame == wanted:
            return time.monotonic() - began
    raise AssertionError(f"{wanted} was not said, but {said}")


def test_a_change_is_heard_by_the_others_after_it_is_made(
    live_stack: LiveStack, team: Team, pipeline: Pipeline
) -> None:
    with opened(live_stack, PATH, team.dana, workspace="acme") as link:
        until(link, {"rev": 1})
        posted = {"rev": 1, "op_id": "one", "do": "delete", "with": '{"places": ["write"]}'}
        assert signed_in_as(team.alice).post("/pipelines/brief/change/", posted).status_code == 200
        took = until(link, {"rev": Draft.objects.get().revision})
    print(f"another page heard of a change after {took * 1000:.0f} ms")


def test_a_change_that_was_taken_back_by_its_transaction_rings_no_bell(
    live_stack: LiveStack, team: Team, pipeline: Pipeline
) -> None:
    with opened(live_stack, PATH, team.dana, workspace="acme") as link:
        until(link, {"rev": 1})
        refused = {"rev": 1, "op_id": "one", "do": "connect", "with": '{"from": "result", "to": "start"}'}
        assert signed_in_as(team.alice).post("/pipelines/brief/change/", refused).status_code == 422
        assert [frame for frame in frames(link, 2) if "rev" in frame] == []


def test_two_people_see_each_other_and_where_they_are(live_stack: LiveStack, team: Team, pipeline: Pipeline) -> None:
    with opened(live_stack, PATH, team.alice, workspace="acme") as alice:
        until(alice, {"rev": 1})
        with opened(live_stack, PATH, team.dana, workspace="acme") as dana:
            until(alice, {"people": [{"name": "Dana", "at": ""}]})
            until(dana, {"people": [{"name": "Alice", "at": ""}]})
            dana.send(json.dumps({"at": "write"}))
            until(alice, {"people": [{"name": "Dana", "at": "write"}]})
        until(alice, {"people": []})


def test_a_second_window_of_the_same_person_is_nobody_else(
    live_stack: LiveStack, team: Team, pipeline: Pipeline
) -> None:
    with (
        opened(live_stack, PATH, team.alice, workspace="acme") as one,
        opened(live_stack, PATH, team.alice, workspace="acme") as other,
    ):
        until(one, {"rev": 1})
        other.send(json.dumps({"at": "write"}))
        assert [frame for frame in frames(one, 2) if "people" in frame] == []


def test_what_a_page_says_in_another_way_is_ignored(live_stack: LiveStack, team: Team, pipeline: Pipeline) -> None:
    with (
        opened(live_stack, PATH, team.alice, workspace="acme") as alice,
        opened(live_stack, PATH, team.dana, workspace="acme") as dana,
    ):
        until(alice, {"people": [{"name": "Dana", "at": ""}]})
        for text in ("", "{", "[" * 1_900, "[]", '{"at": 3}', json.dumps({"at": "x" * 401}), "x" * 5_000, b"\xff\x00"):
            dana.send(text)
        dana.send(json.dumps({"at": "write"}))
        assert next(frame for frame in frames(alice, 10) if "people" in frame) == {
            "people": [{"name": "Dana", "at": "write"}]
        }


def test_a_stranger_is_told_the_same_of_a_draft_as_of_none(
    live_stack: LiveStack, team: Team, pipeline: Pipeline
) -> None:
    for user, path, workspace, code in (
        (None, PATH, "acme", 4401),
        (team.charlie, PATH, "acme", 4403),
        (team.charlie, PATH, "globex", 4403),
        (team.charlie, "/ws/pipelines/none", "acme", 4403),
        (team.alice, "/ws/pipelines/none", "acme", 4403),
        (team.alice, PATH, "globex", 4403),
    ):
        with opened(live_stack, path, user, workspace=workspace) as link:
            assert (list(frames(link, 5)), link.close_code) == ([], code), (user, path, workspace)


def test_whoever_signs_out_or_leaves_the_workspace_is_turned_out_soon(
    live_stack: LiveStack, team: Team, pipeline: Pipeline
) -> None:
    client = signed_in_as(team.alice)
    cookie = {"Cookie": f"sessionid={client.session.session_key}"}
    with (
        opened(live_stack, PATH, headers=cookie, workspace="acme") as alice,
        opened(live_stack, PATH, team.bob, workspace="acme") as bob,
    ):
        until(alice, {"rev": 1})
        client.post("/logout/")
        Membership.objects.filter(user=team.bob).delete()
        ended = time.monotonic()
        assert close_code(alice, ALMOST_NOW) == 4401
        assert close_code(bob, ALMOST_NOW - (time.monotonic() - ended)) == 4403


def test_from_whom_a_pipeline_is_kept_is_turned_out_soon(live_stack: LiveStack, team: Team, pipeline: Pipeline) -> None:
    with (
        opened(live_stack, PATH, team.alice, workspace="acme") as alice,
        opened(live_stack, PATH, team.bob, workspace="acme") as bob,
    ):
        until(bob, {"rev": 1})
        path, body = "/api/v1/pipelines/brief/sharing", {"see": ["composer"]}
        assert signed_in_as(team.alice).put(path, body, content_type="application/json").status_code == 200
        assert close_code(bob, ALMOST_NOW) == 4403
        drafts.save(acting(team.alice), pipeline, {**pipeline.draft.document, "description": "New."}, 1)
        until(alice, {"rev": 2})
    with opened(live_stack, PATH, team.bob, workspace="acme") as link:
        assert (list(frames(link, 5)), link.close_code) == ([], 4403)


def test_a_draft_changed_in_a_transaction_rings_once_it_is_kept(
    live_stack: LiveStack, team: Team, pipeline: Pipeline
) -> None:
    with opened(live_stack, PATH, team.dana, workspace="acme") as link:
        until(link, {"rev": 1})
        drafts.save(acting(team.alice), pipeline, {**pipeline.draft.document, "description": "New."}, 1)
        until(link, {"rev": 2})
