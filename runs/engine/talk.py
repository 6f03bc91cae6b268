"""What a team has said so far, as values: who spoke and was chosen, what is agreed, where it goes in circles.

Everything here follows from the contributions alone, so a team that is restored stands where it stood.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from pipelines.graph.canonical import canonical_json
from pipelines.graph.model import Json
from runs.engine.scope import Container

SPEAK, CHOOSE, JUDGE, SUMMARY, CLOSE = "speak", "choose", "judge", "summary", "close"
MOST_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Said:
    """One contribution. `part` says what its step was for; `member` is the speaker's place among the members.

    `output` is as it came: text or an object; None where a person let the team go on without it.
    """

    turn: int
    part: str
    output: Json
    member: int = -1

    @property
    def text(self) -> str:
        """Return the words of it."""
        return words_of(self.output)

    def get(self, name: str, otherwise: Json = None) -> Json:
        return self.output.get(name, otherwise) if isinstance(self.output, dict) else otherwise


@dataclass(slots=True, eq=False, kw_only=True)
class Talk(Container):
    """A `team` that is under way. `said` is in order; `failed` is the error of the newest turn, if it has one."""

    next: int = 1
    said: list[Said] = field(default_factory=list)
    failed: Json = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How often a moderator has seen no progress in a row and begun anew, and the turn of the newest beginning."""

    stalls: int = 0
    resets: int = 0
    since: int = 0


@dataclass(frozen=True)
class Team:
    """A team between two decisions. `task` has words from outside marked already, `label` says whose words it holds.

    `names` are the members as they are called in the talk, `about` what is known of each. `shape` is the schema of the
    team's own output, `is_good` what the author's `until` says of the newest turn. `asks`: a person is asked what now
    before a team that comes no further ends; `forgiven` of its new beginnings were before such an answer.
    """

    config: Mapping[str, Json]
    task: str
    label: str
    names: Sequence[str]
    about: Sequence[str]
    said: Sequence[Said] = ()
    shape: Json = None
    is_good: bool = False
    asks: bool = False
    forgiven: int = 0

    @cached_property
    def speeches(self) -> list[Said]:
        return self.of(SPEAK)

    @cached_property
    def turn(self) -> int:
        """Return the number of the newest turn, 0 before the first."""
        return max((one.turn for one in self.said), default=0)

    @cached_property
    def newest(self) -> Mapping[str, Said]:
        """Return the newest turn's contributions, the last of each part."""
        return {one.part: one for one in self.said if one.turn == self.turn}

    @property
    def pending(self) -> Said | None:
        """Return the choice that nobody has acted on yet."""
        return None if SPEAK in self.newest else self.newest.get(CHOOSE)

    @property
    def candidates(self) -> list[str]:
        """Return who may be chosen to speak next."""
        last = self.speeches[-1].member if self.speeches and self.config["no_repeat"] else -1
        return [name for index, name in enumerate(self.names) if index != last or len(self.names) == 1]

    @cached_property
    def standing(self) -> Standing:
        """Return where a moderated talk stands: no-progress verdicts in a row lead to a new beginning."""
        standing, has_begun = Standing(), False
        for one in self.said:
            if one.part == SPEAK:
                has_begun = True
            elif one.part == CHOOSE and has_begun:
                stalls = 0 if one.get("progress", True) else standing.stalls + 1
                standing = Standing(stalls, standing.resets, standing.since)
                if stalls >= self.config["max_stalls"]:
                    standing, has_begun = Standing(0, standing.resets + 1, one.turn), False
        return standing

    @cached_property
    def summarised(self) -> int:
        """Return how many of the first speeches stand in the newest summary."""
        covered = spoken = 0
        for one in self.said:
            spoken += one.part == SPEAK
            if one.part == SUMMARY:
                covered = spoken - self.config["last_n"]
        return max(covered, 0)

    @property
    def summary(self) -> str:
        return next((one.text for one in reversed(self.said) if one.part == SUMMARY), "")

    @property
    def heard(self) -> list[Said]:
        """Return the speeches that are told word for word: since the newest beginning, as `history` says."""
        spoken = [one for one in self.speeches if one.turn > self.standing.since]
        match self.config["history"]:
            case "last_n":
                return spoken[-self.config["last_n"] :]
            case "summary":
                kept = len(self.speeches) - self.summarised
                return spoken[-kept:] if kept else []
            case _:
                return spoken

    def of(self, part: str) -> list[Said]:
        return [one for one in self.said if one.part == part]

    def name_of(self, speech: Said) -> str:
        """Return the name of the member that spoke."""
        return self.names[speech.member]


def names_of(members: Sequence[str]) -> tuple[str, ...]:
    """Return what members are called: their slugs, numbered where one agent has several places."""
    slugs = [reference.partition("@")[0] for reference in members]
    before: Counter[str] = Counter()
    found = []
    for slug in slugs:
        before[slug] += 1
        found.append(slug if before[slug] == 1 else f"{slug}-{before[slug]}")
    return tuple(found)


def words_of(output: Json) -> str:
    """Return what an answer says, without what it decides."""
    match output:
        case None:
            return ""
        case str():
            return output
        case {"say": str() as said} | {"verdict": str() as said}:
            return said
        case {"messages": list() as messages}:
            return "\n".join(f"[{message['topic']}] {message['text']}" for message in messages)
        case _:
            return canonical_json(output).decode()


def agreeing(team: Team) -> int:
    """Return how many members agreed when they last spoke."""
    newest = {one.member: one for one in team.speeches}
    return sum(one.get("agrees") is True for one in newest.values())


def idle_turns(team: Team) -> int:
    """Return how many of the newest turns brought no words that had not been said before."""
    known: set[str] = set()
    fresh: dict[int, bool] = {}
    for one in team.speeches:
        words = _plain(one.text)
        fresh[one.turn] = fresh.get(one.turn, False) or (bool(words) and words not in known)
        known.add(words)
    idle = 0
    for turn in sorted(fresh, reverse=True):
        if fresh[turn]:
            break
        idle += 1
    return idle


def circle(team: Team) -> Said | None:
    """Return the speech that a member made a third time while nobody said anything new in between."""
    known: set[str] = set()
    times: Counter[tuple[int, str]] = Counter()
    for one in team.speeches:
        words = _plain(one.text)
        if words not in known:
            known.add(words)
            times.clear()
        times[one.member, words] += bool(words)
        if times[one.member, words] >= MOST_REPEATS:
            return one
    return None


def _plain(text: str) -> str:
    """Return a text as it is compared: case, white space and full stops at its end say nothing new."""
    return " ".join(text.casefold().split()).rstrip(".!… ")
