"""What a manager is asked when a cap refuses a step's next call, or what the run below a step still needs."""

from collections.abc import Mapping

from pipelines.graph.model import Json
from pipelines.graph.money import dollars
from runs.engine import budget, requests
from runs.engine.budget import Refusal
from runs.engine.move import Move
from runs.engine.requests import Question, Who
from runs.engine.scope import Step
from runs.engine.state import Execution
from runs.engine.status import WaitReason


def ask(move: Move, step: Step, refusal: Refusal, memory: Mapping[str, Json] | None = None) -> None:
    """Let a step wait until a manager has allowed its cap more, or has refused to."""
    amount = budget.more_of(move.run, refusal)
    more = f"${dollars(amount)}" if refusal.what == "cost" else f"{amount} {refusal.what}"
    question = Question(
        kind="budget",
        wait=WaitReason.BUDGET,
        title=f"{_whose(refusal)} has reached its cap: allow {more} more?",
        why=refusal.message,
        payload=budget.proposal(refusal.what, amount),
        show=_shown(move.run, refusal),
        memory={
            "cap": refusal.cap,
            "what": refusal.what,
            "amount": amount,
            "code": refusal.code,
            "message": refusal.message,
            "refusal": {**refusal.as_json(), "path": step.path},
            **(memory or {}),
        },
        shared=refusal.cap if refusal.cap.startswith(budget.PERIOD) else "",
    )
    policy = requests.who_by_policy(move.run, step)
    requests.ask(move, step, question, Who(roles=("manager",), expires=policy.expires))


def tell_full(move: Move, step: Step, refusal: Refusal) -> None:
    """Announce that a cap is used up, unless somebody was told, and have the step remember it."""
    alert = budget.alert_at_end(move.run, refusal)
    if alert:
        event, told = alert
        move.decision.events.append(event)
        memo = step.record.memo
        memo["alerted"] = [*memo.get("alerted", ()), list(told)]


def _whose(refusal: Refusal) -> str:
    if refusal.whose:
        return refusal.whose
    if refusal.cap.startswith(budget.PERIOD):
        scope = refusal.code.removesuffix("_cap") if refusal.code in budget.CAPS else "workspace"
        return f"The {scope}'s budget"
    return "The run" if refusal.cap == budget.RUN else f"The step {refusal.cap}"


def _shown(run: Execution, refusal: Refusal) -> dict[str, Json]:
    if refusal.cap.startswith(budget.PERIOD):
        figures = {"spent_usd": dollars(refusal.used), "cap_usd": dollars(refusal.limit), "cap": refusal.code}
        return {**figures, "whose": refusal.whose} if refusal.whose else figures
    return {"spent_usd": dollars(run.spend_of(refusal.cap).spent), "cap": refusal.cap or "run"}
