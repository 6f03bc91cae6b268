"""What a run has paid for, step by step, and where a cap stopped it: which one, what it had, what was refused."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Count, Q

from pipelines.graph.model import Json
from runs.engine.budget import PERIOD
from runs.models import Call, LedgerEntry, Run, Step

MOST_LINES = 1_000


@dataclass(frozen=True, slots=True)
class Line:
    """One step that made model calls; `cost_micros` is what is settled."""

    path: str
    title: str
    cost_micros: int
    calls: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """`lines` has the dearest steps first. `stopped_by` is None unless a cap ended the run, else
    {scope, what, limit, used, asked, path, code, message}: money as dollars in text, `path` the refused step."""

    run: Run
    lines: Sequence[Line]
    stopped_by: Json = None


def of(run: Run) -> Receipt:
    """Return a run's receipt so far. Two queries."""
    calls = _calls(run)
    paid = Step.objects.filter(Q(cost_micros__gt=0) | Q(path__in=list(calls)[:MOST_LINES]), run=run)
    rows = paid.order_by("-cost_micros", "position").values_list("path", "title", "cost_micros")[:MOST_LINES]
    lines = [Line(path, title, cost, calls.get(path, 0)) for path, title, cost in rows]
    return Receipt(run, lines, _stopped_by(run.error))


def _calls(run: Run) -> Mapping[str, int]:
    """Return how many model calls each step made; where retention has removed those, the ledger knows."""
    if run.content_removed_at is not None:
        entries = LedgerEntry.objects.filter(run=run, kind=LedgerEntry.Kind.RESERVED)
        return Counter(path.rpartition("@")[0] for path in entries.values_list("path", flat=True))
    calls = Call.objects.filter(run=run, kind="model").order_by().values_list("path")
    return dict(calls.annotate(count=Count("id")).values_list("path", "count"))


def _stopped_by(error: Json) -> Json:
    if not isinstance(error, dict) or error.get("class") != "budget" or not isinstance(error.get("cap"), dict):
        return None
    cap = dict(error["cap"])
    name = str(cap.pop("cap"))
    if name.startswith(PERIOD):
        scope = {"pipeline_cap": "pipeline", "tag_cap": "tag"}.get(str(error["code"]), "workspace")
    else:
        scope = name if name == "run" else f"step {name}"
    return {"scope": scope, **cap, "code": error["code"], "message": error["message"]}
