"""The built-in models: always the same words, of the shape that was asked for, useful for each sample agent."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.graph import schemas
from runs.engine.facts import StepSucceeded
from runs.execution.models.samples import Words, instance
from runs.execution.steps import carry_out
from tests.execution.contexts import an_agent, an_agent_step

GALLERY = Path(__file__).resolve().parents[2] / "pipelines" / "gallery"
AGENTS: dict[str, Any] = json.loads((GALLERY / "agents.json").read_text())
FIELDS = ("role", "goal", "instructions", "output_schema", "max_output")


async def said_by(name: str, prompt: str) -> Any:
    agent = an_agent(AGENTS[name]["model"], **{key: AGENTS[name][key] for key in FIELDS if key in AGENTS[name]})
    fact = await carry_out(an_agent_step(agent, prompt))
    assert isinstance(fact, StepSucceeded), fact
    return fact.output


@pytest.mark.parametrize("name", AGENTS)
async def test_every_sample_agent_answers_on_its_demo_model(name: str) -> None:
    output = await said_by(name, "Research Northwind Traders. We offer: a scheduling assistant for delivery fleets.")

    assert output
    if schema := AGENTS[name].get("output_schema"):
        assert schemas.findings(schema, output) == []
    else:
        assert "Northwind Traders" in output


async def test_the_content_pipeline_s_words_lead_from_research_to_the_finished_article() -> None:
    notes = await said_by("researcher", "Collect what matters about this topic: Solar roofs\nIt is for home owners.")
    article = await said_by("writer", f"Write a short article about Solar roofs for home owners.\n\nNotes:\n{notes}")
    edited = await said_by("editor", f"Edit this article:\n\n{article}")

    assert notes.startswith("- Solar roofs")
    assert all(line.removeprefix("- ").rstrip(".") in article for line in notes.splitlines())
    assert edited.startswith("Solar roofs: here is what is known")


async def test_the_outreach_mail_greets_its_reader_and_uses_the_research() -> None:
    prompt = (
        "Write an email to Maya Lindqvist at Northwind Traders about a scheduling assistant.\n\n"
        'Research:\n<untrusted source="model">They deliver to 40 towns. They hire drivers.</untrusted>'
    )

    mail = await said_by("outreach-writer", prompt)

    assert mail["subject"] == "An idea for Northwind Traders"
    assert mail["body"].startswith("Hello Maya Lindqvist,")
    assert "They deliver to 40 towns" in mail["body"]
    assert "untrusted" not in mail["body"]


async def test_the_same_request_has_the_same_answer_and_cost() -> None:
    steps = [an_agent_step(an_agent("demo/writer"), "Describe tea.") for _ in range(2)]
    for step in steps:
        await carry_out(step)

    first, second = (step.outcomes[0] for step in steps)
    assert (first.response, first.cost_micros) == (second.response, second.cost_micros)
    assert first.cost_micros


async def test_the_delay_can_be_watched(settings: Any) -> None:
    settings.DEMO_LATENCY_MS = 100
    began = time.monotonic()

    await carry_out(an_agent_step(an_agent("demo/echo"), "hello"))

    assert time.monotonic() - began >= 0.055


async def test_an_echo_says_the_prompt_back() -> None:
    fact = await carry_out(an_agent_step(an_agent("demo/echo"), "Say this."))

    assert isinstance(fact, StepSucceeded)
    assert fact.output == "Say this."


_LEAVES = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "minLength": 3, "maxLength": 9},
        {"type": "integer", "minimum": 1, "maximum": 5},
        {"type": "number", "minimum": 0, "maximum": 1},
        {"type": "boolean"},
        {"type": "null"},
        {"enum": ["low", "high"]},
        {"const": 7},
        {"type": ["string", "null"]},
        {"anyOf": [{"type": "integer"}, {"type": "string"}]},
    ]
)
_SCHEMAS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from(["title", "body", "score", "items"]), inner, max_size=3).map(
            lambda found: {"type": "object", "required": list(found), "properties": found}
        ),
        st.tuples(inner, st.integers(0, 4)).map(
            lambda found: {"type": "array", "items": found[0], "minItems": found[1]}
        ),
    ),
    max_leaves=8,
)


@given(_SCHEMAS, st.text(max_size=60))
def test_a_sample_fits_the_schema_it_was_made_for(schema: Any, text: str) -> None:
    value = instance(schema, Words(text, text, text.split(), text))

    assert schemas.findings(schema, value) == []
