"""What people and operators change while runs are under way: the pipeline, its agents, and the tables themselves."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from django.db import connection

from pipelines import drafts, publish
from pipelines.library import agents
from pipelines.library.agents import AgentFields
from pipelines.models import Agent
from runs.models import Run
from tests.faults import newer_schema
from tests.faults.newer_schema import Schema
from tests.faults.serving import WebServer
from tests.faults.stage import NOBODY_DIES, Stage, books_balance, finished_twice, has_no_gap
from tests.people import bearer

WIDENED = import_module("runs.migrations.0025_paths_and_ports_of_any_length")
pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


def test_a_pipeline_and_its_agents_changed_and_put_away_in_the_middle_change_no_run(stage: Stage) -> None:
    pipeline = stage.chain(4, 1500)
    first = stage.worker("w1")
    run = stage.start(pipeline)
    stage.wait_for_call("a2")
    for agent in Agent.objects.all():
        agents.new_version(stage.composer, agent, AgentFields("stub/stub-0ms", instructions="Say something else."))
    document = pipeline.draft.document
    document["graph"]["nodes"]["a4"]["prompt"] = "[run=${input.run} step=changed]"
    drafts.save(stage.composer, pipeline, document, pipeline.draft.revision)
    publish.publish(stage.composer, pipeline)
    pipeline.refresh_from_db()
    drafts.archive(stage.composer, pipeline)
    first.kill()  # another worker reads everything anew, from the version that the run pinned
    stage.worker("w2")
    now = stage.wait(run, seconds=60)
    assert now.state == "succeeded", stage.explain(run)
    assert stage.asked() == {"a1": 1, "a2": 2, "a3": 1, "a4": 1}
    assert {call["model"] for call in stage.models.ask("/admin/calls")} == {"stub-1500ms"}
    assert finished_twice(now) == []
    assert books_balance(now)


EXPAND = "alter table {table} add column spare text default 'empty'"
CONTRACT = "alter table {table} drop column spare"
TABLES = ("runs_run", "runs_step", "runs_call", "runs_event", "runs_inbox", "pipelines_pipelineversion")


@pytest.fixture
def spare_columns_removed(transactional_db: None):  # type: ignore[no-untyped-def]
    yield
    _migrate(CONTRACT.replace("drop column", "drop column if exists"))


def test_tables_that_grow_and_shrink_in_the_middle_of_runs_disturb_nobody(
    stage: Stage, spare_columns_removed: None
) -> None:
    chain = stage.chain(3, 200)
    worker = stage.worker("w1")
    for number, change in enumerate((None, EXPAND, CONTRACT)):
        slow = stage.start(chain, f"slow-{number}")
        stage.wait_for_call("a1", f"slow-{number}")
        if change:
            _migrate(change)
        # Claimed several times over, on connections that know their statements from before the change.
        for run in (slow, *(stage.start(chain, f"r{number}-{k}") for k in range(8))):
            now = stage.wait(run, seconds=60)
            assert (now.state, now.epoch) == ("succeeded", 1), stage.explain(run)
            assert has_no_gap(now)
            assert books_balance(now)
    assert "cached plan" not in worker.log.read_text()


def test_columns_that_widen_while_workers_read_them_disturb_nobody(stage: Stage) -> None:
    chain = stage.chain(2, 200)
    worker = stage.worker("w1")
    widened = [WIDENED._altered(table) for table in WIDENED.READ]
    for number, changes in enumerate(((), [one.reverse_sql for one in widened], [one.sql for one in widened])):
        slow = stage.start(chain, f"slow-{number}")
        stage.wait_for_call("a1", f"slow-{number}")
        for change in changes:
            with connection.cursor() as cursor:
                cursor.execute(change)
        for run in (slow, *(stage.start(chain, f"r{number}-{k}") for k in range(8))):
            now = stage.wait(run, seconds=60)
            assert now.state == "succeeded", stage.explain(run)
            assert has_no_gap(now)
            assert books_balance(now)
    assert "cached plan" not in worker.log.read_text()


def test_a_run_that_waits_through_a_migration_goes_on_after_it(stage: Stage, spare_columns_removed: None) -> None:
    from approvals import services
    from approvals.models import Approval
    from approvals.policy import Decision

    args = {"to": "ana@northwind.example", "subject": "Hello", "body": "Good morning."}
    nodes = {
        "start": {"kind": "input"},
        "send": {"kind": "tool", "tool": "email.send@1", "args": args},
        "end": {"kind": "output", "value": "${steps.send.output}"},
    }
    pipeline = stage.pipeline("mail", nodes, ["start>send", "send>end"])
    stage.worker("w1")
    run = stage.wait(stage.start(pipeline), "waiting")
    _migrate(EXPAND)
    question = Approval.objects.get(run=run)
    services.decide(stage.bob, question.pk, Decision("approve", payload_hash=question.payload_hash))
    assert stage.wait(run, seconds=60).state == "succeeded"
    assert len(stage.mails()) == 1


# The version before, on the schema of the next one


@pytest.fixture
def web(stage: Stage, tmp_path: Path) -> Iterator[WebServer]:
    server = WebServer(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def schema(stage: Stage) -> Iterator[Schema]:
    schema = Schema()
    yield schema
    schema.put_back()


PAGES = ("/", "/runs/", "/pipelines/", "/approvals/", "/costs/", "/runs/{run}/", "/pipelines/{pipeline}/")


@pytest.mark.timeout(400)
def test_web_and_workers_of_the_version_before_work_on_while_the_schema_grows_and_afterwards(
    stage: Stage, web: WebServer, schema: Schema
) -> None:
    first = stage.worker("w1", **NOBODY_DIES)
    chain = stage.chain(3, 200)
    token = bearer(stage.composer.user, stage.team.workspace)

    def started(marker: str) -> Run:
        answer = web.post(f"/pipelines/{chain.slug}/runs", token, {"input": {"run": marker}})
        return Run.objects.get(pk=answer["id"])

    for migration in newer_schema.migrations():
        markers = [f"{migration.name}-{when}" for when in ("before", "after", "next")]
        runs = [started(markers[0])]
        stage.wait_for_call("a1", markers[0])
        schema.grow(migration)
        runs += [started(marker) for marker in markers[1:]]
        for run, marker in zip(runs, markers, strict=True):
            _ended_well(stage, run, marker)
        for page in PAGES:
            assert web.page(page.format(run=runs[0].pk, pipeline=chain.slug), stage.composer.user)
    publish.publish(stage.composer, chain)  # writes a version, with the code of before
    first.stop()
    stage.worker("w2", **NOBODY_DIES)  # of the code before, begun on the schema of the next version
    _ended_well(stage, started("last"), "last")
    assert web.status("/readyz") == 200
    assert "cached plan" not in stage.logs()
    assert "Traceback" not in web.log.read_text()


def _ended_well(stage: Stage, run: Run, marker: str) -> None:
    now = stage.wait(run, seconds=60)
    assert now.state == "succeeded", stage.explain(run)
    assert stage.asked(marker) == {"a1": 1, "a2": 1, "a3": 1}, stage.explain(run)
    assert finished_twice(now) == []
    assert has_no_gap(now)
    assert books_balance(now)


def _migrate(change: str) -> None:
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(change.format(table=table))
