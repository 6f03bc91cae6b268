"""Who speaks next in a team, or why it is over: one loop, six choosers, each a function of what has been said."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from pipelines.graph.model import Json
from runs.engine import talk
from runs.engine.talk import CHOOSE, CLOSE, JUDGE, SPEAK, SUMMARY, Said, Team

# The topic under which the task itself is known on a bus.
TASK = "task"
# The moderator has begun anew as often as it may, and again there is no progress.
STALLED = "stalled"


@dataclass(frozen=True, slots=True)
class Ask:
    """Somebody beside the members is asked: who speaks next, whether it is enough, or for the last word."""

    part: str


@dataclass(frozen=True, slots=True)
class Speak:
    """These members speak, at the same time; a moderator says what about."""

    members: tuple[int, ...]
    instruction: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """The team is done: why, in a word, and in a sentence where the word is not enough."""

    why: str
    sentence: str = ""
    answer: Said | None = None


Next = Ask | Speak | End


def next_of(team: Team) -> Next:
    """Return what follows the newest contribution. Where a mode has a last word, it is asked for before the end."""
    spoken = [one for one in team.said if one.part != CLOSE]
    what = _next(replace(team, said=spoken))
    if not isinstance(what, End) or team.config["mode"] not in _CLOSING or (what.why == STALLED and team.asks):
        return what
    answer = team.newest.get(CLOSE)
    return replace(what, answer=answer) if answer else Ask(CLOSE)


def is_fresh(team: Team, what: Ask | Speak) -> bool:
    """Tell whether what follows begins a turn, or goes on with the newest."""
    if isinstance(what, Speak):
        return not team.newest or SPEAK in team.newest
    if what.part == CHOOSE:
        return not team.newest or bool({CHOOSE, SPEAK} & team.newest.keys())
    return what.part != JUDGE


def _next(team: Team) -> Next:
    what = CHOOSERS[team.config["mode"]](team)
    if isinstance(what, End):
        return what
    if SPEAK in team.newest:
        if team.config["stop"].get("judge") and JUDGE not in team.newest:
            return Ask(JUDGE)
        ending = _ending(team)
        if ending:
            return ending
    return Ask(SUMMARY) if _is_summary_due(team) and is_fresh(team, what) else what


def _ending(team: Team) -> End | None:
    """Return why the newest turn was the last one, None when it was not."""
    stop, newest = team.config["stop"], [one for one in team.speeches if one.turn == team.turn]
    verdict = team.newest.get(JUDGE)
    if stop.get("says") and any(stop["says"] in one.text for one in newest):
        return End("says")
    if stop.get("agreed_by") and talk.agreeing(team) >= stop["agreed_by"]:
        return End("agreed_by")
    if verdict and verdict.get("done"):
        return End("judge", str(verdict.get("reason", "")))
    if team.is_good:
        return End("until")
    again = talk.circle(team)
    if again:
        name = team.name_of(again)
        return End("loop", f"{name} said the same a third time, and nobody had said anything new in between.")
    if stop.get("idle") and talk.idle_turns(team) >= stop["idle"]:
        return End("idle")
    return End("max_turns") if team.turn >= stop["max_turns"] else None


def _is_summary_due(team: Team) -> bool:
    unread = len(team.speeches) - team.summarised
    return bool(team.config["history"] == "summary" and unread > 2 * team.config["last_n"])


def _round_robin(team: Team) -> Next:
    return Speak((len(team.speeches) % len(team.names),))


def _selector(team: Team) -> Next:
    return _called(team, team.pending) if team.pending else Ask(CHOOSE)


def _handoff(team: Team) -> Next:
    """The first member begins; each hands over to another, or to nobody when the task is done."""
    if not team.speeches:
        return Speak((0,))
    to = team.speeches[-1].get("hand_to")
    return Speak((team.names.index(to),)) if to in team.names else End("answered")


def _moderator(team: Team) -> Next:
    pending, standing = team.pending, team.standing
    if pending is None:
        return Ask(CHOOSE)
    if pending.get("done"):
        return End("done", str(pending.get("reason", "")))
    if standing.since != pending.turn:
        return _called(team, pending)
    if standing.resets - team.forgiven > team.config["max_resets"]:
        again = f"{standing.resets - 1} new beginning{'' if standing.resets == 2 else 's'}"
        return End(STALLED, f"The moderator saw no progress in {team.config['max_stalls']} turns, after {again}.")
    return Ask(CHOOSE)


def _debate(team: Team) -> Next:
    rounds = len({one.turn for one in team.speeches})
    return End("rounds") if rounds >= team.config["rounds"] else Speak(tuple(range(len(team.names))))


def _bus(team: Team) -> Next:
    """A message wakes those who listen to its topic; when it wakes nobody, all is said."""
    if not team.speeches:
        woken = [index for index in range(len(team.names)) if _listens(team, index, TASK)]
        return Speak(tuple(woken or range(len(team.names))))
    sent = [
        (one.member, message["topic"])
        for one in team.speeches
        if one.turn == team.turn
        for message in one.get("messages", ())
    ]
    woken = [
        index
        for index in range(len(team.names))
        if any(by != index and _listens(team, index, topic) for by, topic in sent)
    ]
    return Speak(tuple(woken)) if woken else End("quiet")


def _called(team: Team, choice: Said) -> Speak:
    return Speak((team.names.index(choice.get("next")),), str(choice.get("instruction", "")))


def _listens(team: Team, member: int, topic: str) -> bool:
    """Tell whether a member is woken by a topic; who subscribes to nothing hears everything."""
    topics: Json = team.config.get("topics") or {}
    wanted = topics.get(team.config["members"][member], topics.get(team.names[member]))
    return wanted is None or topic in wanted


CHOOSERS: Mapping[str, Callable[[Team], Next]] = {
    "round_robin": _round_robin,
    "selector": _selector,
    "handoff": _handoff,
    "moderator": _moderator,
    "debate": _debate,
    "bus": _bus,
}
# The modes in which somebody beside the members has the last word.
_CLOSING = frozenset({"moderator", "debate"})
