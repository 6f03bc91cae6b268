"""Supervisors in documents: who may work, who may lead, and what a plan must be."""

from dataclasses import replace
from typing import Any

import pytest

from pipelines.graph import plans
from pipelines.graph.freeze import lock
from pipelines.graph.lock import AgentSpec, Lock
from pipelines.graph.problems import Refusal
from pipelines.graph.validate import problems
from pipelines.graph.workers import workers_of
from tests.graph.documents import CHILD, LIBRARY, parsed
from tests.graph.test_validate import a_line

UNDER = {"name": "research", "agent": "writer@1", "workers": [{"agent": "mailer@1"}, {"tool": "notes.append@2"}]}
LEAD = {"kind": "supervisor", "task": "Do it.", "agent": "writer@1", "workers": [{"agent": "writer@1"}]}


def levels(count: int) -> dict[str, Any]:
    """Return a supervisor with others under it, `count` in all."""
    found: dict[str, Any] = {"name": "last", "agent": "writer@1", "workers": [{"agent": "writer@1"}]}
    for number in range(count - 2):
        found = {"name": f"level_{number}", "agent": "writer@1", "workers": [{"supervisor": found}]}
    return {**LEAD, "workers": [{"supervisor": found}]}


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"workers": []}, ("error", "no_workers", "a/workers")),
        ({"workers": [{"agent": "writer@1"}, {"agent": "writer"}]}, ("error", "duplicate_worker", "a/workers/1")),
        ({"workers": [{"agent": "nobody"}]}, ("error", "unknown_agent", "a/workers/0/agent")),
        ({"workers": [{"tool": "nothing"}]}, ("error", "unknown_tool", "a/workers")),
        ({"workers": [{"pipeline": "nothing"}]}, ("error", "unknown_pipeline", "a/workers/0/pipeline")),
        ({"workers": [{"pipeline": "child@2"}]}, ("error", "unknown_pipeline", "a/workers/0/pipeline")),
        (
            {"workers": [{"supervisor": {**UNDER, "workers": [{"pipeline": "nothing@1"}]}}]},
            ("error", "unknown_pipeline", "a/workers/0/supervisor/workers/0/pipeline"),
        ),
        ({"workers": [{"tool": "email.send@1"}]}, ("warning", "unguarded_irreversible", "a/workers")),
        ({"agent": "scorer@1"}, ("error", "leader_has_schema", "a/agent")),
        (
            {"on_error": {"fallback": [{"agent": "scorer@1"}]}},
            ("error", "leader_has_schema", "a/on_error/fallback/0/agent"),
        ),
        ({"task": " "}, ("error", "empty_prompt", "a/task")),
        ({"review_plan": True}, ("warning", "review_unused", "a/review_plan")),
        (
            {"workers": [{"supervisor": {**UNDER, "workers": [{"agent": "nobody"}]}}]},
            ("error", "unknown_agent", "a/workers/0/supervisor/workers/0/agent"),
        ),
        (
            {"workers": [{"supervisor": {**UNDER, "workers": []}}]},
            ("error", "no_workers", "a/workers/0/supervisor/workers"),
        ),
    ],
)
def test_a_wrong_supervisor_has_its_problem_at_its_field(more: dict[str, Any], problem: tuple[str, str, str]) -> None:
    assert problem in a_line({**LEAD, **more})


def test_supervisors_stand_at_most_five_deep() -> None:
    assert not [code for _, code, _ in a_line(levels(5)) if code == "too_many_levels"]
    assert ("error", "too_many_levels", "a/workers") in a_line(levels(6))
    assert ("error", "too_many_levels", "a/workers") in a_line({**levels(3), "max_depth": 2})


def test_a_published_pipeline_may_work_at_any_depth() -> None:
    under = {"supervisor": {**UNDER, "workers": [{"pipeline": "child@1"}]}}
    workers = [{"pipeline": "child"}, under]
    assert not [problem for problem in a_line({**LEAD, "workers": workers}) if problem[0] == "error"]
    found = lock(parsed({"lead": {**LEAD, "workers": [{"agent": "writer@1"}, under]}}), LIBRARY)
    assert found.pipelines == {"child@1": CHILD}


def test_an_agent_among_the_workers_may_start_pipelines_of_its_own() -> None:
    for tools, wrong in ((("pipeline:child",), []), (("pipeline:gone",), ["unknown_pipeline"])):
        library = replace(LIBRARY, agents={**LIBRARY.agents, "digger@1": AgentSpec("digger@1", "m", tools=tools)})
        for lead in ({"workers": [{"agent": "digger"}]}, {"workers": [{"supervisor": {**UNDER, "agent": "digger"}}]}):
            document = parsed({"lead": {**LEAD, **lead}}, budget={"max_cost_usd": "1"})
            found = [one.code for one in problems(document, library) if one.code.startswith("unknown")]
            assert [code for code in found if code != "unknown_model"] == wrong
    document = parsed({"lead": {**LEAD, "workers": [{"agent": "digger"}]}})
    agents = {**LIBRARY.agents, "digger@1": AgentSpec("digger@1", "m", tools=("pipeline:child",))}
    found = lock(document, replace(LIBRARY, agents=agents))
    assert (found.pipelines, found.tools) == ({"child@1": CHILD}, {})


def test_a_worker_is_exactly_one_thing() -> None:
    with pytest.raises(Refusal) as caught:
        parsed({"lead": {**LEAD, "workers": [{"agent": "a", "tool": "b"}]}})
    assert (caught.value.code, caught.value.where) == ("bad_value", "/graph/nodes/lead/workers/0")


def test_the_lock_has_every_worker_at_every_depth() -> None:
    found = lock(parsed({"lead": {**LEAD, "workers": [{"supervisor": UNDER}]}}), LIBRARY)
    assert set(found.agents) == {"writer@1", "mailer@1"}
    assert set(found.tools) == {"notes.append@2", "email.send@1"}, "the agent's own tool too"
    assert "demo/writer" in found.prices


# plans


def bounds(most: int = 20, known: tuple[str, ...] = ()) -> plans.Bounds:
    workers = [{"agent": "writer@1"}, {"tool": "notes.append@2"}, {"supervisor": UNDER}, {"pipeline": "child"}]
    frozen = Lock(LIBRARY.agents, LIBRARY.tools, LIBRARY.prices, pipelines=LIBRARY.pipelines)
    return plans.Bounds({worker.name: worker for worker in workers_of({"workers": workers})}, frozen, most, known)


def a_task(id: str, *uses: str, worker: str = "writer", **more: Any) -> dict[str, Any]:
    words = {} if "args" in more else {"task": f"Do {id}."}
    return {"id": id, "worker": worker, "uses": list(uses), **words, **more}


def test_a_plan_comes_back_in_an_order_in_which_it_can_run() -> None:
    steps = [a_task("d", "b", "c"), a_task("b", "a"), a_task("c", "a", worker="research"), a_task("a")]
    found = [task.id for task in plans.read({"steps": steps}, bounds())]
    assert found[0] == "a"
    assert found[-1] == "d"
    assert [task.as_json() for task in plans.read({"steps": [a_task("a")]}, bounds())] == [{**a_task("a"), "args": {}}]


@pytest.mark.parametrize("text", ["${input.secret}", "$${x}", "${", "}", "a $", "${steps.a.output}", "${1 +"])
def test_words_in_a_plan_are_never_read_as_expressions(text: str) -> None:
    steps = [
        a_task("a", task=text),
        a_task("b", "a", worker="notes.append", args={"x": text, "y": [{"result_of": "a"}]}),
    ]
    found = plans.read({"steps": steps}, bounds())
    assert (found[0].task, found[1].args["x"]) == (text, text)
    assert plans.filled(found[1].args, {"a": {"k": text}}.__getitem__) == {"x": text, "y": [{"k": text}]}


def test_a_plan_may_be_named_like_what_stands_around_it() -> None:
    steps = [a_task("start"), a_task("result", "start"), a_task("start_", "result")]
    assert [task.id for task in plans.read({"steps": steps}, bounds())] == ["start", "result", "start_"]


def test_what_is_done_may_be_used_and_its_name_not_taken() -> None:
    assert plans.read({"steps": [a_task("b", "a")]}, bounds(known=("a",)))[0].uses == ("a",)
    with pytest.raises(Refusal, match="belongs to a task that is done"):
        plans.read({"steps": [a_task("a")]}, bounds(known=("a",)))


@pytest.mark.parametrize(
    "plan", [None, [], {}, {"steps": None}, {"steps": "abc"}, {"steps": [None]}, {"steps": [{"id": 1}]}]
)
def test_what_is_no_plan_is_refused(plan: Any) -> None:
    with pytest.raises(Refusal):
        plans.read(plan, bounds())


def test_a_long_chain_is_read_in_good_order() -> None:
    steps = [a_task(f"t{number}", *([f"t{number - 1}"] if number else [])) for number in range(300)]
    assert [task.id for task in plans.read({"steps": steps}, bounds(most=300))] == [f"t{n}" for n in range(300)]


def test_an_argument_of_the_wrong_type_is_refused_before_anything_runs() -> None:
    found = bounds()
    schema = {"type": "object", "required": ["note"], "properties": {"note": {"type": "string"}}}
    tool = LIBRARY.tools["notes.append@2"]
    fields = {name: getattr(tool, name) for name in tool.__dataclass_fields__}
    frozen = Lock(LIBRARY.agents, {"notes.append@2": type(tool)(**{**fields, "args_schema": schema})}, LIBRARY.prices)
    narrow = plans.Bounds(found.workers, frozen, 20)
    for args, code in (({"note": 7}, "type_mismatch"), ({}, "missing_argument")):
        with pytest.raises(Refusal) as caught:
            plans.read({"steps": [a_task("a", worker="notes.append", args=args)]}, narrow)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ({}, "missing_argument"),
        ({"topic": 7}, "type_mismatch"),
        ({"topic": "bees", "more": 1}, "unknown_argument"),
    ],
)
def test_a_plan_gives_a_pipeline_what_its_form_asks_for(args: dict[str, Any], code: str) -> None:
    with pytest.raises(Refusal) as caught:
        plans.read({"steps": [a_task("a", worker="child", args=args)]}, bounds())
    assert caught.value.code == code
    steps = [a_task("a"), a_task("b", "a", worker="child", args={"topic": {"result_of": "a"}})]
    assert [task.id for task in plans.read({"steps": steps}, bounds())] == ["a", "b"]
