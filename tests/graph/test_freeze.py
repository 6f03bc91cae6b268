import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.graph import gates
from pipelines.graph.canonical import canonical_json
from pipelines.graph.freeze import content_hash, lock
from pipelines.graph.lock import Lock, resolve
from pipelines.graph.problems import Refusal
from pipelines.graph.safe import zones
from tests.graph.documents import HTTP, LIBRARY, NOTE, RESULT, SEND, START, a_document, a_graph, an_agent, parsed


def test_a_lock_holds_all_a_document_relies_on_by_exact_version() -> None:
    document = parsed(
        {
            "a": an_agent(agent="writer", on_error={"fallback": [{"agent": "scorer@1"}, {"model": "local/mystery"}]}),
            "b": an_agent(agent="writer@2"),
            "send": {"kind": "tool", "tool": "email.send"},
            "loop": {"kind": "each", "over": [1], "graph": a_graph({"in": an_agent(agent="mailer")})},
        }
    )
    found = lock(document, LIBRARY)
    assert set(found.agents) == {"writer@10", "writer@2", "scorer@1", "mailer@1"}
    assert set(found.tools) == {"email.send@1", "notes.append@2"}
    assert set(found.prices) == {"demo/writer", "demo/judge", "demo/echo", "local/mystery"}
    assert found.prices["local/mystery"] is None
    assert found.then == dict.fromkeys(["a", "b", "send", "loop", "loop.in"], "stop_run")


def test_a_lock_survives_the_database() -> None:
    found = lock(parsed({"a": an_agent(agent="writer@2"), "t": {"kind": "tool", "tool": "http.request"}}), LIBRARY)
    assert Lock.from_json(json.loads(json.dumps(found.as_json()))) == found


def test_a_name_without_version_means_the_newest_and_stays_found_in_the_lock() -> None:
    assert resolve("writer", LIBRARY.agents) == "writer@10"
    assert resolve("writer@3", LIBRARY.agents) is None
    assert resolve("nobody", LIBRARY.agents) is None
    found = lock(parsed({"a": an_agent(agent="writer"), "b": an_agent(agent="writer@1")}), LIBRARY)
    assert (found.agent("writer").id, found.agent("writer@1").id) == ("writer@10", "writer@1")
    with pytest.raises(KeyError):
        found.agent("scorer")


@pytest.mark.parametrize(
    ("step", "code"),
    [(an_agent(agent="nobody"), "unknown_agent"), ({"kind": "tool", "tool": "no.tool"}, "unknown_tool")],
)
def test_what_is_not_there_cannot_be_locked(step: dict[str, Any], code: str) -> None:
    with pytest.raises(Refusal) as caught:
        lock(parsed({"a": step}), LIBRARY)
    assert (caught.value.code, caught.value.where.startswith("/graph/nodes/a")) == (code, True)


def test_moving_a_box_does_not_change_the_content() -> None:
    document = a_document({"a": an_agent()})
    same = dict(reversed({**document, "ui": {"positions": {"a": [1, 2]}}}.items()))
    assert content_hash(document) == content_hash(same)
    assert content_hash(document).startswith("sha256:")
    assert content_hash(document) != content_hash(a_document({"a": an_agent("Else.")}))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_a_payload_has_one_digest_whatever_the_order_of_its_keys(args: dict[str, Any]) -> None:
    call = gates.payload(SEND, args)
    turned = gates.payload(SEND, dict(reversed(args.items())))
    assert call == {"tool": "email.send@1", "args": args}
    assert gates.payload_hash(call) == gates.payload_hash(turned)
    assert gates.payload_hash(json.loads(canonical_json(call))) == gates.payload_hash(call)


def test_a_changed_argument_changes_the_digest() -> None:
    one, other = (gates.payload_hash(gates.payload(SEND, {"to": to})) for to in ("a@b.c", "a@b.d"))
    assert one != other


def test_what_cannot_be_undone_needs_an_approval() -> None:
    assert gates.needs_approval(SEND, {})
    assert not gates.needs_approval(NOTE, {})
    assert not gates.needs_approval(HTTP, {"method": "get"})
    assert gates.needs_approval(HTTP, {"method": "POST"})
    assert gates.needs_approval(HTTP, {})
    for header in ("X-HTTP-Method-Override", "x_http_method_override", "X-Method-Override ", "X-HTTP-Method"):
        for kind in ("headers", "secret_headers"):
            asked = {"method": "GET", kind: {"Accept": "text/html", header: "DELETE"}}
            assert gates.needs_approval(HTTP, asked), "the other side may delete for it"
    assert not gates.needs_approval(HTTP, {"method": "GET", "headers": {"X-Method": "DELETE", "Accept": "*/*"}})


COMBINE = {"kind": "combine"}


@pytest.mark.parametrize(
    ("nodes", "edges", "skipped"),
    [
        ({"a": an_agent(), "b": an_agent()}, ["a > b"], set()),
        ({"a": an_agent(), "all": COMBINE}, ["a > all"], {"a"}),
        ({"a": an_agent(), "b": an_agent(), "all": COMBINE}, ["a > b", "b > all"], {"a", "b"}),
        ({"a": an_agent(), "b": an_agent(), "all": COMBINE}, ["a > all", "a > b"], set()),
        ({"a": an_agent(), "all": COMBINE | {"on_failed_input": "propagate"}}, ["a > all"], set()),
        ({"a": an_agent(), "b": an_agent(on_failed_input="tolerate")}, ["a > b"], set()),
        (
            {"a": an_agent(), "all": COMBINE, "b": an_agent(), "more": COMBINE},
            ["a > all", "all > b", "b > more"],
            {"a", "all", "b"},
        ),
    ],
)
def test_a_failure_is_contained_where_every_way_forward_meets_a_tolerant_combine(
    nodes: dict[str, Any], edges: list[str], skipped: set[str]
) -> None:
    assert {place for place, then in zones(parsed(nodes, *edges)).items() if then == "skip"} == skipped


def test_zones_name_only_steps_that_leave_it_to_the_engine_and_look_within_one_scope() -> None:
    inner = a_graph({"x": an_agent(), "y": an_agent(on_error={"then": "stop_run"}), "in": COMBINE}, "x > in", "y > in")
    loop = {"kind": "each", "over": [1], "graph": inner, "result": 1}
    document = parsed(
        {"start": START, "loop": loop, "all": COMBINE, "end": RESULT}, "start > loop", "loop > all", "all > end"
    )
    assert zones(document) == {
        "start": "skip",
        "loop": "skip",
        "loop.x": "skip",
        "loop.in": "stop_run",
        "all": "stop_run",
        "end": "stop_run",
    }
