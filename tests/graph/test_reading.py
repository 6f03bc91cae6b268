"""What a step reads of what is around it, and nothing that is within it."""

from typing import Any

from pipelines.graph.parse import parse
from pipelines.graph.places import places
from pipelines.graph.reading import reads


def read_by(where: str, nodes: dict[str, Any]) -> dict[str, bool]:
    """Return what the step at a place reads: {key: optional}."""
    head = {"format": "baton.pipeline", "format_version": "1.0", "id": "p", "name": "P"}
    document = parse({**head, "graph": {"nodes": nodes, "edges": []}})
    place = next(one for one in places(document) if one.name == where)
    return {one.key: one.optional for one in reads(place)}


def an_agent(prompt: str, **fields: Any) -> dict[str, Any]:
    return {"kind": "agent", "agent": "writer", "prompt": prompt, **fields}


def test_each_value_is_named_once_and_by_what_holds_it() -> None:
    prompt = "${input.topic} ${steps.find.output.title} ${steps.find.output.pages[0]} ${steps.find.meta.model}"
    assert read_by("write", {"write": an_agent(prompt)}) == {
        "input.topic": False,
        "steps.find.output": False,
        "steps.find.meta": False,
    }


def test_a_value_is_optional_where_its_absence_is_provided_for_each_time() -> None:
    both = "${input.a | default('x')} ${input.b | default('x')} ${input.b}"
    assert read_by("write", {"write": an_agent(both)}) == {"input.a": True, "input.b": False}


def test_expressions_and_rules_are_read_too_and_their_own_value_is_not() -> None:
    checks = [{"rule": "expr", "expr": "value != input.topic"}]
    assert read_by("write", {"write": an_agent("Go.", checks=checks)}) == {"input.topic": False}


def test_a_container_reads_what_is_in_it_but_not_its_own_items_rounds_and_steps() -> None:
    inner = {
        "dig": an_agent("${who} ${item_index} ${steps.plan.output}"),
        "tell": an_agent("${steps.dig.output} ${input.topic}"),
    }
    each = {"kind": "each", "over": "${steps.list.output}", "as": "who", "result": "${steps.tell.output}"}
    each |= {"graph": {"nodes": inner, "edges": [{"from": "dig", "to": "tell"}]}}
    assert set(read_by("each", {"each": each})) == {"steps.list.output", "steps.plan.output", "input.topic"}
    assert set(read_by("each.dig", {"each": each})) == {"who", "item_index", "steps.plan.output"}


def test_a_step_in_a_repeat_reads_its_round_and_the_one_before() -> None:
    prompt = "${round.n} ${round.previous.write.output | default('')}"
    repeat = {"kind": "repeat", "until": "steps.write.output == input.goal"}
    repeat |= {"graph": {"nodes": {"write": an_agent(prompt)}, "edges": []}}
    assert read_by("loop.write", {"loop": repeat}) == {"round.n": False, "round.previous.write.output": True}
    assert read_by("loop", {"loop": repeat}) == {"input.goal": False}


def test_a_template_that_cannot_be_read_names_nothing() -> None:
    assert read_by("write", {"write": an_agent("${input.topic ${")}) == {}
