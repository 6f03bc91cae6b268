import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.graph.hygiene import MAX_IMPORT_BYTES
from pipelines.graph.model import Budget, Document, Fallback, Kind, Limits, Node
from pipelines.graph.parse import node_record, parse, parse_text
from pipelines.graph.problems import Refusal
from tests.graph.documents import RESULT, START, a_document, a_graph, a_transform, an_agent, parsed


def refusal_of(data: object) -> Refusal:
    with pytest.raises(Refusal) as caught:
        parse(data)
    return caught.value


def refusal_of_text(raw: bytes | str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        parse_text(raw)
    return caught.value


def the_node(kind: str, **fields: object) -> Node:
    return parsed({"step": {"kind": kind, **fields}}).graph.nodes["step"]


INNER = {"nodes": {"inner": {"kind": "transform", "set": {}}}, "edges": []}
MINIMAL: dict[str, dict[str, object]] = {
    "input": {},
    "output": {},
    "agent": {"agent": "writer", "prompt": "Write."},
    "tool": {"tool": "email.send@1"},
    "decide": {"routes": [{"port": "yes", "when": "true"}], "otherwise": "no"},
    "each": {"over": "${input.list}", "graph": INNER},
    "combine": {},
    "repeat": {"graph": INNER},
    "team": {"task": "Discuss.", "members": ["pro", "con"]},
    "supervisor": {"task": "Lead.", "agent": "lead", "workers": [{"agent": "writer"}, {"tool": "email.send"}]},
    "pipeline": {"pipeline": "child"},
    "human": {},
    "wait": {"for": "PT1H"},
    "transform": {"set": {"a": "1 + 1"}},
    "check": {"value": "${input.text}", "rules": [{"rule": "length", "max": 10}]},
    "board": {"op": "read", "key": "topic"},
}


def test_every_kind_has_a_minimal_form() -> None:
    assert set(MINIMAL) == set(Kind)
    for kind, fields in MINIMAL.items():
        assert the_node(kind, **fields).kind == kind


@pytest.mark.parametrize(
    ("kind", "field", "default"),
    [
        ("agent", "max_turns", 10),
        ("agent", "conversation", "none"),
        ("agent", "tools", None),
        ("decide", "mode", "rules"),
        ("decide", "min_confidence", 0.6),
        ("decide", "multi", False),
        ("output", "ends_run", False),
        ("each", "require", "all"),
        ("each", "stop_early", False),
        ("each", "spread", False),
        ("each", "wait_timeout", None),
        ("each", "as", "item"),
        ("each", "max_parallel", 4),
        ("each", "max_items", 100),
        ("each", "on_item_error", "stop"),
        ("each", "result", "${steps.inner.output}"),
        ("combine", "min_ok", 1),
        ("combine", "merge", "object"),
        ("combine", "missing", "omit"),
        ("combine", "cancel_rest", True),
        ("combine", "on_timeout", "use_arrived"),
        ("combine", "wait_timeout", None),
        ("repeat", "max_rounds", 3),
        ("repeat", "on_exhausted", "last"),
        ("repeat", "no_progress", None),
        ("repeat", "until", None),
        ("team", "mode", "round_robin"),
        ("team", "no_repeat", True),
        ("team", "history", "full"),
        ("team", "last_n", 10),
        ("team", "rounds", 3),
        ("team", "max_stalls", 3),
        ("team", "max_resets", 2),
        ("team", "stop", {"max_turns": 12}),
        ("supervisor", "max_delegations", 20),
        ("supervisor", "mode", "step"),
        ("supervisor", "max_parallel", 4),
        ("supervisor", "max_depth", 5),
        ("supervisor", "review_plan", False),
        ("pipeline", "detached", False),
        ("pipeline", "share_board", False),
        ("human", "mode", "approve"),
        ("human", "not_starter", True),
        ("human", "expires", 259_200.0),
        ("human", "min_approvals", 1),
        ("human", "on_expire", "reject"),
        ("human", "roles", ("reviewer",)),
        ("check", "mode", "block"),
        ("wait", "for", 3_600.0),
    ],
)
def test_an_absent_field_has_its_default(kind: str, field: str, default: object) -> None:
    assert the_node(kind, **MINIMAL[kind]).config[field] == default


def test_progress_that_is_asked_after_is_missed_after_two_rounds() -> None:
    repeat = the_node("repeat", **MINIMAL["repeat"], no_progress={"metric": "round.n"})
    assert repeat.config["no_progress"] == {"metric": "round.n", "rounds": 2}


def test_common_fields_have_their_defaults_and_containers_no_total_timeout() -> None:
    agent = the_node("agent", **MINIMAL["agent"])
    assert (agent.timeout, agent.total_timeout, agent.wait_for, agent.on_failed_input) == (
        120,
        900,
        "settled",
        "propagate",
    )
    assert (agent.on_error.retry.max_attempts, agent.on_error.repair.max_attempts, agent.on_error.then) == (
        3,
        2,
        "auto",
    )
    assert the_node("each", **MINIMAL["each"]).total_timeout is None
    assert the_node("combine").on_failed_input == "tolerate"


def test_a_default_cannot_be_changed_through_one_document() -> None:
    the_node("tool", tool="a").config["args"]["to"] = "everybody"
    assert the_node("tool", tool="a").config["args"] == {}


def test_the_documents_defaults_lie_under_each_step() -> None:
    document = parsed(
        {
            "a": an_agent(),
            "b": an_agent(on_error={"retry": {"factor": 3}, "then": "skip"}, timeout="PT5S"),
            "c": an_agent(on_error={"fallback": [{"model": "demo/echo"}]}),
        },
        defaults={"on_error": {"retry": {"max_attempts": 5}, "fallback": [{"agent": "x"}]}, "timeout": "PT1M"},
    )
    a, b, c = (document.graph.nodes[name] for name in "abc")
    assert (a.timeout, b.timeout) == (60, 5)
    assert (b.on_error.retry.max_attempts, b.on_error.retry.factor, b.on_error.then) == (5, 3, "skip")
    assert (b.on_error.fallback, c.on_error.fallback) == ((Fallback("agent", "x"),), (Fallback("model", "demo/echo"),))


def test_document_fields_are_read() -> None:
    document = parsed(
        {"start": START, "each": {"kind": "each", "over": [1], "graph": INNER}},
        budget={"max_cost_usd": "5.00", "max_seconds": 60, "alert_at": [0.5]},
        limits={"max_parallel": 8},
        approvals={"irreversible": {"roles": ["manager"], "min_approvals": 2, "expires": "P1D"}},
        pause_before=["start", "each.inner"],
        ui={"positions": {}},
        x={"n8n": 1},
    )
    assert document.budget == Budget(max_cost_micros=5_000_000, max_seconds=60.0, alert_at=(0.5,))
    assert document.limits == Limits(5, 8)
    assert (document.irreversible.roles, document.irreversible.min_approvals) == (("manager",), 2)
    assert document.irreversible.expires == 86_400
    assert document.pause_before == ("start", "each.inner")


REFUSED = [
    ({"promt": 1}, "unknown_key", "/graph/nodes/a/promt"),
    ({"on_error": {"retry": {"tries": 1}}}, "unknown_key", "/graph/nodes/a/on_error/retry/tries"),
    ({"on_error": {"fallback": [{"model": "a", "agent": "b"}]}}, "bad_value", "/graph/nodes/a/on_error/fallback/0"),
    ({"budget": {"max_cost_usd": 5}}, "wrong_type", "/graph/nodes/a/budget/max_cost_usd"),
    ({"budget": {"max_cost_usd": "1e9"}}, "bad_value", "/graph/nodes/a/budget/max_cost_usd"),
    ({"timeout": "two minutes"}, "bad_value", "/graph/nodes/a/timeout"),
    ({"timeout": 120}, "wrong_type", "/graph/nodes/a/timeout"),
    ({"max_turns": True}, "wrong_type", "/graph/nodes/a/max_turns"),
    ({"max_turns": 0}, "out_of_range", "/graph/nodes/a/max_turns"),
    ({"wait_for": "some"}, "bad_value", "/graph/nodes/a/wait_for"),
    ({"title": None}, "wrong_type", "/graph/nodes/a/title"),
    ({"title": "x" * 201}, "bad_value", "/graph/nodes/a/title"),
    ({"kind": "code"}, "bad_value", "/graph/nodes/a/kind"),
    ({"kind": ["agent"]}, "bad_value", "/graph/nodes/a/kind"),
    ({"checks": [{"rule": "expr", "exp": "true"}]}, "unknown_key", "/graph/nodes/a/checks/0/exp"),
    ({"graph": INNER}, "unknown_key", "/graph/nodes/a/graph"),
]


@pytest.mark.parametrize(("fields", "code", "where"), REFUSED)
def test_a_wrong_field_is_refused_at_its_place(fields: dict[str, object], code: str, where: str) -> None:
    refusal = refusal_of(a_document({"a": an_agent(**fields)}))
    assert (refusal.code, refusal.where) == (code, where)


def test_a_near_miss_is_suggested() -> None:
    assert "'prompt'" in refusal_of(a_document({"a": an_agent(promt="x")})).message


@pytest.mark.parametrize(
    ("changed", "code", "where"),
    [
        ({"zzz": 1}, "unknown_key", "/zzz"),
        ({"format": "n8n"}, "unknown_format", "/format"),
        ({"format_version": "2.0"}, "unknown_format_version", "/format_version"),
        ({"format_version": 1}, "wrong_type", "/format_version"),
        ({"id": "Not a slug"}, "bad_value", "/id"),
        ({"name": ""}, "bad_value", "/name"),
        ({"graph": []}, "wrong_type", "/graph"),
        ({"graph": {"nodes": {}, "edges": {}}}, "wrong_type", "/graph/edges"),
        ({"graph": {"nodes": {}, "edges": [], "groups": []}}, "unknown_key", "/graph/groups"),
        ({"graph": {"nodes": {"No": START}, "edges": []}}, "bad_value", "/graph/nodes/No"),
        ({"graph": {"nodes": {"a": 1}, "edges": []}}, "wrong_type", "/graph/nodes/a"),
        ({"graph": {"nodes": {"a": {}}, "edges": []}}, "missing_key", "/graph/nodes/a"),
        ({"pause_before": ["nowhere"]}, "unknown_node", "/pause_before/0"),
        ({"approvals": {"irreversible": {"rolls": []}}}, "unknown_key", "/approvals/irreversible/rolls"),
        ({"defaults": {"retry": {}}}, "unknown_key", "/defaults/retry"),
    ],
)
def test_a_wrong_document_is_refused_at_its_place(changed: dict[str, object], code: str, where: str) -> None:
    refusal = refusal_of(a_document({"a": START}) | changed)
    assert (refusal.code, refusal.where) == (code, where)


@pytest.mark.parametrize("key", ["format", "format_version", "id", "name", "graph"])
def test_a_missing_header_field_is_refused(key: str) -> None:
    document = a_document({})
    del document[key]
    assert refusal_of(document).code == "missing_key"


@pytest.mark.parametrize(
    ("edges", "code", "where"),
    [
        (["a > nowhere"], "unknown_node", "/graph/edges/0/to"),
        (["nowhere > a"], "unknown_node", "/graph/edges/0/from"),
        (["a.maybe > b"], "unknown_port", "/graph/edges/0/port"),
        (["route > b"], "unknown_port", "/graph/edges/0"),
        (["a.error > b"], "unknown_port", "/graph/edges/0/port"),
        (["end > b"], "unknown_port", "/graph/edges/0"),
        (["a > b", "a > b"], "duplicate_edge", "/graph/edges/1"),
        (["a > a"], "cycle", "/graph/edges/0"),
        (["a > b", "b > a"], "cycle", "/graph/edges/1"),
    ],
)
def test_an_edge_that_cannot_be_drawn_is_refused(edges: list[str], code: str, where: str) -> None:
    route = {"kind": "decide", "routes": [{"port": "yes", "when": "true"}], "otherwise": "no"}
    refusal = refusal_of(a_document({"a": a_transform(), "b": a_transform(), "route": route, "end": RESULT}, *edges))
    assert (refusal.code, refusal.where) == (code, where)


def test_the_message_of_a_cycle_names_its_steps_only() -> None:
    nodes = {name: a_transform() for name in ("before", "a", "b", "c", "after")}
    message = refusal_of(a_document(nodes, "before > a", "a > b", "b > c", "c > a", "c > after")).message
    assert "a → b → c → a" in message
    assert "before" not in message
    assert "after" not in message


def test_an_error_port_exists_when_failures_are_routed_also_by_default() -> None:
    parsed({"a": an_agent(on_error={"then": "route"}), "b": START}, "a.error > b")
    parsed({"a": an_agent(), "b": START}, "a.error > b", defaults={"on_error": {"then": "route"}})


def test_a_wait_has_a_timeout_of_its_own() -> None:
    node = the_node("wait", event={"name": "paid", "topic": "orders"}, timeout="P1D")
    assert (node.config["timeout"], node.timeout, node.ports) == (86_400, 120, ("event_paid", "timeout"))


def test_a_wait_may_wait_for_one_of_several_events() -> None:
    events = [
        {"name": "paid", "topic": "a", "keep": "P1D"},
        {"name": "lost", "topic": "b"},
        {"name": "paid", "topic": "c"},
    ]
    node = the_node("wait", **{"event": events, "for": "PT0S"})
    assert [event["keep"] for event in node.events] == [86_400, 0, 0]
    assert node.ports == ("event_paid", "event_lost", "time")
    too_long = {"name": "paid", "topic": "a", "keep": "P8D"}
    with pytest.raises(Refusal) as caught:
        the_node("wait", **{"for": "P3651D"})
    assert caught.value.code == "out_of_range"
    for event, where in ((too_long, "/event/keep"), ([], "/event"), ([too_long], "/event/0/keep")):
        refusal = refusal_of(a_document({"step": {"kind": "wait", "event": event}}))
        assert (refusal.code, refusal.where) == ("out_of_range", f"/graph/nodes/step{where}")


def test_refusals_inside_containers_carry_the_whole_path() -> None:
    each = {"kind": "each", "over": [1], "graph": a_graph({"x": {"kind": "agent", "agent": "a"}})}
    assert refusal_of(a_document({"loop": each})).where == "/graph/nodes/loop/graph/nodes/x"


def test_containers_nest_five_deep() -> None:
    inner: dict[str, object] = {"kind": "transform", "set": {}}
    for _ in range(5):
        inner = {"kind": "each", "over": [1], "graph": {"nodes": {"n": inner}, "edges": []}}
    parsed({"top": inner})
    refusal = refusal_of(
        a_document({"top": {"kind": "each", "over": [1], "graph": {"nodes": {"n": inner}, "edges": []}}})
    )
    assert refusal.code == "too_deep"


@pytest.mark.parametrize(
    ("raw", "code", "where"),
    [
        ("", "not_json", ""),
        (b"\xff\xfe", "not_json", ""),
        ("[]", "wrong_type", ""),
        ('{"id": {"a": 1, "a": 2}}', "duplicate_key", "/id/a"),
        ('{"x": [1, 1e400]}', "bad_number", "/x/1"),
        ('{"x": NaN}', "bad_number", "/x"),
        ('{"x": -Infinity}', "bad_number", "/x"),
        ('{"x": "a\\u0000b"}', "bad_text", "/x"),
        ('{"x": ["\\ud800"]}', "bad_text", "/x/0"),
        ('{"a\\udc00": 1}', "bad_text", ""),
        ('{"x": %s}' % ("9" * 5_000), "bad_number", "/x"),
        ('{"x": 9223372036854775808}', "bad_number", "/x"),
        ('{"a/b": {"c~d": NaN}}', "bad_number", "/a~1b/c~0d"),
    ],
)
def test_text_that_is_not_clean_json_is_refused_at_its_place(raw: bytes | str, code: str, where: str) -> None:
    refusal = refusal_of_text(raw)
    assert (refusal.code, refusal.where) == (code, where)


MANY_NODES = {f"n{index}": a_transform(a="1") for index in range(10_000)}
LARGE = {
    "ten thousand nodes": (json.dumps(a_document(MANY_NODES)), "too_many_nodes"),
    "three megabytes": (b" " * 3_000_000, "too_large"),
    "brackets ten thousand deep": ("[" * 10_000 + "]" * 10_000, "too_deep"),
    "brackets a million deep": ("[" * 999_000 + "]" * 999_000, "too_deep"),
    "objects a hundred deep": ('{"a":' * 100 + "1" + "}" * 100, "too_deep"),
    "a million numbers": ("[" + "0," * 900_000 + "0]", "too_large"),
    "a very long number": ('{"a":' + "9" * 1_900_000 + "}", "bad_number"),
    "a hundred thousand unknown keys": ("{" + ",".join(f'"k{i}":0' for i in range(100_000)) + "}", "missing_key"),
}


@pytest.mark.parametrize("name", LARGE)
def test_bad_input_is_refused_within_two_seconds(name: str) -> None:
    raw, code = LARGE[name]
    began = time.process_time()
    refusal = refusal_of_text(raw)
    assert time.process_time() - began < 2
    assert refusal.code == code


def test_an_import_may_be_larger() -> None:
    raw = json.dumps(a_document({}, x={"padding": "x" * 3_000_000}))
    assert refusal_of_text(raw).code == "too_large"
    assert parse_text(raw, MAX_IMPORT_BYTES).id == "brief"


def test_two_thousand_steps_are_read_and_a_cycle_through_all_is_found_within_two_seconds() -> None:
    nodes = {f"n{index}": a_transform() for index in range(2_000)}
    chain = [f"n{index} > n{index + 1}" for index in range(1_999)]
    began = time.process_time()
    assert len(parsed(nodes, *chain).graph.order) == 2_000
    assert refusal_of(a_document(nodes, *chain, "n1999 > n0")).code == "cycle"
    assert time.process_time() - began < 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def read(data: object) -> Document | Refusal:
    """Return the document or the refusal; any other exception fails the test."""
    try:
        return parse(data)
    except Refusal as refusal:
        return refusal


def assert_read_or_refused(data: object) -> None:
    answer = read(data)
    if isinstance(answer, Refusal):
        assert answer.code
        assert answer.message
        assert answer.where == "" or answer.where.startswith("/")


@given(JSON)
def test_any_json_is_read_or_refused(data: object) -> None:
    assert_read_or_refused(data)


FIELD_NAMES = sorted({name for kind in Kind for name in node_record(kind).fields})


@given(st.sampled_from(sorted(MINIMAL)), st.dictionaries(st.sampled_from(FIELD_NAMES), JSON, max_size=3))
def test_any_field_value_is_read_or_refused(kind: str, fields: dict[str, object]) -> None:
    assert_read_or_refused(a_document({"a": {"kind": kind, **MINIMAL[kind], **fields}}))


NAMES = st.sampled_from(["a", "b", "c", "d"])


@given(st.lists(st.tuples(NAMES, NAMES), max_size=8))
def test_a_graph_that_is_read_has_an_order_in_which_every_edge_leads_forward(pairs: list[tuple[str, str]]) -> None:
    document = read(a_document({name: a_transform() for name in "abcd"}, *[f"{a} > {b}" for a, b in pairs]))
    if isinstance(document, Document):
        order = document.graph.order
        assert sorted(order) == list("abcd")
        assert all(order.index(edge.source) < order.index(edge.target) for edge in document.graph.edges)
