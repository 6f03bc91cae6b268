"""A collector hears of runs on real workers exactly what the rows say, whatever happens to workers and to itself."""

from typing import Any

import pytest

from pipelines.models import Pipeline
from runs.models import Run, Span, SpanExport
from tests.collector import Collector, Taken
from tests.conftest import free_port, wait_for
from tests.faults.stage import Stage

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


@pytest.fixture
def stage(its_stage: Stage) -> Stage:
    """On a database server of its own: spans wait for whatever transaction is open there, also for other tests'."""
    return its_stage


TOPIC = {"type": "object", "properties": {"run": {"type": "string"}}}


def a_family(stage: Stage) -> Pipeline:
    """Publish a pipeline whose two items each ask an agent, and which then calls another pipeline twice as deep."""
    ask = {"kind": "agent", "agent": stage.agent("asker"), "prompt": "[run=${input.run} step=leaf] go"}
    leaf: dict[str, Any] = {"start": {"kind": "input"}, "ask": ask, "end": {"kind": "output", "value": "done"}}
    stage.pipeline("leaf", leaf, ["start>ask", "ask>end"], inputs=TOPIC)
    call = {"kind": "pipeline", "pipeline": "leaf", "inputs": {"run": "${input.run}"}}
    middle = {"start": {"kind": "input"}, "call": call, "end": {"kind": "output", "value": "done"}}
    stage.pipeline("middle", middle, ["start>call", "call>end"], inputs=TOPIC)
    item = {"kind": "agent", "agent": stage.agent("reader"), "prompt": "[run=${input.run} step=item] ${item}"}
    inner = {"nodes": {"read": item}, "edges": []}
    nodes: dict[str, Any] = {
        "start": {"kind": "input"},
        "each": {"kind": "each", "over": ["a", "b"], "graph": inner},
        "call": {**call, "pipeline": "middle"},
        "end": {"kind": "output", "value": "done"},
    }
    return stage.pipeline("top", nodes, ["start>each", "each>call", "call>end"], inputs=TOPIC)


def watched(stage: Stage, collector: Collector, **environment: str) -> None:
    """Start a worker that tells the collector, and wait until it has looked where to begin."""
    stage.worker("w1", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **environment)
    wait_for(SpanExport.objects.exists, 60, stage.logs)


def everybody(run: Run) -> list[Run]:
    found, above = [run], [run]
    while above:
        above = list(Run.objects.filter(parent__in=above))
        found += above
    return found


def as_rows(run: Run) -> dict[str, dict[str, Any]]:
    """Return what the rows of a run and all below it say of each span but of those around children's roots."""
    rows = Span.objects.filter(run__in=everybody(run))
    return {
        row.span_id: {
            "trace": run.pk.hex,
            "parent": row.parent_span_id,
            "name": row.name,
            "error": row.status == "error",
            "us": round((row.end - row.start).total_seconds() * 1_000_000),
            "told": row.attributes,
            "micros": row.cost_micros,
        }
        for row in rows
    }


def as_told(spans: dict[str, Taken], rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return the same of what the collector was told."""
    found = {}
    for name, span in spans.items():
        told = span["attributes"]
        cost = told.get("baton.cost.usd")
        row = rows[name]
        attributes = {key: value for key, value in told.items() if key in row["told"] and key != "baton.cost.usd"}
        found[name] = {
            **{key: span[key] for key in ("trace", "parent", "name", "error")},
            "us": (span["end"] - span["start"]) // 1000,
            "told": attributes | ({"baton.cost.usd": row["told"]["baton.cost.usd"]} if cost else {}),
            "micros": None if cost is None else round(cost * 1_000_000),
        }
    return found


def tree(spans: dict[str, Taken]) -> Any:
    """Return the names below each other, as (name, [below]) sorted by name."""

    def below(parent: str | None) -> list[Any]:
        return sorted((span["name"], below(name)) for name, span in spans.items() if span["parent"] == parent)

    return below(None)


def test_the_tree_that_a_collector_sees_is_the_one_in_the_rows(stage: Stage) -> None:
    with Collector() as collector:
        pipeline = a_family(stage)
        watched(stage, collector)
        run = stage.wait(stage.start(pipeline))
        assert run.state == "succeeded", stage.explain(run)
        rows = as_rows(run)
        wait_for(lambda: len(collector.by_id()) == len(rows), 60, stage.logs)
        spans = collector.by_id()
        assert len(collector.spans) == len(spans), "nothing twice"
        assert all(not name.startswith("gen_ai.system") for span in spans.values() for name in span["attributes"])
        told = as_told(spans, rows)
        for name, row in rows.items():
            if row["parent"] is None and told[name]["name"] != "invoke_workflow top":
                row["parent"] = told[name]["parent"]  # of children: looked at below
        assert told == rows
        chat = ["chat stub-0ms", []]
        item = ("invoke_agent reader", [tuple(chat)])
        leaf = ("invoke_workflow leaf", [("invoke_agent asker", [tuple(chat)]), ("step end", []), ("step start", [])])
        call = ("invoke_workflow call", [leaf])
        middle = ("invoke_workflow middle", [call, ("step end", []), ("step start", [])])
        ends = [("step each", [item, item]), ("step end", []), ("step start", [])]
        assert tree(spans) == [("invoke_workflow top", [("invoke_workflow call", [middle]), *ends])]


def test_a_repaired_attempt_has_a_span_of_its_own_and_no_call_stands_below_nothing(stage: Stage) -> None:
    with Collector() as collector:
        schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
        agent = stage.agent("counter", output_schema=schema)
        stage.models.ask("/admin/script", [{"kind": "not_json", "times": 100}])
        ask = {"kind": "agent", "agent": agent, "prompt": "[run=${input.run} step=a1] no JSON"}
        nodes = {"start": {"kind": "input"}, "ask": ask, "end": {"kind": "output", "value": "done"}}
        pipeline = stage.pipeline("repaired", nodes, ["start>ask", "ask>end"])
        watched(stage, collector)
        run = stage.wait(stage.start(pipeline))
        total = Span.objects.filter(run=run).count()
        wait_for(lambda: len(collector.by_id()) == total, 60, stage.logs)
        spans = collector.by_id()
        attempts = [span for span in spans.values() if span["attributes"].get("baton.step.path") == "ask"]
        attempts = [span for span in attempts if span["attributes"].get("gen_ai.operation.name") == "invoke_agent"]
        assert len(attempts) > 1, "it was asked again"
        assert all(span["parent"] in spans for span in spans.values() if span["parent"])
        assert all(span["error"] for span in attempts)


def test_killed_workers_and_a_collector_that_goes_and_comes_lose_no_span(stage: Stage) -> None:
    port = free_port()
    collector = Collector(port)
    pipeline = stage.chain(4, 1500)  # so long that something is still to be sent when the worker dies
    watched(stage, collector)
    runs = [stage.start(pipeline, f"r{n}") for n in range(4)]
    wait_for(lambda: len(collector.spans) > 3, 30, stage.logs)
    stage.workers[0].kill()
    collector.stop()
    heard = collector.spans
    stage.worker("w2", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    for run in runs:
        assert stage.wait(run, seconds=60).state == "succeeded", stage.explain(run)
    SpanExport.objects.update(held_until=None, next_at=None)
    wait_for(lambda: SpanExport.objects.get().failures > 0, 30, stage.logs)
    with Collector(port) as back:
        SpanExport.objects.update(next_at=None)
        wanted = set(Span.objects.filter(run__in=runs).values_list("span_id", flat=True))
        wait_for(lambda: {span["id"] for span in heard} | set(back.by_id()) == wanted, 60, stage.logs)
