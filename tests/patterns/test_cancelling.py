"""Choices that the world makes, and what is stopped because of them."""

from runs.engine.facts import CancelRequested, StepSucceeded, StopRequested
from tests.engine.playing import a_run

RACE = {"kind": "combine", "wait_for": "first"}
QUESTION = {"kind": "human", "mode": "answer"}


def test_deferred_choice() -> None:
    """Several ways are offered to the world; the first that it takes is taken, and the offer of the others ends."""
    drawing = "start >> by_phone, by_mail; by_phone >> ring >> join; by_mail >> write >> join; join >> result"
    player = a_run(drawing, join=RACE, by_phone=QUESTION, by_mail=QUESTION)
    player.begin()
    assert sorted(question["request"] for question in player.asked()) == ["by_mail!1", "by_phone!1"]
    player.answer("answer", {"at": "nine"}, path="by_mail")
    player.play()
    assert player.paths_started() == ["write"]
    assert player.state("by_phone") == "cancelled"
    assert player.asked() == []
    assert player.run.state == "succeeded"


def test_cancel_activity() -> None:
    """One step is stopped while it runs; everything else goes on."""
    player = a_run("start >> slow, quick >> join >> result; start >> other", join=RACE)
    player.begin()
    player.finish("quick")
    assert player.cancelled == ["slow"]
    assert player.row("slow")["meta"]["cancelled"] == "lost_race"
    assert "other" in player.open
    assert player.play().run.state == "succeeded"
    asked = a_run("start >> slow >> next >> result; start >> other", slow={"on_error": {"then": "skip"}})
    asked.begin()
    asked.tell(StopRequested("slow", "carol@example.com", "Enough."))
    assert asked.cancelled == ["slow"]
    asked.play()
    assert (asked.state("slow"), asked.state("next"), asked.state("other")) == ("cancelled", "skipped", "succeeded")


def test_cancel_case() -> None:
    """The whole run is stopped: what waits at once, what runs as soon as it lets go; nothing new begins."""
    player = a_run("start >> a >> a2 >> result; start >> b; start >> ask >> after", ask=QUESTION)
    player.begin()
    decision = player.tell(CancelRequested("alice@example.com", "enough"))
    assert sorted(decision.cancels) == ["a", "b"]
    assert not decision.starts
    assert player.asked() == []
    assert player.run.state == "cancelling"
    for path in ("a", "b"):
        late = player.tell(StepSucceeded(path, 1, "late"))
        assert not late.starts
    assert player.run.state == "cancelled"
    assert player.paths_started() == ["a", "b"]
    assert {player.state(name) for name in ("a", "b", "a2", "ask", "after", "result")} == {"cancelled"}


def test_cancel_region() -> None:
    """All that leads to nothing but the lost race is stopped, begun or not; what others need is spared."""
    drawing = """start >> a >> a2 >> a3 >> join; start >> b >> b2 >> join; start >> quick >> join; join >> result
        b >> archive"""
    player = a_run(drawing, join=RACE)
    player.begin()
    player.finish("quick")
    assert {name: player.state(name) for name in ("a", "a2", "a3", "b2")} == dict.fromkeys(
        ("a", "a2", "a3", "b2"), "cancelled"
    )
    assert player.cancelled == ["a"]
    assert player.state("b") == "running", "somebody else needs it"
    player.play()
    assert player.state("archive") == "succeeded"
    assert player.run.state == "succeeded"
