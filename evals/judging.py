"""Asks a model how well an answer meets a rubric: a run of its own, so that it is reserved, journaled and paid for as
every call is, and survives a worker that dies. Which of two answers is better is `evals.choosing`."""

from collections.abc import Mapping

from accounts.access import Actor
from evals.answers import cost_of
from evals.models import Metric
from evals.scorers import Unscored, Verdict, rubric
from pipelines import homes, publish, sharing
from pipelines.graph.canonical import digest
from pipelines.graph.model import Json
from pipelines.graph.money import dollars
from pipelines.models import Pipeline, PipelineVersion
from pipelines.sharing import locks_below
from runs import services
from runs.engine.origin import Ancestor, Origin
from runs.models import Run, Step, Via
from runs.services import Order

TAG = "judge"
_STEP = "judge"
# What one question may cost where the evaluation has a limit.
_CAP_MICROS = 200_000


def key_of(model: str, assertion: Mapping[str, Json], text: str) -> str:
    """Return the digest of what a judge is asked: the same again has been answered already."""
    return digest({"model": model, "rubric": assertion["rubric"], "text": text})


def version_of(actor: Actor, of: Pipeline, model: str, assertion: Mapping[str, Json]) -> PipelineVersion:
    """Return the version that judges a pipeline's answers by this rubric; raise Invalid `not_publishable` where the
    model is unknown."""
    return kept(actor, of, _document(model, str(assertion["rubric"])))


def kept(actor: Actor, of: Pipeline, document: Json) -> PipelineVersion:
    """Return the version of a document by which answers of a pipeline are judged: it is seen by those who see that.

    Raises Invalid `not_publishable` where its model is unknown.
    """
    return publish.freeze_hidden(actor, sharing.home(actor, of, homes.JUDGES, "Judge of", document), document)


def answering(version: PipelineVersion) -> frozenset[str]:
    """Return the models that may answer in a version and in the pipelines it starts, so that none judges itself.

    One query for each level of pipelines.
    """
    return frozenset(model for lock in locks_below(version) for model in lock.get("prices", {}))


def cap_of(left_micros: int | None) -> int | None:
    """Return what one question to a judge may cost of what is left; None without a limit."""
    return None if left_micros is None else min(_CAP_MICROS, left_micros)


def start(
    actor: Actor, version: PipelineVersion, given: Mapping[str, Json], cap_micros: int | None, of: str = ""
) -> Run:
    """Have a judge look at what it is given; the run stops at the cap, where there is one.

    `of` is the slug of the pipeline that wrote it: the judge's run is seen by those who see that.
    """
    above = (Ancestor(of, ""),) if of else ()
    budget = {"max_cost_usd": dollars(cap_micros)}
    order = Order(
        dict(given),
        tags=("evaluation", TAG),
        budget=budget,
        rehearsal=True,
        origin=Origin(unattended=True, ancestors=above).as_json(),
        via=Via.EVALUATION,
    )
    return services.start_version(actor, version, order)


def said(assertion: Mapping[str, Json], run: Run) -> Verdict:
    """Return what an ended run of a judge comes to."""
    cost = cost_of(run)
    step = Step.objects.filter(run=run, path=_STEP, state="succeeded").first()
    scores = ((step.meta or {}).get("scores") or []) if step else []
    if not scores:
        message = (run.error or {}).get("message") or f"its run {run.state}"
        return Unscored(f"The judge did not answer: {message}", cost)
    return rubric.judged(assertion, scores[0], cost)


def recorded(key: str, actor: Actor) -> Metric | None:
    """Return what a judge said the last time it was asked exactly this in the workspace."""
    rows = Metric.objects.filter(key=key, score__isnull=False, result__evaluation__workspace=actor.workspace)
    return rows.order_by("-id").first()


def _document(model: str, asked: str) -> dict[str, Json]:
    rule = {"rule": "ai_rubric", "rubric": asked.replace("${", "$${"), "model": model, "min_score": 0}
    return {
        "format": "baton.pipeline",
        "format_version": "1.0",
        "id": "judge",
        "name": "Judge of evaluations",
        "inputs": {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}},
        "graph": {
            "nodes": {
                "start": {"kind": "input"},
                _STEP: {"kind": "check", "value": "${input.text}", "rules": [rule], "mode": "warn"},
                "result": {"kind": "output", "value": f"${{steps.{_STEP}.output}}"},
            },
            "edges": [{"from": "start", "to": _STEP}, {"from": _STEP, "to": "result"}],
        },
    }
