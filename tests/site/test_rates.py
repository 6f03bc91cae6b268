"""A person's tokens ask so often a minute, whichever server they ask and whether or not the counter is there."""

from typing import Any

import pytest
import redis
from django.test import Client

from accounts import rates
from accounts.errors import TooMany
from accounts.ids import new_id
from accounts.models import Membership
from tests.people import Team, a_team, bearer, signed_in_as

pytestmark = pytest.mark.django_db
ME = "/api/v1/members"


@pytest.fixture
def team(db: None) -> Team:
    return a_team()


@pytest.fixture(autouse=True)
def _three_a_minute(settings: Any) -> None:
    settings.API_REQUESTS_PER_MINUTE = 3


@pytest.fixture(autouse=True)
def _a_patient_counter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait longer for the shared counter than a server may: on a busy machine it is still there."""
    patient = {"socket_timeout": 20, "socket_connect_timeout": 20}
    monkeypatch.setattr(rates, "_client", lambda url: redis.Redis.from_url(url, **patient))


def answers(headers: dict[str, str], times: int) -> list[int]:
    return [Client().get(ME, headers=headers).status_code for _ in range(times)]


def test_who_asks_too_often_with_any_of_their_tokens_is_told_when_to_come_back(team: Team) -> None:
    mine, another = bearer(team.alice, team.workspace), bearer(team.alice, team.workspace)
    assert answers(mine, 2) + answers(another, 2) == [200, 200, 200, 429]
    refused = Client().get(ME, headers=mine)
    assert refused.json()["code"] == "too_many_requests"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert answers(bearer(team.bob, team.workspace), 3) == [200] * 3, "from the same address"
    Membership.objects.create(workspace=team.elsewhere, user=team.alice, roles=["viewer"])
    assert answers(bearer(team.alice, team.elsewhere), 3) == [200] * 3, "in another workspace"
    assert [signed_in_as(team.alice).get(ME).status_code for _ in range(5)] == [200] * 5, "a person is no program"


def test_the_model_context_protocol_counts_too(team: Team) -> None:
    headers = bearer(team.alice, team.workspace)
    assert answers(headers, 3) == [200] * 3
    body = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    refused = Client().post("/mcp", body, "application/json", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_requests")
    assert int(refused.headers["Retry-After"]) >= 1


def test_metrics_say_when_to_come_back_too(team: Team) -> None:
    headers = bearer(team.dana, team.workspace)
    assert answers(headers, 3) == [200] * 3
    refused = Client(REMOTE_ADDR="198.51.100.7").get("/metrics", headers=headers)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) >= 1


def test_a_token_that_is_none_counts_nothing(team: Team) -> None:
    assert answers({"Authorization": "Bearer baton_nothing"}, 5) == [401] * 5


def test_without_the_shared_counter_each_server_keeps_the_limit_and_serves(
    team: Team, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CHANNEL_LAYER_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(rates, "_shared", rates._Shared())
    assert answers(bearer(team.alice, team.workspace), 4) == [200, 200, 200, 429]


def test_the_shared_counter_is_tried_again_and_counts_for_all_servers(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    who, right = new_id().hex, settings.CHANNEL_LAYER_URL
    one, other = rates._Shared(), rates._Shared()
    counts = [server.counted(who) or (0, 0) for server in (one, other)]
    assert [count for count, _ in counts] == [1, 2]
    assert all(left in (59, 60) for _, left in counts)
    settings.CHANNEL_LAYER_URL = "redis://127.0.0.1:1/0"
    assert one.counted(who) is None
    settings.CHANNEL_LAYER_URL = right
    assert one.counted(who) is None, "it was away a moment ago"
    monkeypatch.setattr(one, "_away_until", 0.0)
    assert (one.counted(who) or (0, 0))[0] == 3


def test_a_window_ends_and_a_limit_of_none_counts_nothing(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    own = rates._Own()
    assert [own.counted("a")[0] for _ in range(3)] == [1, 2, 3]
    monkeypatch.setattr(rates.time, "monotonic", lambda: 10**9)
    assert own.counted("a") == (1, 60)
    settings.API_REQUESTS_PER_MINUTE = 0
    for _ in range(5):
        rates.admit("b")


def test_windows_that_have_ended_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "_MOST_COUNTED", 2)
    own = rates._Own()
    own.counted("a")
    own.counted("b")
    monkeypatch.setattr(rates.time, "monotonic", lambda: 10**9)
    own.counted("c")
    assert list(own._windows) == ["c"]


def test_the_counter_refuses_with_its_own_code() -> None:
    who = new_id().hex
    for _ in range(3):
        rates.admit(who)
    with pytest.raises(TooMany) as refused:
        rates.admit(who)
    assert refused.value.code == "too_many_requests"
