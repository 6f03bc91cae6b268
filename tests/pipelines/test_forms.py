import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.editor import forms, picking, sections
from pipelines.editor.conditions import Conditions
from pipelines.editor.forms import Input
from pipelines.editor.policy import sentence
from pipelines.editor.sections import LABELS, hint, is_relevant, plan_of
from pipelines.graph.common import COMMON
from pipelines.graph.composite import Field
from pipelines.graph.kinds import DOCUMENT, FIELDS
from pipelines.graph.model import Kind
from pipelines.graph.parse import node_record
from pipelines.readings import parsed

GALLERY = sorted(Path("pipelines/gallery/documents").glob("*.json"))


def steps_of(graph: Any) -> Iterator[dict[str, Any]]:
    for node in graph["nodes"].values():
        yield node
        if "graph" in node:
            yield from steps_of(node["graph"])


def posted_by(inputs: Sequence[Input]) -> Iterator[tuple[str, list[str]]]:
    """Yield what a browser would send for these inputs, untouched."""
    for one in inputs:
        match one.kind:
            case "group":
                yield from posted_by(one.parts)
            case "rows":
                yield one.name, [""]
                yield from posted_by(one.rows)
            case "checkbox":
                yield one.name, ["", "on"] if one.text else [""]
            case "checks":
                yield one.name, ["", *one.chosen]
            case "duration":
                yield one.name, [one.text]
                yield f"{one.name}~unit", [one.unit]
            case "expression" if one.conditions:
                yield from posted_by_rows(one.name, one.text, one.conditions)
            case _:
                yield one.name, [one.text]


def posted_by_rows(name: str, text: str, shown: Conditions) -> Iterator[tuple[str, list[str]]]:
    yield name, [text]
    yield f"{name}~was", [text]
    yield f"{name}~every", ["all" if shown.every else "any"]
    for n, row in enumerate(shown.shown):
        yield from ((f"{name}~{n}.{key}", [getattr(row, key)]) for key in ("path", "op", "value"))


def form_of(step: dict[str, Any]) -> list[Input]:
    kind = Kind(step["kind"])
    names = [name for plan in plan_of(kind) for name in plan.names]
    return forms.shown(node_record(kind), names, step, LABELS)


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_a_form_that_is_sent_untouched_changes_nothing(path: Path) -> None:
    for step in steps_of(json.loads(path.read_text())["graph"]):
        posted = dict(posted_by(form_of(step)))
        kept = forms.read(node_record(Kind(step["kind"])), step, posted)
        assert without_defaults(kept, step) == step


def without_defaults(kept: dict[str, Any], step: dict[str, Any]) -> dict[str, Any]:
    """A flag that stood there as its default may go: it means the same."""
    flags = {name: value for name, value in step.items() if isinstance(value, bool) and name not in kept}
    return {**kept, **flags}


@pytest.mark.parametrize("kind", list(Kind))
def test_every_field_of_every_kind_has_a_place_in_its_form(kind: Kind) -> None:
    placed = [name for plan in plan_of(kind) for name in plan.names]
    assert len(placed) == len(set(placed))
    apart = {"title", "output_schema", "form"}
    common = {"help", "disabled"} if kind in (Kind.INPUT, Kind.OUTPUT) else set(COMMON)
    missing = (set(FIELDS[kind]) | common) - set(placed) - apart
    assert not missing - ({"wait_for", "on_failed_input"} if kind is Kind.INPUT else set())


def read(kind: str, step: dict[str, Any], **posted: str | list[str]) -> dict[str, Any]:
    values = {name: value if isinstance(value, list) else [value] for name, value in posted.items()}
    return forms.read(node_record(Kind(kind)), {"kind": kind, **step}, values)


def test_only_what_a_form_brought_is_changed_and_an_emptied_field_goes() -> None:
    step = {"agent": "writer@1", "prompt": "Write.", "max_turns": 3, "timeout": "PT1M"}
    changed = read("agent", step, **{"f.prompt": "Better.", "f.max_turns": ""})
    assert changed == {"kind": "agent", "agent": "writer@1", "prompt": "Better.", "timeout": "PT1M"}


def test_fields_of_fields_join_what_the_step_had() -> None:
    step = {"on_error": {"then": "skip", "retry": {"max_attempts": 5}}}
    changed = read("agent", step, **{"f.on_error.retry.first_delay": "2", "f.on_error.retry.first_delay~unit": "M"})
    assert changed["on_error"] == {"then": "skip", "retry": {"max_attempts": 5, "first_delay": "PT2M"}}
    emptied = read("agent", step, **{"f.on_error.then": "", "f.on_error.retry.max_attempts": ""})
    assert "on_error" not in emptied


def test_rows_are_read_in_the_order_of_the_form_and_empty_ones_are_left_out() -> None:
    step = {"routes": [{"port": "a", "when": "true"}, {"port": "b", "description": "kept"}], "otherwise": "x"}
    changed = read(
        "decide",
        step,
        **{
            "f.routes": "",
            "f.routes.1.port": "b",
            "f.routes.0.port": "a",
            "f.routes.0.when": "",
            "f.routes.7.port": "",
        },
    )
    assert changed["routes"] == [{"port": "b", "description": "kept"}, {"port": "a"}]
    assert "routes" not in read("decide", step, **{"f.routes": ""})


def test_a_condition_is_what_its_rows_say_unless_the_expression_was_typed_over() -> None:
    rows = {"f.until~was": "a.b > 1", "f.until~0.path": "a.b", "f.until~0.op": "<", "f.until~0.value": "9"}
    assert read("repeat", {"until": "a.b > 1"}, **{"f.until": "a.b > 1", **rows})["until"] == "a.b < 9"
    assert read("repeat", {"until": "a.b > 1"}, **{"f.until": "a.b in [1]", **rows})["until"] == "a.b in [1]"


def test_a_table_is_rows_of_names_and_values() -> None:
    posted = {"f.set": "", "f.set.0.key": "total", "f.set.0.value": "1 + 1", "f.set.1.key": "", "f.set.1.value": "x"}
    assert read("transform", {"set": {"old": "1"}}, **posted)["set"] == {"total": "1 + 1"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain words", "plain words"),
        ("true story", "true story"),
        ("${steps.a.output}", "${steps.a.output}"),
        ('{"a": "${input.x}"}', {"a": "${input.x}"}),
        ("[1, 2]", [1, 2]),
        ("12", 12),
        ('"12"', "12"),
        ("{broken", "{broken"),
        ("[" * 9000, "[" * 9000),
    ],
)
def test_a_value_is_json_where_it_is_meant_so_and_text_elsewhere(text: str, value: Any) -> None:
    assert read("output", {}, **{"f.value": text})["value"] == value


@pytest.mark.parametrize(
    ("number", "unit", "duration"),
    [
        ("90", "S", "PT90S"),
        ("2", "M", "PT2M"),
        ("3", "D", "P3D"),
        ("1.5", "M", "PT90S"),
        ("x", "M", "x"),
        ("2", "Y", "2"),
    ],
)
def test_a_duration_is_a_number_and_a_unit(number: str, unit: str, duration: str) -> None:
    assert read("agent", {}, **{"f.timeout": number, "f.timeout~unit": unit})["timeout"] == duration


def test_what_cannot_be_read_is_kept_for_the_parser_to_refuse() -> None:
    assert read("agent", {}, **{"f.max_turns": "many"})["max_turns"] == "many"
    assert read("agent", {}, **{"f.max_turns": "9" * 5_000})["max_turns"] == "9" * 5_000


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("On ${input.topic}.", [("Form · topic", "${input.topic}", "")]),
        ("${steps.write.output.title}", [("Write it · title", "${steps.write.output.title}", "")]),
        ("${steps.gone.output}", [("gone", "${steps.gone.output}", "No such step.")]),
        ("${input.tone | default('kind')}", [("Form · tone or kind", "${input.tone | default('kind')}", "")]),
        ("${input.tone | default('')}", [("Form · tone, if there", "${input.tone | default('')}", "")]),
        ("${size(steps.write.output)}", [("size(Write it)", "${size(steps.write.output)}", "")]),
        ("$${not} ${item} ${item}", [("item", "${item}", "")]),
        (
            "${input.a} ${1 +}",
            [("Form · a", "${input.a}", ""), ("1 +", "${1 +}", "This cannot be read.")],
        ),
        ("half ${a", []),
    ],
)
def test_what_a_text_reads_is_said_in_words(text: str, shown: list[tuple[str, str, str]]) -> None:
    found = picking.chips(text, {"write": "Write it"}, {"steps.gone.output": "No such step."})
    assert [(chip.word, chip.template, chip.wrong) for chip in found] == shown


HEAD = {"format": "baton.pipeline", "format_version": "1.0", "id": "p", "name": "P"}
ASKS = "When the output does not fit, ask again with the findings [twice]; "
TRIES = "when it is busy or gives no answer, try again [twice] within [15 min]; "


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({}, f"{ASKS}{TRIES}at last [the run stops]."),
        (
            {"repair": {"max_attempts": 0}, "retry": {"max_attempts": 1}, "then": "skip"},
            "When the output does not fit, [it is not asked again]; when it is busy or gives no answer, "
            "[it is not tried again]; at last [the step is left out].",
        ),
        (
            {"fallback": [{"model": "a/b"}, {"agent": "spare"}]},
            f"{ASKS}{TRIES}then use [a/b], then [spare] and mark the run as degraded; at last [the run stops].",
        ),
    ],
)
def test_a_failure_policy_is_one_sentence(policy: dict[str, Any], said: str) -> None:
    nodes = {
        "start": {"kind": "input"},
        "write": {"kind": "agent", "agent": "writer", "prompt": "Go.", "on_error": policy},
    }
    edges = [{"from": "start", "to": "write"}]
    document = parsed({"graph": {"nodes": nodes, "edges": edges}, **HEAD})
    parts = sentence(document.graph.nodes["write"], safe=False)
    assert "".join(f"[{part.words}]" if part.where else part.words for part in parts) == said


def workers(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "supervisor", "agent": "boss@1", "task": "Lead.", "workers": list(rows)}


def test_of_a_worker_only_what_it_is_stands_in_sight() -> None:
    step = workers({"tool": "email.send@1"}, {"agent": "writer@1"})
    [shown] = forms.shown(node_record(Kind.SUPERVISOR), ["workers"], step, LABELS)
    assert [[part.where for part in row.at_hand] for row in shown.rows] == [["/workers/0/tool"], ["/workers/1/agent"]]
    assert {part.where for part in shown.rows[0].instead} == {
        "/workers/0/agent",
        "/workers/0/pipeline",
        "/workers/0/supervisor",
    }
    assert shown.blank
    assert [part.name for part in shown.blank.at_hand] == ["f.workers.__n0__.agent"]


def test_a_supervisor_under_a_supervisor_has_fields_of_its_own_and_room_for_one_more() -> None:
    inner = {"name": "desk", "agent": "chief@1", "workers": [{"agent": "critic@1"}]}
    step = workers({"supervisor": inner})
    [shown] = forms.shown(node_record(Kind.SUPERVISOR), ["workers"], step, LABELS)
    [of_desk] = shown.rows[0].at_hand
    fields = {part.where.rpartition("/")[2]: part for part in of_desk.parts}
    assert (fields["name"].text, fields["agent"].text, fields["mode"].kind) == ("desk", "chief@1", "select")
    assert [row.at_hand[0].text for row in fields["workers"].rows] == ["critic@1"]
    blank = fields["workers"].blank
    assert blank
    assert blank.name == "f.workers.0.supervisor.workers.__n0__"
    one_more = next(part for part in blank.parts if part.where.endswith("/supervisor"))
    [its_workers] = [part for part in one_more.parts if part.where.endswith("/workers")]
    assert its_workers.blank
    assert its_workers.blank.name.endswith("__n0__.supervisor.workers.__n1__")
    assert {part.where.rpartition("/")[2] for part in its_workers.blank.parts} == {"agent", "tool", "pipeline"}


def test_the_form_of_a_supervisor_under_a_supervisor_writes_only_what_it_changed() -> None:
    inner = {"name": "desk", "agent": "chief@1", "mode": "plan", "workers": [{"agent": "critic@1"}]}
    step, at = workers({"supervisor": inner}, {"agent": "writer@1"}), "f.workers.0.supervisor"
    sent = {
        "f.workers": [""],
        f"{at}.name": ["office"],
        f"{at}.agent": ["chief@1"],
        f"{at}.workers": [""],
        f"{at}.review_plan": ["", "on"],
        f"{at}.workers.1.tool": ["email.send@1"],
        f"{at}.workers.0.agent": ["critic@1"],
        "f.workers.1.agent": ["writer@1"],
    }
    changed = forms.read(node_record(Kind.SUPERVISOR), step, sent)["workers"]
    under = [{"tool": "email.send@1"}, {"agent": "critic@1"}]
    assert changed == [
        {"supervisor": {**inner, "name": "office", "review_plan": True, "workers": under}},
        {"agent": "writer@1"},
    ]


@pytest.mark.parametrize(
    ("posted", "kept"),
    [
        ({"agent": "writer@1", "tool": "email.send@1"}, {"tool": "email.send@1"}),
        ({"agent": "critic@1", "tool": ""}, {"agent": "critic@1"}),
        ({"agent": "", "tool": "email.send@1"}, {"tool": "email.send@1"}),
    ],
)
def test_what_is_chosen_for_a_worker_takes_the_place_of_what_it_was(posted: dict[str, str], kept: Any) -> None:
    step = workers({"agent": "writer@1"})
    sent = {"f.workers": [""], **{f"f.workers.0.{name}": [value] for name, value in posted.items()}}
    assert forms.read(node_record(Kind.SUPERVISOR), step, sent)["workers"] == [kept]


def test_how_many_must_agree_is_not_asked_of_an_answer() -> None:
    asked = {
        mode: is_relevant(Kind.HUMAN, "min_approvals", {"mode": mode}, False) for mode in ("approve", "edit", "answer")
    }
    assert asked == {"approve": True, "edit": True, "answer": False}
    assert is_relevant(Kind.HUMAN, "min_approvals", {"mode": "answer"}, True), "what is set can be seen"


@pytest.mark.parametrize(
    ("means", "label", "said"),
    [
        ("id or id@version", "Who does it", ""),
        ("model calls", "Model calls", ""),
        ("input and output together", "Tokens", "input and output together"),
        ("ai: which model decides", "Model", "which model decides"),
        ("best_of, synthesize: what matters", "Prompt", "what matters"),
    ],
)
def test_below_a_field_stands_only_what_its_label_leaves_unsaid(means: str, label: str, said: str) -> None:
    assert hint(means, label) == said


def means(part: Any) -> Iterator[str]:
    """Yield what the format's documentation says of each field in a table, a record or a shape."""
    if isinstance(part, Field):
        yield part.means
    match part:
        case Mapping():
            inner: Iterable[Any] = part.values()
        case tuple():
            inner = part
        case _ if is_dataclass(part):
            inner = [getattr(part, one.name) for one in fields(part)]
        case _:
            inner = ()
    for one in inner:
        yield from means(one)


def test_what_a_form_leaves_out_or_says_otherwise_is_said_of_a_field() -> None:
    """A text that no field has any more would leave its successor below a label that says the same."""
    said = {sections.FOR_A_CHOICE.sub("", one) for one in means((DOCUMENT, COMMON, *FIELDS.values()))}
    assert {*sections.SAID, *sections.HINTS} - said == set()
