"""Trying one step alone pays for that step and for nothing else, changes nothing, and has the values of a run."""

from typing import Any

import pytest

from runs import step_results, step_tests
from runs.models import Call, LedgerEntry, Run, Step
from runs.step_tests import Bench
from tests.faults.stage import Stage, books_balance, has_no_gap

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


def tried(stage: Stage, slug: str, where: str, data: str = "", **typed: str) -> Run:
    """Try a step with what its form offers, but for what is typed, and return the run when it has ended."""
    bench = step_tests.bench(stage.composer, slug, where, data)
    return stage.wait(step_tests.start(stage.composer, bench, form_of(bench) | typed))


def form_of(bench: Bench) -> dict[str, str]:
    return {field.input_name: field.text for field in bench.fields}


def test_a_step_tried_with_the_last_run_s_data_asks_no_other_step_again(stage: Stage) -> None:
    stage.worker("w1")
    pipeline = stage.chain(3, 0)
    first = stage.wait(stage.start(pipeline))
    before = stage.asked()

    run = tried(stage, pipeline.slug, "a3")

    after = stage.asked()
    assert {name: after[name] - before[name] for name in after} == {"a1": 0, "a2": 0, "a3": 1}
    assert list(Step.objects.filter(run=run).values_list("path", flat=True)) == ["a3"]
    inputs = [Step.objects.get(run=one, path="a3").input for one in (first, run)]
    assert inputs[0]["prompt"] == inputs[1]["prompt"]
    result = step_results.result(stage.composer, pipeline.slug, run.pk)
    settled = LedgerEntry.objects.filter(run=run, kind="settled").values_list("amount_micros", flat=True)
    assert result.cost_micros == sum(settled) == run.cost_micros > 0
    assert (result.ended, result.output, result.prompt) == (True, first.output, inputs[1]["prompt"])
    bench = step_tests.bench(stage.composer, pipeline.slug, "a3")
    assert bench.estimate.call_micros is not None
    assert bench.estimate.call_micros >= run.cost_micros
    assert books_balance(run)
    assert has_no_gap(run)
    assert run.pipeline_id != pipeline.pk


def test_a_step_is_tried_with_values_written_by_hand_before_anything_has_run(stage: Stage) -> None:
    stage.worker("w1")
    pipeline = stage.chain(2, 0)

    run = tried(stage, pipeline.slug, "a2", **{"field-input.run": "by-hand", "field-steps.a1.output": "${input.run}"})

    assert run.state == "succeeded"
    assert stage.asked("by-hand") == {"a2": 1}
    assert "${input.run}" in Step.objects.get(run=run).input["prompt"], "what is written by hand is no template"


def a_mailing(stage: Stage) -> Any:
    mail = {"to": "kim@example.com", "subject": "${input.run}", "body": "${steps.write.output}"}
    nodes = {
        "start": {"kind": "input"},
        "write": {"kind": "agent", "agent": stage.agent("writes"), "prompt": "[run=${input.run} step=write]"},
        "send": {"kind": "tool", "tool": "email.send@1", "args": mail},
        "log": {"kind": "tool", "tool": "http.request@1", "args": {"method": "POST", "url": stage.sink_url + "/log"}},
        "end": {"kind": "output", "value": "${steps.send.output}"},
    }
    return stage.pipeline("mailing", nodes, ["start>write", "write>send", "send>log", "log>end"])


def test_trying_an_action_changes_nothing_and_says_what_it_would_have_done(stage: Stage) -> None:
    stage.worker("w1")
    a_mailing(stage)
    typed = {"field-input.run": "r1", "field-steps.write.output": "Hello Kim."}

    mail, log = (tried(stage, "mailing", name, **typed) for name in ("send", "log"))

    assert (mail.state, log.state) == ("succeeded", "succeeded")
    assert (stage.mails(), stage.effects()) == ([], [])
    result = step_results.result(stage.composer, "mailing", mail.pk)
    assert "kim@example.com" in result.would_have
    assert result.cost_micros == 0


def an_each(stage: Stage) -> Any:
    prompt = "[run=${input.run} step=look] ${prospect.name} ${steps.first.output} ${item_index}"
    look = {"kind": "agent", "agent": stage.agent("looks"), "prompt": prompt}
    first = {"kind": "agent", "agent": stage.agent("first"), "prompt": "[run=${input.run} step=first]"}
    items = [{"name": "Halden"}, {"name": "Ibsen"}]
    each = {"kind": "each", "over": items, "as": "prospect", "graph": {"nodes": {"look": look}, "edges": []}}
    nodes = {"start": {"kind": "input"}, "first": first, "each": each, "end": {"kind": "output", "value": "done"}}
    return stage.pipeline("items", nodes, ["start>first", "first>each", "each>end"])


def test_a_step_within_a_container_is_tried_with_one_item_of_a_run(stage: Stage) -> None:
    stage.worker("w1")
    an_each(stage)
    first = stage.wait(stage.start(step_tests.bench(stage.composer, "items", "each").editor.pipeline))

    bench = step_tests.bench(stage.composer, "items", "each.look", str(first.pk), "each[1].look")
    run = stage.wait(step_tests.start(stage.composer, bench, form_of(bench)))

    assert bench.path == "each[1].look"
    assert (first.state, run.state) == ("succeeded", "succeeded"), stage.explain(first) + stage.explain(run)
    assert Call.objects.filter(run=run).count() == 1
    prompts = [
        Step.objects.get(run=one, path__endswith="look", path=path).input["prompt"]
        for one, path in ((first, "each[1].look"), (run, "look"))
    ]
    assert prompts[0] == prompts[1]
    assert "Ibsen" in prompts[0]


def test_a_container_is_tried_as_a_whole(stage: Stage) -> None:
    stage.worker("w1")
    an_each(stage)

    run = tried(stage, "items", "each", **{"field-input.run": "whole", "field-steps.first.output": "x"})

    assert run.state == "succeeded"
    assert Call.objects.filter(run=run).count() == 2
    assert Call.objects.exclude(run=run).count() == 0
