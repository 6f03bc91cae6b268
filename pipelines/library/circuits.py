"""Which models, tools and agents of a workspace are left alone for a while because they kept failing."""

from collections.abc import Sequence
from uuid import UUID

from pipelines.models import Circuit

_WITH = " with "


def opened(workspace_id: UUID) -> list[Circuit]:
    """Return the open circuits of a workspace by name. One query."""
    return list(Circuit.objects.filter(workspace_id=workspace_id, opened_at__isnull=False).order_by("subject"))


def of_agent(agent: str, model: str) -> str:
    """Return what the circuit of an agent (slug@number) with a model is about."""
    return f"{agent}{_WITH}{model}"[:400]


def agent_and_model(subject: str) -> tuple[str, str] | None:
    """Return the agent and the model that a circuit is about, None when it is a model's or a tool's."""
    agent, with_, model = subject.partition(_WITH)
    return (agent, model) if with_ else None


def of_connection(found: Sequence[Circuit], connection: str) -> list[tuple[Circuit, str]]:
    """Return those of these circuits that are about a connection, each with what fails in words."""
    models, tools = f"{connection}/", f"mcp.{connection}."
    named = []
    for one in found:
        agent, model = agent_and_model(one.subject) or ("", one.subject)
        if model.startswith(models):
            what = model.removeprefix(models)
            named.append((one, f"agent {agent} with {what}" if agent else what))
        elif one.subject.startswith(tools):
            named.append((one, one.subject.removeprefix(tools).partition("@")[0]))
    return named
