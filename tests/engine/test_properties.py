"""What must hold for every graph and every order of completion (engine.md §2), and after a crash at any point."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.graph.model import Document
from pipelines.graph.places import places
from runs.engine.scope import EdgeState, Scope
from runs.engine.status import RunState
from tests.engine.asking import Asked, Peopled
from tests.engine.building import a_document
from tests.engine.oracle import assert_joined
from tests.engine.playing import Fails, Player

THENS = ("skip", "use_default", "route")
# What may ask a person about its failure; which of a container's items is tried again would be a race.
ASKED = ("agent", "decide", "combine")
FINAL = {"succeeded", "failed", "skipped", "cancelled"}
MOST_NESTED = 2


def a_random_graph(rng: random.Random, *, races: bool, stops: bool, depth: int = 0) -> dict[str, Any]:
    """Return a graph of agents, routers, joins and (once nested) containers, with one Result at the end of each way."""
    count = rng.randint(2, 9 if depth == 0 else 4 - depth)
    nodes: dict[str, Any] = {}
    edges: list[dict[str, str]] = []
    for number in range(count):
        name = f"n{number}"
        nodes[name] = _a_random_node(rng, races=races, stops=stops, depth=depth)
        for earlier in range(number):
            if rng.random() < 0.35:
                source = f"n{earlier}"
                edges.append({"from": source, "port": rng.choice(_ports(nodes[source])), "to": name})
    if depth == 0:
        for number in range(rng.randint(1, 2)):
            source = f"n{rng.randrange(count)}"
            nodes[f"end{number}"] = {"kind": "output", "value": "here"}
            edges.append({"from": source, "port": rng.choice(_ports(nodes[source])), "to": f"end{number}"})
    return {"nodes": nodes, "edges": edges}


def _a_random_node(rng: random.Random, *, races: bool, stops: bool, depth: int) -> dict[str, Any]:
    # Inside a container only `auto`: whether an item gets as far as stopping the whole run is a race with its siblings.
    thens = [*THENS, *(("auto", "stop_run") if depth == 0 else ("auto",))] if stops else list(THENS)
    node: dict[str, Any] = {
        "on_error": {"then": rng.choice(thens), "retry": {"max_attempts": rng.choice((1, 2))}},
        "on_failed_input": rng.choice(("propagate", "tolerate")),
        "wait_for": rng.choice(("settled", "settled", "all", *(("first", 2) if races else ()))),
    }
    containers = ("each", "repeat", "team") if depth < MOST_NESTED else ()
    kind = rng.choice(("agent", "agent", "agent", "decide", "combine", "human", *containers))
    if kind in ASKED and rng.random() < 0.2:
        node["on_error"]["then"] = "ask_human"
    match kind:
        case "agent":
            node |= {"kind": "agent", "agent": "writer@1", "prompt": "Write."}
        case "decide":
            node |= {"kind": "decide", "otherwise": "b", "multi": rng.random() < 0.3}
            node["routes"] = [{"port": "a", "when": rng.choice(("true", "false"))}, {"port": "c", "when": "true"}]
        case "combine":
            node |= {"kind": "combine", "min_ok": rng.choice((1, 1, 2)), "cancel_rest": rng.random() < 0.5}
        case "human":
            node |= {"kind": "human", "mode": "answer"}
        case "team":
            members = ["writer@1"] * rng.randint(1, 3)
            node |= {"kind": "team", "task": "Talk.", "members": members, "stop": {"max_turns": rng.randint(1, 4)}}
        case "repeat":
            node |= {
                "kind": "repeat",
                "until": rng.choice(("round.n >= 2", "has(steps.n0.output)", "has(round.previous.n0.output)", "false")),
                "max_rounds": rng.randint(1, 4),
                "on_exhausted": rng.choice(("best", "last", "fail")),
                "best_by": "-round.n",
                "graph": a_random_graph(rng, races=races, stops=stops, depth=depth + 1),
            }
            if rng.random() < 0.3:
                node["no_progress"] = {"metric": rng.choice(("round.n", "1")), "rounds": 2}
        case _:
            size = rng.randint(0, 4)
            node |= {
                "kind": "each",
                "over": list(range(size)),
                "max_parallel": rng.randint(1, 3),
                "require": rng.choice(("all", "any", {"at_least": 2})),
                "on_item_error": rng.choice(("stop", "omit", "null")),
                "stop_early": races and rng.random() < 0.5,
                "graph": a_random_graph(rng, races=races, stops=stops, depth=depth + 1),
            }
    return node


def _ports(node: dict[str, Any]) -> list[str]:
    own = {"decide": ["a", "b", "c"], "human": ["approved", "rejected"], "repeat": ["done", "exhausted"]}
    return [*own.get(node["kind"], ["done"]), *(["error"] if node["on_error"]["then"] == "route" else [])]


def a_script(seed: int) -> Callable[[Any], Any]:
    """Return what attempts come to: the same for a path and attempt in every order."""

    def outcome(start: Any) -> Any:
        rng = random.Random(f"{seed}/{start.path}/{start.attempt}")
        draw = rng.random()
        if draw < 0.7:
            return {"wrote": start.path}
        return Fails(rng.choice(("transient", "tool_error"))).error

    return outcome


class Scripted(Peopled):
    def __init__(self, document: Document, seed: int) -> None:
        super().__init__(document)
        self.seed = seed
        self._outcome = a_script(seed)

    def outcome(self, start: Any) -> Any:
        if isinstance(start, Asked):
            return super().outcome(start)
        said = self._outcome(start)
        self.script[start.path] = said if isinstance(said, dict) else _fails(said)
        return super().outcome(start)


def _fails(error: Any) -> Fails:
    fails = Fails()
    fails.error = error
    return fails


def a_case(seed: int, *, races: bool, stops: bool) -> Document:
    graph = a_random_graph(random.Random(seed), races=races, stops=stops)
    limits = {"max_parallel": 2} if seed % 3 == 0 else {}
    return a_document(graph, limits=limits)


def scopes(player: Player) -> Iterator[Scope]:
    yield from player.run.scopes.values()


def assert_sound(player: Player) -> None:
    assert player.run.state.is_terminal, ("stuck", player.states())
    assert set(player.states().values()) <= FINAL, player.states()
    assert not player.run.running
    started = [(start.path, start.attempt) for start in player.started]
    assert len(started) == len(set(started)), "an attempt was started twice"
    tried = {path: [attempt for at, attempt in started if at == path] for path, _ in started}
    assert all(attempts == list(range(1, len(attempts) + 1)) for attempts in tried.values())
    assert all(not _was_running(player.events, path) for path in tried), "a step was started while it ran"
    succeeded = [event.path for event in player.events if event.type == "step_succeeded"]
    assert len(succeeded) == len(set(succeeded)), "a step succeeded twice"
    assert all(EdgeState.OPEN not in scope.edges for scope in scopes(player)), "an edge stayed open"
    for name in player.document.graph.nodes:
        assert name in player.rows, f"{name} was forgotten"
    if player.run.state is RunState.SUCCEEDED or player.run.reason == "no_result":
        assert_joined(player)


def _was_running(events: list[Any], path: str) -> bool:
    """Tell whether a step was started again before its attempt ended."""
    running = False
    for event in events:
        if event.path == path and event.type == "step_started":
            if running:
                return True
            running = True
        elif event.path == path and event.type != "step_ready":
            running = False
    return False


def final(player: Player) -> dict[str, Any]:
    return {
        path: (row["state"], row["output"], row["ports"], _timeless(row["meta"]), row["flags"])
        for path, row in sorted(player.rows.items())
    }


def _timeless(meta: Any) -> Any:
    """Return what is known of a step without the moment of a person's answer."""
    return {name: value for name, value in meta.items() if name != "when"} if isinstance(meta, dict) else meta


ORDERS = 4
seeds = st.integers(min_value=0, max_value=1_000_000)


@settings(max_examples=150, deadline=None)
@given(seed=seeds)
def test_without_races_and_stops_the_end_does_not_depend_on_order(seed: int) -> None:
    ends = []
    for order in range(ORDERS):
        player = Scripted(a_case(seed, races=False, stops=False), seed).in_any_order(order)
        assert_sound(player)
        ends.append((final(player), player.run.state, player.run.reason, player.run.output))
    if "each" not in {place.node.kind for place in places(player.document)}:
        assert all(end == ends[0] for end in ends)
    else:
        # Which items were under way when a container gave up is a race; what the run comes to is not.
        outer = [({p: s for p, s in end[0].items() if "[" not in p and s[0] != "failed"}, *end[1:]) for end in ends]
        assert all(_without_meta(end) == _without_meta(outer[0]) for end in outer)


def _without_meta(end: Any) -> Any:
    return {path: state[:3] for path, state in end[0].items()}, *end[1:]


@settings(max_examples=150, deadline=None)
@given(seed=seeds)
def test_with_stops_the_verdict_does_not_depend_on_order(seed: int) -> None:
    verdicts = set()
    for order in range(ORDERS):
        player = Scripted(a_case(seed, races=False, stops=True), seed).in_any_order(order)
        assert_sound(player)
        verdicts.add(player.run.state)
    assert len(verdicts) == 1


@settings(max_examples=150, deadline=None)
@given(seed=seeds)
def test_with_races_nothing_gets_stuck_or_runs_twice(seed: int) -> None:
    for order in range(ORDERS):
        assert_sound(Scripted(a_case(seed, races=True, stops=seed % 2 == 0), seed).in_any_order(order))


@settings(max_examples=150, deadline=None)
@given(seed=seeds, at=st.integers(min_value=0, max_value=12))
def test_a_restored_run_goes_on_as_if_nothing_had_happened(seed: int, at: int) -> None:
    document = a_case(seed, races=False, stops=False)
    steady = Scripted(document, seed).in_any_order(1)
    shaken = Scripted(document, seed)
    turn = 0

    def maybe_crash(player: Player) -> None:
        nonlocal turn
        turn += 1
        if turn % (at + 1) == 0 and not player.run.state.is_terminal:
            player.crash(crashed=False)

    shaken.play(random.Random(1).choice, maybe_crash)
    assert shaken.run.state is steady.run.state
    assert final(shaken) == final(steady)
    assert shaken.run.output == steady.run.output
    assert shaken.run.reason == steady.run.reason


@settings(max_examples=80, deadline=None)
@given(seed=seeds)
def test_with_races_a_crash_at_any_point_leaves_a_run_that_ends(seed: int) -> None:
    player = Scripted(a_case(seed, races=True, stops=seed % 2 == 0), seed)
    rng = random.Random(seed)

    def maybe_crash(player: Player) -> None:
        if rng.random() < 0.3 and not player.run.state.is_terminal:
            player.crash(crashed=False)

    player.play(rng.choice, maybe_crash)
    assert player.run.state.is_terminal
    assert set(player.states().values()) <= FINAL


@settings(max_examples=80, deadline=None)
@given(seed=seeds)
def test_repeated_and_late_facts_change_nothing(seed: int) -> None:
    player = Scripted(a_case(seed, races=seed % 2 == 0, stops=False), seed)
    rng = random.Random(seed)
    past: list[Any] = []
    player.begin()
    while player.open or (player.last.wake_at and not player.last.run.is_terminal):
        if not player.open:
            player.wait((player.last.wake_at - player.now).total_seconds())
            continue
        fact = player.outcome(player.open.pop(rng.choice(sorted(player.open))))
        player.tell(fact)
        past.append(fact)
        again = player.tell(*rng.sample(past, min(3, len(past))))
        assert not again.events
        assert not again.changed
        assert not again.starts
    assert_sound(player)


@pytest.mark.parametrize("kind", ["cancel", "forced"])
@settings(max_examples=60, deadline=None)
@given(seed=seeds, at=st.integers(min_value=0, max_value=8))
def test_a_cancelled_run_starts_nothing_more_and_ends(kind: str, seed: int, at: int) -> None:
    from runs.engine.facts import CancelForced, CancelRequested

    player = Scripted(a_case(seed, races=False, stops=False), seed)
    player.begin()
    for _ in range(at):
        if player.open:
            player.finish(sorted(player.open)[0])
    if player.run.state.is_terminal:
        return
    running = list(player.open.values())
    decision = player.tell(CancelRequested("alice"))
    assert not decision.starts
    if kind == "forced":
        decision = player.tell(CancelForced())
    else:
        for start in running:
            decision = player.tell(player.outcome(start))
            assert not decision.starts
    assert player.run.state is RunState.CANCELLED
    assert set(player.states().values()) <= FINAL
