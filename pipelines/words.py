"""How kinds of steps look: a word, an icon and a colour each."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Look:
    """How a kind of step is drawn: `tile` is the CSS class of its coloured tile."""

    word: str
    icon: str
    tile: str


_KINDS = {
    "input": Look("Start", "zap", "k-trigger"),
    "output": Look("Result", "flag", "k-output"),
    "agent": Look("Agent", "bot", "k-agent"),
    "tool": Look("Action", "wrench", "k-tool"),
    "decide": Look("Route", "split", "k-control"),
    "each": Look("For each", "layers", "k-control"),
    "combine": Look("Combine", "merge", "k-control"),
    "repeat": Look("Repeat", "repeat", "k-judge"),
    "team": Look("Team", "users", "k-agent"),
    "supervisor": Look("Supervisor", "network", "k-agent"),
    "pipeline": Look("Sub-pipeline", "workflow", "k-subflow"),
    "human": Look("Person", "hand", "k-human"),
    "wait": Look("Wait", "clock", "k-control"),
    "transform": Look("Transform", "braces", "k-data"),
    "check": Look("Check", "scale", "k-judge"),
    "board": Look("Board", "clipboard-list", "k-data"),
}
_UNKNOWN_KIND = Look("Step", "circle", "k-control")


def look_of(kind: str) -> Look:
    """Return how a kind of step is drawn."""
    return _KINDS.get(kind, _UNKNOWN_KIND)
