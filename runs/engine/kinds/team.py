"""Team: one turn after the other, each made from what was said before, until a stop says that it is done."""

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from pipelines.graph.canonical import canonical_json
from pipelines.graph.expressions.templates import MAX_RENDERED
from pipelines.graph.freeze import agents_of
from pipelines.graph.model import Json
from runs.engine import briefs, choosers, instances, marks, settling, trust, turns, values
from runs.engine.briefs import Brief
from runs.engine.choosers import Ask, End, Speak
from runs.engine.completing import complete
from runs.engine.facts import ErrorClass, StepError
from runs.engine.failing import come_to_nothing, give_up
from runs.engine.failure import class_above
from runs.engine.move import Move
from runs.engine.scope import Scope, Step
from runs.engine.state import Execution
from runs.engine.status import StepState
from runs.engine.talk import CHOOSE, JUDGE, SPEAK, Said, Talk, Team, names_of
from runs.engine.turns import Made

LONGEST_TITLE = 200
# In the memo: how many new beginnings there were when a person was asked what now, and when one let the team go on.
STALLED, FORGIVEN = "stalled", "forgiven"
# What a line of the transcript says beside the words.
_DECIDED = ("plan", "next", "instruction", "progress", "done", "hand_to", "agrees", "winner")


def open_container(move: Move, step: Step) -> None:
    missing = _missing_from_lock(move.run, step)
    if missing:
        give_up(move, step, missing)
        return
    try:
        task = values.rendered(move.run, step, step.node.config["task"])
    except values.Unusable as unusable:
        give_up(move, step, unusable.error)
        return
    record = step.record
    record.input = {"task": task}
    record.state = StepState.RUNNING
    record.attempt = 1
    settling.start_time(step, move.now)
    members = len(step.node.config["members"])
    move.log("step_started", record.path, attempt=1, members=members)
    reopen(move.run, step)
    move.touch(step)
    feed(move, step)


def reopen(run: Execution, step: Step) -> None:
    """Begin the bookkeeping of a container."""
    run.containers[step.path] = Talk(step=step)


def begin_next(run: Execution, step: Step) -> Scope:
    """Return the scope of the next turn. Of those before it only what was said is kept."""
    talk = _talk(run, step)
    turns.forget_ended(run, talk)
    return instances.begin(run, talk)


def take_note(run: Execution, step: Step, scope: Scope) -> None:
    """Take note of what a turn has brought so far, from its steps alone; the same after a restart as before."""
    talk = _talk(run, step)
    talk.said = [one for one in talk.said if one.turn != scope.index]
    talk.failed = None
    for inner in sorted(scope.steps.values(), key=lambda inner: inner.record.position):
        part, _, place = inner.node.id.partition("_")
        member, record = int(place or 0) - 1, inner.record
        let_go = part == SPEAK and settling.CONTAINED in record.flags
        if record.state is StepState.SUCCEEDED or let_go:
            talk.said.append(Said(scope.index, part, record.output, member))
        elif record.state is StepState.FAILED:
            talk.failed = talk.failed or record.error


def feed(move: Move, step: Step) -> None:
    """End the team when it is done, else let those speak whose turn it is."""
    talk = _talk(move.run, step)
    if talk.active:
        return
    if talk.failed:
        come_to_nothing(move, step, _turn_failed(step, talk))
        return
    try:
        team = _team(move.run, step, talk)
    except values.Unusable as unusable:
        give_up(move, step, unusable.error)
        return
    what = choosers.next_of(team)
    if isinstance(what, End) and what.why == choosers.STALLED and team.asks:
        step.record.memo[STALLED] = team.standing.resets
        give_up(move, step, StepError(ErrorClass.LIMIT, "no_progress", what.sentence))
    elif isinstance(what, End):
        _conclude(move, step, team, what)
    elif not move.run.is_held:
        _go_on(move, step, team, what)


def retry(move: Move, step: Step) -> None:
    """Run once more what failed in the newest turn; where nothing has, the team goes on although it came no further."""
    memo = step.record.memo
    if STALLED in memo:
        memo[FORGIVEN] = memo.pop(STALLED)
        return
    talk = _talk(move.run, step)
    talk.failed = None
    if talk.scopes:
        turns.again(move, talk.scopes[talk.next - 1])


def _talk(run: Execution, step: Step) -> Talk:
    return cast(Talk, run.containers[step.path])


def _missing_from_lock(run: Execution, step: Step) -> StepError | None:
    for _, reference in agents_of(step.node):
        try:
            run.lock.agent(reference)
        except KeyError:
            message = f"{step.path} names the agent {reference!r}, which this version does not hold."
            return StepError(ErrorClass.CONFIG, "unknown_agent", message)
    return None


def _team(run: Execution, step: Step, talk: Talk) -> Team:
    """Return the team as it stands; raise Unusable where `until` cannot be evaluated."""
    config, task = step.node.config, step.record.input["task"]
    text = task if isinstance(task, str) else canonical_json(task).decode()
    label = trust.labels(step, config["task"], "/task").get("/task", trust.AUTHOR)
    agents = [run.lock.agent(reference) for reference in config["members"]]
    team = Team(
        config=config,
        task=marks.marked(config["task"], text, label) if label in marks.UNTRUSTED else text,
        label=label,
        names=names_of(config["members"]),
        about=[". ".join(part for part in (agent.role, agent.goal) if part) for agent in agents],
        said=tuple(talk.said),
        shape=step.node.output_schema,
        asks=step.node.on_error.then == "ask_human",
        forgiven=step.record.memo.get(FORGIVEN, 0),
    )
    return _judged_by_author(run, step, team)


def _judged_by_author(run: Execution, step: Step, team: Team) -> Team:
    """Return the team with what the author's `until` says of a turn in which somebody has spoken."""
    until, last = step.node.config["stop"].get("until"), team.newest.get(SPEAK)
    if until is None or last is None:
        return team
    turn = {"n": last.turn, "by": team.name_of(last), "said": last.text}
    found = values.evaluated(run, step, until, {"turn": turn})
    if not isinstance(found, bool):
        message = f"{until!r} of {step.path} gives {type(found).__name__} in turn {last.turn}, not true or false."
        raise values.Unusable(StepError(ErrorClass.CONFIG, "not_a_condition", message))
    return replace(team, is_good=found)


def _go_on(move: Move, step: Step, team: Team, what: Ask | Speak) -> None:
    made = _made(team, what)
    error = instances.too_many_steps(move.run, step, len(made)) or _too_much(step, made)
    if error:
        give_up(move, step, error)
        return
    talk = _talk(move.run, step)
    if not choosers.is_fresh(team, what):
        turns.go_on(move, talk.scopes[talk.next - 1], made)
        return
    turns.forget_ended(move.run, talk)
    scope = turns.begin(move, talk, made)
    move.log("turn_started", step.path, turn=scope.index, who=[one.raw["title"] for one in made])


def _too_much(step: Step, made: Sequence[Made]) -> StepError | None:
    longest = max(len(one.raw["prompt"]) for one in made)
    if longest <= MAX_RENDERED:
        return None
    message = f"What members of {step.path} would be told has {longest:,} characters; {MAX_RENDERED:,} are allowed."
    return StepError(ErrorClass.LIMIT, "prompt_too_large", f"{message} Set history to last_n or summary.")


def _made(team: Team, what: Ask | Speak) -> list[Made]:
    """Return the steps of those who are asked now."""
    if isinstance(what, Ask):
        agent = briefs.agent_for(team, what.part)
        return [_step(what.part, agent, _title(agent), briefs.to_ask(team, what.part))]
    return [_speech(team, member, what.instruction) for member in what.members]


def _speech(team: Team, member: int, instruction: str) -> Made:
    brief = briefs.to_speak(team, member, instruction)
    return _step(f"{SPEAK}_{member + 1}", team.config["members"][member], _title(team.names[member]), brief)


def _step(name: str, agent: str, title: str, brief: Brief) -> Made:
    raw = {"kind": "agent", "agent": agent, "title": title, "prompt": brief.prompt}
    if brief.schema is not None:
        raw["output_schema"] = brief.schema
    return Made(name, raw, label=brief.label)


def _title(name: str) -> str:
    return name.partition("@")[0].replace("-", " ").replace("_", " ").capitalize()[:LONGEST_TITLE]


def _conclude(move: Move, step: Step, team: Team, end: End) -> None:
    meta: dict[str, Json] = {
        "ended": end.why,
        "why": end.sentence,
        "turns": max((one.turn for one in team.said), default=0),
        "transcript": [_line(team, one) for one in team.said],
    }
    if end.answer and end.answer.get("winner"):
        meta["winner"] = end.answer.get("winner")
    complete(move, step, _result(team, end), meta)


def _result(team: Team, end: End) -> Json:
    """Return the last word: a judge's or moderator's, else what the member said who spoke last."""
    if end.answer:
        return end.answer.get("verdict") if team.config["mode"] == "debate" else end.answer.output
    last = next((one for one in reversed(team.speeches) if one.text), None)
    if last is None or not briefs.shapes_speech(team.config):
        return last and last.output
    messages = last.get("messages")
    return messages[-1]["text"] if messages else last.get("say")


def _line(team: Team, said: Said) -> Json:
    """Return one line of the transcript."""
    by = team.name_of(said) if said.part == SPEAK else briefs.agent_for(team, said.part).partition("@")[0]
    words = said.get("reason", "") if said.part in (CHOOSE, JUDGE) else said.text
    decided = said.output if isinstance(said.output, dict) else {}
    more = {name: value for name, value in decided.items() if name in _DECIDED}
    return {"turn": said.turn, "part": said.part, "by": by, "said": words, **more}


def _turn_failed(step: Step, talk: Talk) -> StepError:
    message = f"Turn {talk.next - 1} of {step.path} failed: {talk.failed['message']}"
    return StepError(class_above(ErrorClass(talk.failed["class"]), talk.failed["code"]), "turn_failed", message)
