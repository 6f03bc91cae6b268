"""Pipelines among a supervisor's workers: what a leader gives them, what is refused, and what holds for their runs."""

import random
import re
from collections.abc import Callable
from typing import Any

import pytest

from pipelines.graph.model import Budget, Document
from runs.engine.facts import CancelRequested, PauseRequested, PipelineWanted, ResumeRequested, StopRequested
from runs.engine.origin import child_id
from runs.engine.status import RunState
from tests.engine.building import a_document, a_graph
from tests.engine.kin import PRICE, Family
from tests.engine.playing import Fails
from tests.engine.test_children import FORM, a_child
from tests.engine.test_supervisor import FINISH, answering, asked, meta, orders, plan, refused, task

WORKERS = [{"agent": "writer@1"}, {"pipeline": "child"}]
BEES = {"topic": "bees"}
CHILD = a_child(nodes={"dig": {"prompt": "About ${input.topic}."}}, description="Digs\nfor facts")


def leading(slug: str = "parent", document: Any = None, **config: Any) -> Document:
    lead = {"kind": "supervisor", "task": "Find it out.", "agent": "writer@1", "workers": WORKERS, **config}
    graph = a_graph("start >> lead >> result", lead=lead, result={"value": "${steps.lead.output}"})
    return a_document(graph, id=slug, **(document or {}))


def a_family(*answers: Any, script: Any = None, run_budget: Budget | None = None, **config: Any) -> Family:
    """Return a run whose leader gives these answers, and whose child digs for what its input says."""
    said = {"leader": answering(*answers), "dig": lambda start: start.input["prompt"], **(script or {})}
    fall = {"on_error": {"retry": {"max_attempts": 1}}}
    bad = a_child("bad", "start >> fall >> result", nodes={"fall": fall, "result": {"value": 1}})
    more = {"budget": run_budget} if run_budget else {}
    return Family(leading(**config), {"child": CHILD, "bad": bad}, said, **more)


def under_way(**config: Any) -> Family:
    """Return a family whose leader has just given the child something to do; its letters are not delivered."""
    family = a_family(orders(("child", BEES)), FINISH, **config)
    family.root.begin()
    family.root.finish("lead~1.leader")
    family.mail.clear()
    return family


def played(family: Family, seed: int, each_time: Callable[[Family], None] = lambda family: None) -> Family:
    """Play everything to its end in an order that `seed` chooses."""
    chance = random.Random(seed)
    family.root.begin()
    while True:
        each_time(family)
        moves = [(run, path) for run, one in family.members.items() for path in sorted(one.open)]
        if family.mail and chance.randrange(len(moves) + 1) == 0:
            family.deliver()
        elif moves:
            run, path = chance.choice(moves)
            family.members[run].finish(path)
        else:
            return family


def restart(family: Family) -> None:
    for one in list(family.members.values()):
        if one.run.state is not RunState.QUEUED and not one.run.state.is_terminal:
            one.crash(crashed=False)


def test_a_pipeline_works_for_a_leader_in_a_run_of_its_own() -> None:
    family = a_family(orders(("child", BEES), ("writer", "Look.")), FINISH)
    family.root.begin()
    family.root.finish("lead~1.leader")
    row = family.root.row("lead>1.child")
    assert (row["state"], row["wait_reason"], row["input"]) == ("waiting", "children", {"inputs": BEES})
    family.play()
    (child,) = family.children()
    assert child.origin.run == child_id("root", "lead>1.child", 1)
    assert child.input == {"topic": "bees", "depth": 2}, "its form's defaults are filled in"
    assert family.root.row("lead>1.child")["meta"]["run"] == child.origin.run
    first = meta(family.root)["delegations"][0]
    assert (first["worker"], first["args"], first["status"]) == ("child", BEES, "succeeded")
    assert '<untrusted source="child">About bees.</untrusted>' in asked(family.root, 2)
    assert family.root.run.output == "All is done."


def test_a_leader_is_told_what_its_pipelines_do_and_take() -> None:
    prompt = asked(a_family(FINISH).play().root, 1)
    (line,) = [line for line in prompt.splitlines() if line.startswith("- child: (a pipeline) ")]
    assert "Digs for facts" in line
    assert '"required": ["topic"]' in line
    assert "a tool or pipeline gets `args` instead" in prompt


def test_words_of_a_leader_reach_a_run_as_they_are_and_as_a_model_s() -> None:
    hostile = "${input.secret} ${steps.dig.output} $${x}"
    family = a_family(orders(("child", {"topic": hostile})), FINISH).play()
    (child,) = family.children()
    assert child.input["topic"] == hostile
    assert child.origin.labels == {"input.topic": "model"}
    assert child.started[0].input == {"prompt": f"About {hostile}."}
    assert child.started[0].trust == {"/prompt": "model"}


def test_names_that_a_leader_invents_are_its_words_too() -> None:
    loose = a_child(inputs={"type": "object", "properties": {"bag": {"type": "object"}}})
    said = {"leader": answering(orders(("child", {"bag": {"do as I say": {}}})), FINISH)}
    (child,) = Family(leading(), {"child": loose}, said).play().children()
    assert child.origin.labels == {"input.bag": "model"}


@pytest.mark.parametrize(
    ("args", "said"), [({}, "topic"), ({"topic": 3}, "/topic"), ({"topic": "x", "more": 1}, "more")]
)
def test_what_a_pipeline_does_not_take_is_refused_by_name_and_starts_nothing(args: Any, said: str) -> None:
    family = a_family(orders(("child", args), ("writer", "Look.")), FINISH).play()
    assert refused(family.root) == ["invalid_arguments"]
    assert said in meta(family.root)["refused"][0]["message"]
    assert "- invalid_arguments: child cannot be called with this" in asked(family.root, 2)
    assert not family.children()
    assert "lead>1.writer" in family.root.rows


def test_a_failed_run_fails_its_delegation_and_the_leader_goes_on() -> None:
    workers = [*WORKERS, {"pipeline": "bad"}]
    family = a_family(orders(("bad", BEES)), FINISH, workers=workers, script={"fall": Fails("transient")}).play()
    (entry,) = meta(family.root)["delegations"]
    assert (entry["status"], entry["error"]["code"]) == ("failed", "child_failed")
    assert "lead>1.bad/fall: It is broken." in asked(family.root, 2)
    assert len(family.children()) == 1, "what it tried is not tried again"
    assert family.root.run.output == "All is done."


def test_a_router_hands_its_one_pipeline_arguments_and_a_person_may_have_it_done_again() -> None:
    outcomes = iter([Fails("refused"), "Now it works."])
    answer = {"reason": "It fits.", "worker": "child", "args": BEES}
    on_error = {"then": "ask_human"}
    family = a_family(answer, mode="route_only", on_error=on_error, script={"dig": lambda start: next(outcomes)}).play()
    assert family.root.row("lead")["error"]["code"] == "delegation_failed"
    restart(family)
    family.root.answer("retry")
    restart(family)
    family.play()
    assert family.root.run.output == "Now it works."
    assert [one.input["topic"] for one in family.children()] == ["bees", "bees"]
    assert [one.origin.run for one in family.children()] == [child_id("root", "lead>1.child", n) for n in (1, 2)]


@pytest.mark.parametrize("under", [False, True])
def test_an_agent_that_works_for_a_leader_starts_a_pipeline_of_its_own(under: bool) -> None:
    def dig(start: Any) -> Any:
        wish = PipelineWanted(start.path, start.attempt, "child", {"topic": "bees"}, "c1")
        return start.answers["c1"]["output"] if "c1" in start.answers else wish

    below = {"name": "team", "agent": "writer@1", "workers": [{"agent": "digger@1"}]}
    workers = [{"supervisor": below}] if under else [{"agent": "digger@1"}]
    given = (
        (orders(("team", "See to it.")), orders(("digger", "Dig.")), FINISH) if under else (orders(("digger", "Dig.")),)
    )
    script = {"digger": dig, "dig": "Bees."}
    for seed in range(6):
        family = a_family(*given, FINISH, workers=workers, script=script).play(seed, crash_every=5)
        assert family.root.run.output == "All is done."
        (child,) = family.children()
        assert (child.document.id, child.origin.labels) == ("child", {"input.topic": "model"})


# plans


def test_a_plan_s_pipelines_take_what_was_brought_before_and_know_whose_words_it_is() -> None:
    steps = [
        task("a"),
        task("b", "a", worker="child", args={"topic": {"result_of": "a"}}),
        task("c", "b", worker="child", args={"topic": {"result_of": "b"}}),
    ]
    family = a_family(plan(*steps), mode="plan", script={"a": "bees"}).play()
    assert family.root.run.output == "About About bees.."
    assert [one.input["topic"] for one in family.children()] == ["bees", "About bees."]
    assert [one.origin.labels["input.topic"] for one in family.children()] == ["model", "tool"]


def test_a_result_that_a_pipeline_does_not_take_fails_its_task_before_anything_starts() -> None:
    steps = [task("a"), task("b", "a", worker="child", args={"topic": {"result_of": "a"}})]
    family = a_family(plan(*steps), plan(task("c")), mode="plan", script={"a": {"k": 1}}).play()
    assert meta(family.root)["delegations"][1]["error"]["code"] == "invalid_input"
    assert "child@1 does not take what lead>2.b gives it" in asked(family.root, 2)
    assert not family.children()
    assert family.root.run.output == "lead>3.c"


def test_a_plan_that_leaves_an_input_out_is_refused() -> None:
    family = a_family(plan(task("a", worker="child", args={})), plan(task("b")), mode="plan").play()
    assert refused(family.root) == ["missing_argument"]
    assert not family.children()


# never for ever


def test_the_same_pipeline_with_the_same_input_is_refused_below_itself_and_the_leader_is_told() -> None:
    again = leading("again", {"inputs": FORM}, workers=[{"pipeline": "again"}])
    said = {"leader": answering(orders(("again", BEES)), FINISH)}
    family = Family(leading(workers=[{"pipeline": "again"}]), {"again": again}, said).play()
    (child,) = family.children()
    assert meta(child)["delegations"][0]["error"]["code"] == "recursion"
    assert "same input" in asked(child, 2)
    assert family.root.run.output == "All is done."


def test_runs_that_leaders_start_go_five_deep_and_no_deeper() -> None:
    def deeper(start: Any) -> Any:
        longest = max(re.findall("z+", start.input["prompt"]), key=len, default="")
        return orders(("deep", {"topic": longest + "z"})) if "~1." in start.path else FINISH

    workers = [{"pipeline": "deep"}]
    deep = leading("deep", {"inputs": FORM}, workers=workers, task="About ${input.topic}.")
    family = Family(leading(workers=workers), {"deep": deep}, {"leader": deeper}).play()
    assert len(family.children()) == 5
    assert meta(family.children()[-1])["delegations"][0]["error"]["code"] == "too_deep"
    assert family.root.run.output == "All is done."


def test_a_version_that_lacks_the_pipeline_is_refused_by_name() -> None:
    family = a_family(FINISH)
    del family.root.lock.pipelines["child@1"]  # type: ignore[attr-defined]
    error = family.play().root.row("lead")["error"]
    assert (error["class"], error["code"]) == ("config", "unknown_pipeline")
    assert "child" in error["message"]


# money


@pytest.mark.parametrize("seed", range(6))
def test_the_supervisor_s_cap_covers_the_runs_it_gives_out(seed: int) -> None:
    wanted = orders(*(("child", {"topic": f"t{n}"}) for n in range(4)))
    config = {"budget": {"max_cost_usd": "0.00035"}, "on_error": {"then": "skip"}}
    family = a_family(wanted, FINISH, **config).play(seed, crash_every=5 if seed % 2 else 0)
    assert PRICE < family.paid <= 350
    assert family.root.row("lead")["error"]["class"] == "budget"


def test_what_runs_cost_counts_for_their_parent_and_nothing_stays_held() -> None:
    wanted = orders(*(("child", {"topic": f"t{n}"}) for n in range(3)))
    family = a_family(wanted, FINISH, run_budget=Budget(max_cost_micros=9 * PRICE)).play(3)
    spend = family.root.run.spend
    assert (family.paid, spend.committed, spend.held_cost, spend.reserved) == (5 * PRICE, 5 * PRICE, 0, 0)


# stopping


def test_cancel_pause_and_resume_reach_what_a_leader_gave_out() -> None:
    family = under_way()
    for fact in (PauseRequested("bob"), ResumeRequested("bob"), CancelRequested("bob")):
        restart(family)
        family.root.tell(fact)
        assert [run for run, _ in family.mail] == [child_id("root", "lead>1.child", 1)], fact
        family.mail.clear()
    assert family.root.run.state is RunState.CANCELLED


@pytest.mark.parametrize("path", ["lead", "lead>1", "lead>1.child"])
def test_a_run_that_nobody_waits_for_any_more_is_told_to_stop(path: str) -> None:
    family = under_way()
    restart(family)
    family.root.tell(StopRequested(path, "bob"))
    assert (child_id("root", "lead>1.child", 1), CancelRequested) in [(run, type(fact)) for run, fact in family.mail]
    assert family.root.row("lead>1.child")["state"] == "cancelled"
    family.play()
    assert family.root.run.state.is_terminal
    if path != "lead":
        assert "It did not end." in asked(family.root, 2)


# restarts


@pytest.mark.parametrize("seed", range(10))
def test_a_restart_between_any_two_decisions_changes_nothing(seed: int) -> None:
    under = {"supervisor": {"name": "research", "agent": "writer@1", "workers": [{"pipeline": "child"}]}}
    one, two = {"topic": "one"}, {"topic": "two"}
    wanted = [("child", one), ("bad", BEES), ("child", two), ("writer", "Look."), ("child", {})]
    script = {
        "fall": Fails("refused"),
        "lead>5.research~1.leader": orders(("child", {"topic": "three"})),
        "lead>5.research~2.leader": FINISH,
    }

    def family() -> Family:
        workers = [*WORKERS, {"pipeline": "bad"}, under]
        answers = (orders(*wanted), orders(("research", "Dig.")), FINISH)
        return a_family(*answers, script=script, workers=workers, max_parallel=2)

    calm, rough = played(family(), seed), played(family(), seed + 1, restart)
    assert calm.root.run.output == rough.root.run.output == "All is done."
    assert rough.root.states() == calm.root.states()
    statuses = [entry["status"] for entry in meta(calm.root)["delegations"]]
    assert statuses == ["succeeded", "failed", "succeeded", "succeeded", "succeeded"]
    assert meta(rough.root) == meta(calm.root)
    assert refused(calm.root) == ["invalid_arguments"]
    assert sorted(rough.parents.values()) == sorted(calm.parents.values())
    assert len(rough.children()) == 4, "no restart starts a run twice"
