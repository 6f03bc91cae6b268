"""The database goes away in the middle of a step: the step waits for it and loses nothing."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection
from psycopg import sql

from accounts.models import Workspace
from runs.engine.facts import StepSucceeded
from runs.execution.models import registry
from runs.execution.steps import carry_out
from runs.models import Note
from tests.execution.contexts import WORKSPACE, MemoryContext, a_tool_step, an_agent, an_agent_step
from tests.execution.test_connections import connected
from tests.model_server import ModelServer

AWAY_SECONDS = 1.2


@pytest.fixture(autouse=True)
def _forget_the_cut_connection(transactional_db: None) -> Iterator[None]:
    yield
    connection.close()


@contextmanager
def closed_database() -> Iterator[None]:
    """Cut every connection to the test's database and let nobody in until the end of the block."""
    parameters = connection.get_connection_params()
    known = {name: parameters[name] for name in ("host", "port", "user", "password") if parameters.get(name)}
    name = str(connection.settings_dict["NAME"])
    with psycopg.connect(dbname="postgres", autocommit=True, **known) as other:

        def admit(allowed: bool) -> None:
            words = sql.SQL("alter database {} allow_connections {}")
            other.execute(words.format(sql.Identifier(name), sql.Literal(allowed)))

        admit(False)
        other.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,))
        try:
            yield
        finally:
            admit(True)


async def carried_out_while_closed(step: MemoryContext) -> Any:
    with closed_database():
        task = asyncio.create_task(carry_out(step))
        await asyncio.sleep(AWAY_SECONDS)
        assert not task.done(), await task
    return await task


async def test_a_note_waits_and_is_written_once() -> None:
    await asyncio.to_thread(Workspace.objects.create, id=WORKSPACE, slug="sample", name="Sample")

    fact = await carried_out_while_closed(a_tool_step("notes.append@1", {"text": "A line."}))

    assert isinstance(fact, StepSucceeded), fact
    assert await asyncio.to_thread(lambda: list(Note.objects.values_list("text", flat=True))) == ["A line."]


async def test_a_model_call_waits_for_its_connection() -> None:
    async with ModelServer() as server:
        await connected(server)

        fact = await carried_out_while_closed(an_agent_step(an_agent("local/m")))

        assert isinstance(fact, StepSucceeded), fact
        assert len(server.calls) == 1
        await registry.close()
