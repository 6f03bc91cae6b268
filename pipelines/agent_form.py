"""The form that edits an agent: what it shows, what was typed, and the fields of the version it describes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from accounts.errors import Refused
from pipelines import schema_fields
from pipelines.graph.freeze import is_pipeline
from pipelines.graph.model import Json
from pipelines.graph.money import dollars
from pipelines.library.agents import AgentFields
from pipelines.models import AgentVersion
from pipelines.schema_fields import Fields

OTHER = "other"
"""What the picker of models sends where the name was written by hand."""
Posted = Mapping[str, Sequence[str]]
_PLACES = {"max_cost_usd": "max_cost", "output_schema": "schema"}


@dataclass(frozen=True, slots=True)
class AgentForm:
    """Everything as text, as it stands in the inputs. `errors` are sentences by the name of the input."""

    name: str = ""
    slug: str = ""
    role: str = ""
    goal: str = ""
    instructions: str = ""
    model: str = "demo/writer"
    other_model: str = ""
    tools: frozenset[str] = frozenset()
    fields: Fields = field(default_factory=Fields)
    max_output: str = "4096"
    temperature: str = ""
    max_cost: str = ""
    fallback: Sequence[str] = ()
    secrets: str = ""
    egress: str = ""
    based_on: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_pipelines(self) -> bool:
        return any(is_pipeline(tool) for tool in self.tools)

    def refused(self, refused: Refused) -> "AgentForm":
        """Return the form with a sentence at the input that is to blame, or above all of them."""
        place = (refused.where or "/").split("/")[1]
        place = _PLACES.get(place, place)
        if place == "schema" and not self.fields.error:
            return replace(self, fields=replace(self.fields, error=refused.message))
        return replace(self, errors={**self.errors, place or "form": refused.message})


def of(version: AgentVersion) -> AgentForm:
    """Return the form as it edits a version."""
    return AgentForm(
        name=version.agent.name,
        slug=version.agent.slug,
        role=version.role,
        goal=version.goal,
        instructions=version.instructions,
        model=version.model,
        tools=frozenset(version.tools),
        fields=schema_fields.shown(version.output_schema),
        max_output=str(version.max_output),
        temperature="" if version.temperature is None else f"{version.temperature:g}",
        max_cost=dollars(version.max_cost_micros) or "",
        fallback=tuple(version.fallback),
        secrets="\n".join(version.secrets),
        egress="\n".join(version.egress),
        based_on=str(version.number),
    )


def typed(posted: Posted) -> AgentForm:
    """Return the form as somebody sent it, unread, after the button of a row that they may have pressed."""

    def text(name: str) -> str:
        return (posted.get(name) or ("",))[-1].replace("\r\n", "\n")

    return AgentForm(
        name=text("name").strip(),
        slug=text("slug").strip(),
        role=text("role").strip(),
        goal=text("goal").strip(),
        instructions=text("instructions"),
        model=text("model"),
        other_model=text("other_model").strip(),
        tools=frozenset(posted.get("tools", ())),
        fields=schema_fields.typed(posted),
        max_output=text("max_output").strip(),
        temperature=text("temperature").strip(),
        max_cost=text("max_cost").strip().removeprefix("$"),
        fallback=_rearranged([one.strip() for one in posted.get("fallback", ())], text("fallback-do")),
        secrets=text("secrets"),
        egress=text("egress"),
        based_on=text("based_on"),
    )


def is_to_be_shown_again(posted: Posted) -> bool:
    """Say whether the form was sent by a button of its rows, which saves nothing."""
    return schema_fields.was_changed(posted) or bool(posted.get("fallback-do"))


def read(form: AgentForm) -> tuple[AgentFields | None, AgentForm]:
    """Return what the form says, or None and the form with sentences at what cannot be read."""
    errors: dict[str, str] = {}
    schema, fields = schema_fields.read(form.fields)
    form = replace(form, fields=fields, fallback=tuple(one for one in form.fallback if one))
    max_output = _number(form.max_output, "max_output", errors, "Write how many tokens as a whole number.")
    warmth = None
    if form.temperature:
        warmth = _number(form.temperature, "temperature", errors, "Write the temperature as a number from 0 to 2.")
    if not form.name:
        errors["name"] = "Give the agent a name."
    form = replace(form, errors=errors)
    if errors or not fields.is_fine or max_output is None:
        return None, form
    return _fields(form, schema, int(max_output), warmth), form


def _fields(form: AgentForm, schema: Json, max_output: int, temperature: float | None) -> AgentFields:
    return AgentFields(
        model=form.other_model if form.model == OTHER else form.model,
        role=form.role,
        goal=form.goal,
        instructions=form.instructions,
        tools=tuple(sorted(form.tools)),
        output_schema=schema,
        max_output=max_output,
        temperature=temperature,
        max_cost_usd=form.max_cost or None,
        fallback=tuple(form.fallback),
        secrets=_lines(form.secrets),
        egress=_lines(form.egress),
    )


def _number(text: str, name: str, errors: dict[str, str], sentence: str) -> float | None:
    try:
        value = int(text) if name == "max_output" else float(text)
        if not abs(value) <= 10**9:  # not a number is refused too
            raise ValueError
    except ValueError:
        errors[name] = sentence
        return None
    return value


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _rearranged(values: list[str], pressed: str) -> tuple[str, ...]:
    act, _, place = pressed.partition("-")
    if act == "add":
        return (*values, "")
    if place.isdecimal() and int(place) < len(values):
        value = values.pop(int(place))
        if act in ("up", "down"):
            values.insert(max(int(place) + (1 if act == "down" else -1), 0), value)
    return tuple(values)
