"""What people and machines do to a run that nobody foresaw: stops, pauses, cancels, crashes, late and old facts."""

import copy
import random
from collections.abc import Callable
from typing import Any

from pipelines.graph.model import Budget, Document
from runs.engine import lives
from runs.engine.decision import Decision
from runs.engine.facts import (
    CancelForced,
    CancelRequested,
    Fact,
    PauseRequested,
    Recovered,
    ResumeRequested,
    StopRequested,
    Tick,
)
from runs.engine.status import RunState
from tests.engine.asking import Asked
from tests.engine.building import a_document, a_graph
from tests.engine.kin import PRICE, Family
from tests.engine.mixed import Mixed, mixed
from tests.engine.playing import Fails, Player
from tests.engine.test_children import a_child, calling
from tests.engine.test_properties import a_random_graph

BY = "carol@example.com"
MOVES = 60  # after so many, the world leaves the run alone
MOST = 20_000


def places(player: Player) -> list[str]:
    """Return what a person may point at: every step so far, and every item, round and turn."""
    return sorted(player.rows) + sorted({path.rpartition(".")[0] for path in player.rows if "." in path})


def mischief(player: Player, dice: random.Random) -> Fact | None:
    """Return something that a person does to a run now and then."""
    draw = dice.random()
    for share, make in _DOINGS:
        if draw < share:
            return make(player, dice)
        draw -= share
    return None


_DOINGS: tuple[tuple[float, Callable[[Player, random.Random], Fact]], ...] = (
    (0.06, lambda player, dice: StopRequested(dice.choice(places(player)), BY, "Enough.")),
    (0.04, lambda player, dice: PauseRequested(BY)),
    (0.08, lambda player, dice: ResumeRequested(BY)),
    (0.005, lambda player, dice: CancelRequested(BY)),
)


class Harried(Mixed):
    """A run of every kind of step, to which the world does what it likes, and which nevertheless ends."""

    def __init__(self, document: Document, seed: int, dice: random.Random) -> None:
        super().__init__(document, seed)
        self._dice = dice
        self._past: list[Fact] = []

    def tell(self, *facts: Fact) -> Decision:
        self._past += [fact for fact in facts if not isinstance(fact, Recovered)]
        return super().tell(*facts)

    def harry(self) -> "Harried":
        self.begin()
        for number in range(MOST):
            if self.run.state.is_terminal:
                return self
            if not (number < MOVES and self._be_harried()):
                self._go_on()
        raise AssertionError(("The run never ends.", self.states()))

    def _be_harried(self) -> bool:
        """Do something to the run; return whether anything was done."""
        if (fact := mischief(self, self._dice)) is not None:
            self.tell(fact)
            return True
        draw = self._dice.random()
        if draw < 0.1:
            self.tell(copy.deepcopy(self._dice.choice(self._past)))
        elif draw < 0.15:
            self.crash(crashed=self._dice.random() < 0.1)
        return draw < 0.15

    def _go_on(self) -> None:
        if self.open:
            self.finish(self._dice.choice(sorted(self.open)))
        elif self.run.state is RunState.PAUSED:
            self.tell(ResumeRequested(BY))
        elif self.run.state is RunState.CANCELLING:
            self.tell(CancelForced())
        else:
            assert self.last.wake_at, ("stuck", self.states())
            self.now = max(self.now, self.last.wake_at)
            self.tell(Tick())

    def assert_known(self) -> None:
        """Check that the run takes for running exactly what the executor has."""
        tasks = {path for path, start in self.open.items() if not isinstance(start, Asked)}
        tasks |= set(self.next)
        assert self.run.state in (RunState.CANCELLING, *_ENDED) or tasks == self.run.running


_ENDED = (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)


class Tried(Harried):
    """As above, with calls that outlive their cancel and answer when they like, late or never."""

    lingers = True

    def _go_on(self) -> None:
        tasks = [(path, False) for path in sorted(self.open)] + [(path, True) for path in sorted(self.late)]
        if not tasks:
            super()._go_on()
            return
        path, is_late = self._dice.choice(tasks)
        if is_late:
            before = self._without_notes(path)
            self.end_late(path)
            is_ending = self.run.state in (RunState.CANCELLING, *_ENDED)
            assert is_ending or self._without_notes(path) == before, "it was used"
        else:
            self.finish(path)

    def _without_notes(self, path: str) -> Any:
        """Return a step's row without what it notes of calls that were made after its cancel, not to ask again."""
        row = copy.deepcopy(self.rows.get(path))
        for note in (lives.CALLED_OFF, lives.DONE) if row else ():
            row["memo"].pop(note, None)
        return row


def a_trying_case(seed: int, *, races: bool) -> Document:
    """Return a random pipeline whose containers ask a person about their failures more often than not."""
    rng = random.Random(seed)
    graph = mixed(a_random_graph(rng, races=races, stops=seed % 2 == 0), rng)
    _ask_about_failures(graph, rng)
    return a_document(graph, limits={"max_parallel": 2} if seed % 3 == 0 else {})


def _ask_about_failures(graph: dict[str, Any], rng: random.Random) -> None:
    ported = {edge["from"] for edge in graph["edges"] if edge["port"] == "error"}
    for name, node in graph["nodes"].items():
        if "graph" in node:
            _ask_about_failures(node["graph"], rng)
        if node["kind"] in ("each", "repeat", "team", "supervisor") and name not in ported and rng.random() < 0.7:
            node["on_error"] = {**node["on_error"], "then": "ask_human"}


# Families


class HarriedFamily(Family):
    """A run and its children, to any of which the world does what it likes."""

    def harry(self, seed: int, crash_every: int = 0) -> "HarriedFamily":
        dice = random.Random(seed)
        self.root.begin()
        for number in range(MOST):
            live = [one for one in self.members.values() if one.rows and not one.run.state.is_terminal]
            if number < MOVES and live:
                one = dice.choice(live)
                if crash_every and dice.randrange(crash_every) == 0:
                    one.crash()
                    continue
                if (fact := mischief(one, dice)) is not None:
                    one.tell(fact)
                    continue
            if not self._go_on(dice, live):
                return self
        raise AssertionError("The family never ends.")

    def _go_on(self, dice: random.Random, live: list[Any]) -> bool:
        """Let something happen that must; return whether there was anything."""
        work = [(run, path) for run, one in self.members.items() for path in sorted(one.open)]
        if self.mail and (not work or dice.random() < 0.3):
            self.deliver()
        elif work:
            run, path = dice.choice(work)
            self.members[run].finish(path)
        elif paused := [one for one in live if one.run.state is RunState.PAUSED]:
            paused[0].tell(ResumeRequested(BY))
        elif cancelling := [one for one in live if one.run.state is RunState.CANCELLING]:
            cancelling[0].tell(CancelForced())
        elif late := [one for one in self.members.values() if one.is_due]:
            late[0].wait_for_timer()
        else:
            return False
        return True


def a_family(seed: int) -> HarriedFamily:
    """Return a random family of three generations that share one cap, some of whose items are runs of their own."""
    rng = random.Random(seed)
    join = {"kind": "combine", "wait_for": rng.choice(("settled", "first"))}
    drawing = rng.choice(("dig >> deeper", "dig, side >> join", "dig, side, more >> join"))
    low = a_child("low", f"start >> {drawing} >> result", nodes={"join": join, "result": {"value": "1"}})
    ones = {name: _calling(rng, "low", name) for name in ("one", "two")}
    middle = a_child(
        "middle", "start >> one, two >> join >> dig >> result", nodes={**ones, "join": join, "result": {"value": "1"}}
    )
    each = {
        "kind": "each",
        "over": ["p", "q", "r"],
        "graph": a_graph("call >> after", call=calling("low", inputs={"topic": "${item}"})),
        "spread": rng.random() < 0.5,
        "on_item_error": rng.choice(("omit", "stop")),
        "require": rng.choice(("all", "any")),
        "stop_early": rng.random() < 0.4,
        "on_error": {"then": "skip"},
    }
    twos = {name: _calling(rng, "middle", name) for name in ("x", "y")}
    if rng.random() < 0.4:
        twos["x"]["budget"] = {"max_cost_usd": "0.0009"}
    nodes = {**twos, "walk": each, "join": {"kind": "combine", "wait_for": rng.choice(("settled", 2))}}
    parent = a_document(a_graph("start >> x, y, walk, solo >> join >> result", **nodes), id="parent")
    cost = rng.choice((4, 8, 15, 25, 60, None))
    caps = Budget(max_cost_micros=cost * PRICE if cost else None, max_llm_calls=rng.choice((None, None, 12, 30)))
    script = {"dig": Fails("tool_error")} if rng.random() < 0.2 else {}
    return HarriedFamily(parent, {"low": low, "middle": middle}, script, budget=caps)


def _calling(rng: random.Random, slug: str, topic: str) -> dict[str, Any]:
    contained = {"on_error": {"then": "skip"}} if rng.random() < 0.7 else {}
    return calling(slug, inputs={"topic": topic}, detached=rng.random() < 0.15, **contained)
