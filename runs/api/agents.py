"""Try an agent out, without drawing a pipeline for it."""

from typing import Any

from django.http import HttpRequest
from ninja import Router, Status
from pydantic import Field

from accounts.access import Capability, actor_of, get, require
from accounts.schemas import Body
from pipelines.models import Agent, AgentVersion
from runs import agent_tests
from runs.api import shapes

router = Router(tags=["library"])


class TestBody(Body):
    prompt: str = Field(min_length=1, max_length=agent_tests.LONGEST_PROMPT)
    version: int | None = Field(None, ge=1, le=2**31 - 1, description="null for the newest")
    max_cost_usd: str | None = Field(
        None, max_length=40, description="where the test stops; null for no cap of its own"
    )


@router.post("/agents/{slug}/test", response={202: Any}, summary="Rehearse an agent with one prompt")
def test(request: HttpRequest, slug: str, body: TestBody) -> Status[Any]:
    actor = actor_of(request)
    require(actor, Capability.RUN)
    agent = get(Agent, actor, slug=slug)
    versions = AgentVersion.objects.filter(agent=agent)
    if body.version is None:
        version = versions.order_by("-number")[0]
    else:
        version = get(versions, actor, through="agent__workspace", number=body.version)
    return Status(202, shapes.run(agent_tests.start(actor, agent, version, body.prompt, body.max_cost_usd)))
