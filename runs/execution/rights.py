"""What a call may use besides its tool: the secrets and hosts of the agent that wants it, and names nobody else chose.

Asked before an approval is asked for, so that nobody approves what would be refused; the wire asks again.
"""

from collections.abc import Mapping

from yarl import URL

from pipelines.graph.hosts import is_among
from pipelines.graph.model import Json
from runs.engine.decision import Start
from runs.engine.facts import ErrorClass
from runs.engine.trust import MODEL, TOOL
from runs.execution.failures import Failure

SECRET_HEADERS = "secret_headers"  # noqa: S105  (the name of an argument)


def egress_of(start: Start, agent: str) -> tuple[str, ...]:
    """Return the only hosts that a call of this agent may reach; none: any, as for the author of a step."""
    return start.agent.egress if agent and start.agent else ()


def check(start: Start, agent: str, args: Mapping[str, Json]) -> None:
    """Raise a `denied` Failure for a host or a secret that was not granted, or one that a model or a tool named."""
    only = egress_of(start, agent)
    if only and isinstance(args.get("url"), str) and not is_among(host := _host(args["url"]), only):
        message = f"{agent} may not reach {host or 'this address'}. It may reach {', '.join(only[:10])}."
        raise Failure(ErrorClass.DENIED, "egress_not_granted", message)
    named = args.get(SECRET_HEADERS)
    if isinstance(named, Mapping) and named:
        _check_secrets(start, agent, [name_of(str(value)) for value in named.values()])


def name_of(value: str) -> str:
    """Return the secret's name in the value of a header: “Bearer crm-key” names crm-key."""
    return value.rpartition(" ")[2]


def _check_secrets(start: Start, agent: str, names: list[str]) -> None:
    if agent:
        granted = start.agent.secrets if start.agent else ()
        if missing := [name for name in names if name not in granted]:
            message = f"{agent} may not use the secret {missing[0]!r}. Grant it in the agent's next version."
            raise Failure(ErrorClass.DENIED, "secret_not_granted", message)
        return
    where = f"/args/{SECRET_HEADERS}"
    for pointer, label in start.trust.items():
        if label in (MODEL, TOOL) and (pointer in ("/args", where) or pointer.startswith(f"{where}/")):
            message = f"A {label} named the secret that {start.path} would send. Write its name into the step."
            raise Failure(ErrorClass.DENIED, "untrusted_secret", message)


def _host(url: str) -> str:
    try:
        return URL(url).raw_host or ""
    except ValueError:
        return ""
