"""The filters of the inbox: what an address asks for, and that the condition in SQL says what the words say."""

from itertools import product
from typing import Any

import pytest

from approvals import filters, inbox, words
from approvals.filters import Filters
from approvals.models import Approval
from tests.approvals.builders import Desk, a_desk, a_question, an_approval

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk() -> Desk:
    return a_desk()


def shown(desk: Desk, **asked: str) -> list[Approval]:
    return list(Filters.read(asked).apply(inbox.open_for(desk.actor("bob"))))


def test_an_address_that_says_nonsense_shows_everything(desk: Desk) -> None:
    found = Filters.read({"view": "theirs", "due": "never", "risk": "huge", "kind": "x", "colour": "red"})
    assert found == Filters()
    assert found.address == "?view=mine"


def test_a_filter_is_set_by_one_press_and_taken_off_by_the_next() -> None:
    found = Filters.read({"view": "team", "q": "ana"})
    on = found.toggled("risk", "hi")
    assert on.address == "?view=team&risk=hi&q=ana"
    assert on.toggled("risk", "hi") == found
    assert on.toggled("risk", "lo").risk == "lo"


def test_a_risk_in_sql_is_the_risk_in_words(desk: Desk) -> None:
    tools = ("email.send@1", "crm.log@1", "notes.append@1", "notes.appendix@1", "http.request@1", "crm.log", "")
    actions: list[Any] = [{"tool": tool} for tool in tools] + [None, {}, {"effect": "none"}]
    for tool, effect in product(tools, ("irreversible", "reversible", "none")):
        actions.append({"tool": tool, "effect": effect})
    for action in actions:
        an_approval(desk.run, action=action)
    for tone in filters.RISKS:
        said = {one.pk for one in Approval.objects.all() if (risk := words.risk(one.action)) and risk.tone == tone}
        assert said
        assert {one.pk for one in shown(desk, view="all", risk=tone)} == said


def test_what_is_due_soon_is_found(desk: Desk) -> None:
    soon, today, later, never = (an_approval(desk.run, expires=seconds) for seconds in (600, 7_200, 200_000, None))
    assert shown(desk, due="hour") == [soon]
    assert shown(desk, due="today") == [soon, today]
    assert shown(desk) == [soon, today, later, never]


def test_words_are_looked_for_in_what_would_run_in_the_title_and_in_the_pipelines_name(desk: Desk) -> None:
    email, question = an_approval(desk.run), a_question(desk.run, "answer", title="Which colour?")
    assert shown(desk, q="northwind") == [email]
    assert shown(desk, q="colour WHICH") == [question]
    assert shown(desk, q="outreach") == [email, question]
    assert shown(desk, q=f"#{desk.run.number}") == [email, question]
    assert shown(desk, q="outreach tangerine") == []
    assert shown(desk, q="100% _") == []
    assert shown(desk, kind="answer", pipeline=desk.run.pipeline.slug) == [question]
    assert shown(desk, pipeline="another") == []
