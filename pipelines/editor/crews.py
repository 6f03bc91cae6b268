"""Who takes part in a Team or works for a Supervisor, as commands: added, moved, removed. Pure.

A member is named by its JSON pointer within the step, as `pipelines.graph.crew` gives it: `members/0`,
`workers/1/supervisor/workers/0`.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from accounts.errors import Invalid
from pipelines.editor.cloning import fresh
from pipelines.editor.desk import Desk, Raw, node_at
from pipelines.graph.model import Json
from pipelines.graph.workers import AGENT, PIPELINE, SUPERVISOR, TOOL
from pipelines.ops import Op

_WRONG: Any = {"code": "bad_command", "where": "/with"}


def add(args: Mapping[str, Json], desk: Desk) -> list[Op]:
    """Add one of a `kind` (an agent) to the list `list` of a step, after the member `after` or as the last."""
    step = _copied(args, desk)
    entries = _entries(step, str(args["list"]))
    after, kind = args.get("after"), str(args.get("kind") or AGENT)
    at = _index(str(after)) + 1 if after else len(entries)
    is_team = step["kind"] == "team"
    if is_team and kind != AGENT:
        raise Invalid("Only agents take part in a Team. Actions and pipelines work for a Supervisor.", **_WRONG)
    entries.insert(
        at, _made(kind, _taken(entries), desk) if not is_team else _unused(AGENT, desk.offer.agents, entries)
    )
    return _set(args, step)


def move(args: Mapping[str, Json], desk: Desk) -> list[Op]:
    """Put the member `at` on another place of its list: before the one that stands on `to`, counted without it."""
    step = _copied(args, desk)
    entries, index = _entries(step, _list_of(str(args["at"]))), _index(str(args["at"]))
    to = int(args["to"])
    if not 0 <= to < len(entries):
        raise Invalid("It stands at the end of its list already.", **_WRONG)
    entries.insert(to, entries.pop(index))
    return _set(args, step)


def remove(args: Mapping[str, Json], desk: Desk) -> list[Op]:
    """Take a member out of its list, with the topics that it alone listened to."""
    step = _copied(args, desk)
    entries, index = _entries(step, _list_of(str(args["at"]))), _index(str(args["at"]))
    gone = entries.pop(index)
    if step["kind"] == "team":
        if not entries:
            raise Invalid(
                "Somebody has to take part in a Team. Add another member before you remove this one.", **_WRONG
            )
        _forget_topics(step, str(gone))
    return _set(args, step)


def _copied(args: Mapping[str, Json], desk: Desk) -> Raw:
    return copy.deepcopy(node_at(desk.document, str(args["place"])))


def _set(args: Mapping[str, Json], step: Raw) -> list[Op]:
    return [{"op": "set_node", "node": str(args["place"]), "value": step}]


def _list_of(at: str) -> str:
    return at.rpartition("/")[0]


def _index(at: str) -> int:
    return int(at.rpartition("/")[2])


def _entries(step: Raw, where: str) -> list[Json]:
    """Return a list of a crew by its pointer; KeyError or TypeError where there is none."""
    held: Any = step
    way = where.split("/")
    if way[-1] not in ("members", "workers"):
        raise KeyError(where)
    for part in way:
        held = held[int(part)] if isinstance(held, list) else held[part]
    if not isinstance(held, list):
        raise TypeError(where)
    return held


def _taken(entries: Sequence[Json]) -> list[str]:
    return [str(value["name"] if isinstance(value, dict) else value) for one in entries for value in one.values()]


def _unused(kind: str, offered: Sequence[str], taken: Sequence[Json]) -> str:
    """Return the first reference that is not there yet, else the first one."""
    there = {str(ref).partition("@")[0] for ref in taken}
    found = next((ref for ref in offered if ref.partition("@")[0] not in there), None) or next(iter(offered), None)
    if found is None:
        raise Invalid(f"This workspace has no {kind} to add. Make one first.", **_WRONG)
    return found


def _made(kind: str, taken: Sequence[str], desk: Desk) -> dict[str, Json]:
    """Return a new worker of a kind, under a name that its leader does not know yet."""
    if kind == SUPERVISOR:
        leader = {"name": fresh("lead", taken), "agent": desk.offer.agent, "workers": [{AGENT: desk.offer.agent}]}
        return {SUPERVISOR: leader}
    offered = {AGENT: desk.offer.agents, TOOL: desk.offer.tools, PIPELINE: desk.offer.pipelines}
    return {kind: _unused(kind, offered[kind], taken)}


def _forget_topics(step: Raw, gone: str) -> None:
    topics, left = step.get("topics"), {str(member) for member in step["members"]}
    if not isinstance(topics, dict):
        return
    for name in (gone, gone.partition("@")[0]):
        if name not in left and name not in {member.partition("@")[0] for member in left}:
            topics.pop(name, None)
