"""The real web server under a flood of sign-ins: it looks at a few, refuses the rest at once, serves who is inside."""

import threading

import pytest
import requests

from accounts import hashing
from accounts.models import LoginAttempt
from tests.conftest import LiveStack
from tests.people import a_team, signed_in_as

pytestmark = pytest.mark.django_db(transaction=True)
FLOOD = 40


def test_a_flood_of_sign_ins_is_refused_at_once_and_keeps_nobody_from_their_pages(live_stack: LiveStack) -> None:
    team = a_team()
    inside, gate, answers = requests.Session(), threading.Barrier(FLOOD + 1), []
    inside.cookies.set("sessionid", str(signed_in_as(team.dana).session.session_key))
    stranger = requests.Session()
    stranger.get(f"{live_stack.url}/login/", timeout=30)
    mark = str(stranger.cookies["csrftoken"])

    def try_one(number: int) -> None:
        form = {"csrfmiddlewaretoken": mark, "email": f"nobody-{number}@example.com", "password": "correct horse"}
        gate.wait(30)
        answers.append(requests.post(f"{live_stack.url}/login/", form, cookies={"csrftoken": mark}, timeout=60))

    threads = [threading.Thread(target=try_one, args=[number]) for number in range(FLOOD)]
    for thread in threads:
        thread.start()
    gate.wait(30)
    pages = [inside.get(f"{live_stack.url}/api/v1/members", timeout=30).status_code for _ in range(5)]
    for thread in threads:
        thread.join(60)
    looked_at = [one for one in answers if one.status_code == 200]
    refused = [one for one in answers if one.status_code == 429]
    assert pages == [200] * 5
    assert len(looked_at) + len(refused) == FLOOD
    assert len(looked_at) >= hashing.AT_ONCE + hashing.WAITING
    assert refused, "more came at once than there is room for"
    assert {one.headers["Retry-After"] for one in refused} == {"2"}
    assert LoginAttempt.objects.count() == len(looked_at), "what was not looked at is not counted"
