"""The live sockets of a real web server: every event once and in order, and nobody who may not look."""

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, pairwise
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from accounts.models import ApiToken, Membership, User
from accounts.roles import Role
from bench.sockets import Page
from bench.sockets import opened as opened_page
from pipelines import drafts, publish
from pipelines.models import Pipeline
from runs.models import Event, Run
from runs.services import Order, start_run
from tests.api.world import ABSENT
from tests.conftest import LiveStack, wait_for
from tests.people import Team, a_member, a_team, acting, bearer, just_come_in, signed_in_as
from tests.pipelines.builders import a_document, a_writer

pytestmark = pytest.mark.django_db(transaction=True)
STEPS = 4
ALMOST_NOW = 20.0  # seconds within which a socket is closed that may no longer be open, on a busy machine; R8: ten


@pytest.fixture
def team(live_stack: LiveStack) -> Team:
    return a_team()


def a_chain(team: Team, steps: int = STEPS) -> Pipeline:
    """Publish start >> w1 >> w2 … >> result, whose steps take the demo model's time."""
    alice = acting(team.alice)
    a_writer(alice)
    names = [f"w{number}" for number in range(1, steps + 1)]
    nodes = {name: {"kind": "agent", "agent": "writer@1", "prompt": "Write."} for name in names}
    path = ["start", *names, "result"]
    ends = {"start": {"kind": "input"}, "result": {"kind": "output", "value": f"${{steps.w{steps}.output}}"}}
    edges = [{"from": one, "to": other} for one, other in pairwise(path)]
    pipeline = drafts.create(alice, a_document("chain", graph={"nodes": ends | nodes, "edges": edges}))
    publish.publish(alice, pipeline)
    pipeline.refresh_from_db()
    return pipeline


def a_run(team: Team, steps: int = STEPS) -> Run:
    return start_run(acting(team.alice), a_chain(team, steps), Order({"topic": "tides"}))


def an_ended_run(team: Team, events: int = 3) -> Run:
    """Return a run that no worker touches, with as many events."""
    run = start_run(acting(team.alice), a_chain(team), Order({}))
    wait_for(lambda: Run.objects.filter(pk=run.pk, state="succeeded", owner=None).exists(), 30)
    last = Run.objects.get(pk=run.pk).seq
    more = [
        Event(run=run, seq=seq, type="step_started", path="w1", at=run.created_at, payload={})
        for seq in range(last + 1, events + 1)
    ]
    Event.objects.bulk_create(more)
    Run.objects.filter(pk=run.pk).update(seq=max(last, events))
    return run


@contextmanager
def opened(
    stack: LiveStack, path: str, by: User | None = None, origin: str | None = "ours", **more: Any
) -> Iterator[ClientConnection]:
    """Open a socket as the person's browser would: with the session's cookie, from a page of this origin."""
    headers = dict(more.pop("headers", {}))
    if by is not None:
        headers["Cookie"] = f"sessionid={signed_in_as(by).session.session_key}"
    how = {"subprotocols": more.pop("subprotocols", None), "open_timeout": 10, "max_size": 2**24}
    address = f"{stack.url.replace('http', 'ws', 1)}{path}?{urlencode(more)}"
    page = stack.url if origin == "ours" else origin
    with connect(address, origin=page, additional_headers=headers, **how) as link:  # type: ignore[arg-type]
        yield link


def offering(bare: str) -> list[str]:
    """Return the subprotocols of a program that cannot set `Authorization`."""
    return ["baton", f"baton.token.{bare}"]


def run_path(run: Run) -> str:
    return f"/ws/runs/{run.pk}"


def frames(link: ClientConnection, seconds: float = 30) -> Iterator[dict[str, Any]]:
    """Yield frames that say something, until the socket closes or this time is over."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        try:
            frame = json.loads(link.recv(left))
        except (TimeoutError, ConnectionClosed):
            return
        if not frame.get("heartbeat"):
            yield frame


def events(link: ClientConnection, until: str = "run_finished", seconds: float = 30) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for frame in frames(link, seconds):
        assert (frame["from"], frame["seq"]) == (frame["events"][0]["seq"], frame["events"][-1]["seq"])
        found += frame["events"]
        if any(event["type"] == until for event in frame["events"]):
            return found
    return found


def seqs_to(last: int, link: ClientConnection) -> list[int]:
    """Return the numbers of the events that come, up to the last one and a second longer."""
    found: list[int] = []
    for frame in chain(frames_to(last, link), frames(link, 1)):
        found += [event["seq"] for event in frame["events"]]
    return found


def frames_to(last: int, link: ClientConnection) -> Iterator[dict[str, Any]]:
    for frame in frames(link, 30):
        yield frame
        if frame["seq"] >= last:
            return


def close_code(link: ClientConnection, seconds: float) -> int | None:
    """Return the code with which the server closes the socket within this time; None when it stays open."""
    for _ in frames(link, seconds):
        pass
    return link.close_code


def by_rest(team: Team, run: Run) -> list[dict[str, Any]]:
    client, found, cursor = signed_in_as(team.alice), [], ""
    while True:
        page = client.get(f"/api/v1/runs/{run.pk}/events", {"cursor": cursor, "limit": 200}).json()
        found += page["items"]
        cursor = page["next"]
        if not cursor:
            return found


# What is sent


def test_every_event_comes_once_and_in_order_while_the_run_goes_on(live_stack: LiveStack, team: Team) -> None:
    run = a_run(team)
    with opened(live_stack, run_path(run), team.bob, after=0, format="json") as link:
        came = events(link)
    assert [event["seq"] for event in came] == list(range(1, len(came) + 1))
    assert came[-1]["type"] == "run_finished"
    assert came == by_rest(team, run)


def test_a_socket_that_was_cut_off_goes_on_where_it_was(live_stack: LiveStack, team: Team) -> None:
    run = a_run(team)
    came: list[dict[str, Any]] = []
    for _ in range(40):
        after = came[-1]["seq"] if came else 0
        with opened(live_stack, run_path(run), team.bob, after=after, format="json") as link:
            came += next(frames(link))["events"]
            link.socket.shutdown(socket.SHUT_RDWR)  # no goodbye, as when a phone loses its network
        if came[-1]["type"] == "run_finished":
            break
    assert came == by_rest(team, run)


def test_a_killed_web_server_costs_no_event(live_stack: LiveStack, team: Team) -> None:
    run = a_run(team, steps=8)
    with opened(live_stack, run_path(run), team.bob, after=0, format="json") as link:
        came = events(link, until="step_succeeded")
        assert live_stack.web.pid
        os.kill(live_stack.web.pid, signal.SIGKILL)
        came += [event for frame in frames(link, 5) for event in frame["events"]]
    wait_for(lambda: not live_stack.web.running, 5)
    live_stack.start()
    assert came[-1]["type"] != "run_finished"
    with opened(live_stack, run_path(run), team.bob, after=came[-1]["seq"], format="json") as link:
        came += events(link)
    assert came == by_rest(team, run)


def test_a_long_log_is_replayed_whole(live_stack: LiveStack, team: Team) -> None:
    run = an_ended_run(team, events=2_600)
    started = time.monotonic()
    for after in (0, 700, 2_599):
        with opened(live_stack, run_path(run), team.bob, after=after, format="json") as link:
            seqs = seqs_to(2_600, link)
        assert seqs == list(range(after + 1, 2_601)), after
    print(f"three replays of a log of 2,600 events: {time.monotonic() - started - 3:.2f} s beyond waiting")


@pytest.mark.parametrize("after", ["", "-1", "x", "²", "٣", "9" * 5_000])
def test_a_seq_that_is_none_means_from_the_start(live_stack: LiveStack, team: Team, after: str) -> None:
    run = an_ended_run(team)
    with opened(live_stack, run_path(run), team.bob, after=after, format="json") as link:
        assert next(frames(link, 5))["from"] == 1


def test_frames_for_the_page_keep_the_sequence_without_a_gap(live_stack: LiveStack, team: Team) -> None:
    run = a_run(team)
    last = 0
    with opened(live_stack, run_path(run), team.bob, after=0) as link:
        for frame in frames(link):
            assert frame["from"] == last + 1
            assert frame["n"] == frame["seq"] - frame["from"] + 1
            assert "<" in frame["content"]
            last = frame["seq"]
            if Run.objects.filter(pk=run.pk, state="succeeded", seq=last).exists():
                break
    assert last == Run.objects.get(pk=run.pk).seq


async def _heard_from(stack: LiveStack, url: str, session: str, seqs: list[int]) -> Page:
    """Open a page's socket that notes the numbers of the events it hears."""

    def hear(text: bytes) -> None:
        seqs.extend(event["seq"] for event in json.loads(text)["events"])

    return await opened_page(url, {"Origin": stack.url, "Cookie": f"sessionid={session}"}, hear)


def test_sockets_that_come_at_any_time_and_place_each_hear_everything_once(live_stack: LiveStack, team: Team) -> None:
    """Those who come late catch up beside the others, whether they heard some events before, all of them or none."""
    run = a_run(team, steps=8)
    session = str(signed_in_as(team.bob).session.session_key)
    heard: list[tuple[int, list[int]]] = []

    def last() -> int:
        try:
            return Run.objects.values_list("seq", flat=True).get(pk=run.pk)
        finally:
            connection.close()

    async def come_and_listen() -> None:
        pages = []
        for number in range(60):
            now = await asyncio.to_thread(last)
            after = (0, now, now // 2, max(0, now - 1), now + 3)[number % 5]
            heard.append((after, []))
            url = f"ws://127.0.0.1:{live_stack.port}{run_path(run)}?after={after}&format=json"
            pages.append(await _heard_from(live_stack, url, session, heard[-1][1]))
            await asyncio.sleep(0.04)
        for _ in range(300):
            end = await asyncio.to_thread(_end_of, run)
            if end and all(after >= end or seqs[-1:] == [end] for after, seqs in heard):
                break
            await asyncio.sleep(0.1)
        for page in pages:
            page.close()

    asyncio.run(come_and_listen())
    end = _end_of(run)
    assert end
    for after, seqs in heard:
        assert seqs == list(range(after + 1, end + 1)), after


def _end_of(run: Run) -> int:
    """Return the number of the run's last event; 0 while more may come."""
    try:
        return Run.objects.filter(pk=run.pk, state="succeeded", owner=None).values_list("seq", flat=True).first() or 0
    finally:
        connection.close()


def test_a_frame_larger_than_what_a_socket_takes_arrives_whole(live_stack: LiveStack, team: Team) -> None:
    run = an_ended_run(team, events=300)
    Event.objects.filter(run=run, seq__gt=200).update(payload={"text": "x" * 20_000})
    with opened(live_stack, run_path(run), team.bob, after=0, format="json") as link:
        seqs = seqs_to(300, link)
    assert seqs == list(range(1, 301))


def test_a_workspaces_socket_says_when_to_look_again(live_stack: LiveStack, team: Team) -> None:
    with opened(live_stack, "/ws/workspace/acme", team.bob) as link:
        assert next(frames(link, 5)) == {"look": "again", "workspace": "acme"}
        a_run(team, steps=1)
        assert next(frames(link, 20))["look"] == "again"


def test_a_socket_that_never_reads_stops_nobody(live_stack: LiveStack, team: Team) -> None:
    run = an_ended_run(team, events=2_500)
    deaf = []
    cookie = f"sessionid={signed_in_as(team.bob).session.session_key}"
    for _ in range(20):
        link = socket.create_connection(("127.0.0.1", live_stack.port), timeout=5)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.sendall(
            f"GET {run_path(run)}?after=0&format=json HTTP/1.1\r\nHost: 127.0.0.1:{live_stack.port}\r\n"
            f"Origin: {live_stack.url}\r\nCookie: {cookie}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        deaf.append(link)
    assert deaf[-1].recv(12) == b"HTTP/1.1 101"
    started = time.monotonic()
    other = start_run(acting(team.alice), Pipeline.objects.get(), Order({}))
    with opened(live_stack, run_path(other), team.bob, after=0, format="json") as listening:
        assert events(listening)[-1]["type"] == "run_finished"
    print(f"a run beside 20 sockets that never read: {time.monotonic() - started:.2f} s")
    for link in deaf:
        link.close()


# Who may listen


def test_nobody_listens_without_signing_in(live_stack: LiveStack, team: Team) -> None:
    run = an_ended_run(team)
    for path in (run_path(run), "/ws/workspace/acme", f"/ws/runs/{ABSENT}"):
        with opened(live_stack, path) as link:
            assert close_code(link, 5) == 4401
        with opened(live_stack, path, headers={"Cookie": "sessionid=forged"}) as link:
            assert close_code(link, 5) == 4401
        with opened(live_stack, path, headers={"Cookie": f"sessionid={'b' * 5_000}"}) as link:
            assert close_code(link, 5) == 4401
        with opened(live_stack, path, origin=None, subprotocols=offering("baton_forged")) as link:
            assert close_code(link, 5) == 4401


def test_a_stranger_is_told_the_same_of_a_run_as_of_none(live_stack: LiveStack, team: Team) -> None:
    run = an_ended_run(team)
    for path in (
        run_path(run),
        "/ws/runs/018f0000-0000-7000-8000-000000000000",
        "/ws/workspace/acme",
        "/ws/workspace/no",
    ):
        with opened(live_stack, path, team.charlie) as link:
            assert (list(frames(link, 5)), link.close_code) == ([], 4403), path
        headers = bearer(team.charlie, team.elsewhere)
        with opened(live_stack, path, origin=None, headers=headers) as link:
            assert (list(frames(link, 5)), link.close_code) == ([], 4403), path


def test_a_foreign_page_opens_no_socket(live_stack: LiveStack, team: Team) -> None:
    run = an_ended_run(team)
    for origin in ("https://evil.example", f"http://127.0.0.1:{live_stack.port + 1}", "null"):
        with pytest.raises(InvalidStatus) as refused, opened(live_stack, run_path(run), team.bob, origin):
            pass
        assert refused.value.response.status_code == 403
    with pytest.raises(InvalidStatus), opened(live_stack, run_path(run), team.bob, None):  # a cookie without a page
        pass


@pytest.mark.parametrize("place", ["authorization", "subprotocol"])
def test_a_program_listens_with_its_token(live_stack: LiveStack, team: Team, place: str) -> None:
    run = an_ended_run(team)
    headers = bearer(team.bob, team.workspace, "read")  # type: ignore[arg-type]
    bare = headers["Authorization"].removeprefix("Bearer ")
    shown: dict[str, Any] = {"headers": headers} if place == "authorization" else {"subprotocols": offering(bare)}
    with opened(live_stack, run_path(run), origin=None, after=0, format="json", **shown) as link:
        assert link.subprotocol == (None if place == "authorization" else "baton")
        assert link.response
        assert bare not in str(link.response.headers)
        assert events(link, seconds=5)[-1]["type"] == "run_finished"


def test_a_token_in_the_address_lets_nobody_in(live_stack: LiveStack, team: Team) -> None:
    run = an_ended_run(team)
    bare = bearer(team.bob, team.workspace)["Authorization"].removeprefix("Bearer ")
    for path in (run_path(run), "/ws/workspace/acme", "/ws/pipelines/chain"):
        with opened(live_stack, path, workspace="acme", token=bare) as link:
            assert close_code(link, 5) == 4401
        with pytest.raises(InvalidStatus) as refused, opened(live_stack, path, origin=None, token=bare):
            pass
        assert refused.value.response.status_code == 403


def test_a_program_follows_a_draft_with_its_token_in_a_subprotocol(live_stack: LiveStack, team: Team) -> None:
    pipeline = a_chain(team)
    bare = bearer(team.bob, team.workspace)["Authorization"].removeprefix("Bearer ")
    path = f"/ws/pipelines/{pipeline.slug}"
    with opened(live_stack, path, origin=None, workspace="acme", subprotocols=offering(bare)) as link:
        assert link.subprotocol == "baton"
        assert {"rev", "people"} & next(frames(link, 5)).keys()


def test_a_token_that_may_not_read_does_not_listen(live_stack: LiveStack, team: Team) -> None:
    run = an_ended_run(team)
    headers = bearer(team.bob, team.workspace, "decide")  # type: ignore[arg-type]
    with opened(live_stack, run_path(run), origin=None, headers=headers) as link:
        assert close_code(link, 5) == 4403


def test_an_address_that_is_none_is_refused(live_stack: LiveStack, team: Team) -> None:
    for path in ("/ws/runs/1", "/ws/", "/ws/runs/../../etc/passwd", "/ws/workspace/a b"):
        with pytest.raises((InvalidStatus, ConnectionClosed)), opened(live_stack, path, team.bob) as link:
            link.recv(5)


# Whose socket is closed


def logged_out(team: Team, client: Client, token: ApiToken) -> None:
    client.post("/logout/")


def no_member(team: Team, client: Client, token: ApiToken) -> None:
    Membership.objects.filter(user=team.bob).delete()


def deactivated(team: Team, client: Client, token: ApiToken) -> None:
    User.objects.filter(pk=team.bob.pk).update(is_active=False)


def shut_out(team: Team, client: Client, token: ApiToken) -> None:
    address = f"/api/v1/members/{team.bob.email}"
    answer = signed_in_as(team.dana).patch(address, {"active": False}, content_type="application/json")
    assert answer.json()["active"] is False


def another_password(team: Team, client: Client, token: ApiToken) -> None:
    team.bob.set_password("another")
    team.bob.save()


def signed_out_elsewhere(team: Team, client: Client, token: ApiToken) -> None:
    just_come_in(signed_in_as(team.bob)).post("/account/sessions/end-others/")


def test_the_sockets_of_somebody_who_may_no_longer_look_are_closed_soon(live_stack: LiveStack, team: Team) -> None:
    """All at once, because each waits for the same few seconds."""
    run = an_ended_run(team)
    others = (logged_out, deactivated, shut_out, another_password, signed_out_elsewhere)
    ways = {no_member: 4403, **dict.fromkeys(others, 4401)}
    people = {way: a_member(team.workspace, way.__name__.replace("_", "-")) for way in ways}
    clients = {way: signed_in_as(person) for way, person in people.items()}
    key = bearer(team.bob, team.workspace)
    stack: list[tuple[str, ClientConnection, int]] = []
    for path in (run_path(run), "/ws/workspace/acme"):
        for way, code in ways.items():
            headers = {"Cookie": f"sessionid={clients[way].session.session_key}"}
            stack.append((way.__name__, _listening(live_stack, path, live_stack.url, headers), code))
        stack.append(("a revoked token", _listening(live_stack, path, None, key), 4401))
    for way in ways:
        way(_as_bob(team, people[way]), clients[way], ApiToken.objects.get())
    ApiToken.objects.update(revoked_at=run.created_at)
    ended = time.monotonic()
    for name, link, code in stack:
        left = ALMOST_NOW - (time.monotonic() - ended)
        assert close_code(link, left) == code, name
    print(f"{len(stack)} sockets were closed within {time.monotonic() - ended:.1f} s")


def test_a_program_and_a_browser_with_another_workspace_are_turned_out_of_this_one(
    live_stack: LiveStack, team: Team
) -> None:
    """Whoever is shut out here keeps the session in which they work elsewhere."""
    run = an_ended_run(team)
    Membership.objects.create(workspace=team.elsewhere, user=team.bob, roles=[Role.VIEWER])
    client = signed_in_as(team.bob)
    cookie = {"Cookie": f"sessionid={client.session.session_key}"}
    program = _listening(live_stack, run_path(run), None, bearer(team.bob, team.workspace))
    browser = _listening(live_stack, run_path(run), live_stack.url, cookie)
    desk = _listening(live_stack, "/ws/workspace/acme", live_stack.url, cookie)
    shut_out(team, client, ApiToken.objects.get())
    ended = time.monotonic()
    for link, code in ((program, 4401), (browser, 4403), (desk, 4403)):
        assert close_code(link, ALMOST_NOW - (time.monotonic() - ended)) == code
    assert client.get("/api/v1/members?workspace=globex").status_code == 200
    with opened(live_stack, run_path(run), team.bob) as link:
        assert close_code(link, 5) == 4403


def test_a_role_that_sees_no_content_is_turned_out_of_runs_and_hears_the_counts(
    live_stack: LiveStack, team: Team
) -> None:
    run = an_ended_run(team)
    cookie = {"Cookie": f"sessionid={signed_in_as(team.carol).session.session_key}"}
    browser = _listening(live_stack, run_path(run), live_stack.url, cookie)
    program = _listening(live_stack, run_path(run), None, bearer(team.carol, team.workspace))
    body = {"hidden_from": ["manager"]}
    assert signed_in_as(team.dana).put("/api/v1/content", body, content_type="application/json").status_code == 200
    ended = time.monotonic()
    for link in (browser, program):
        assert close_code(link, ALMOST_NOW - (time.monotonic() - ended)) == 4403
    with opened(live_stack, run_path(run), team.carol) as link:
        assert (list(frames(link, 5)), link.close_code) == ([], 4403)
    with opened(live_stack, "/ws/workspace/acme", team.carol) as link:
        assert next(frames(link, 5)) == {"look": "again", "workspace": "acme"}


def _listening(stack: LiveStack, path: str, origin: str | None, headers: dict[str, str]) -> ClientConnection:
    address = f"ws://127.0.0.1:{stack.port}{path}?after=0&format=json"
    link = connect(address, origin=origin, additional_headers=headers)  # type: ignore[arg-type]
    assert json.loads(link.recv(5))
    return link


def _as_bob(team: Team, person: User) -> Team:
    return Team(**{**{name: getattr(team, name) for name in Team.__dataclass_fields__}, "bob": person})
