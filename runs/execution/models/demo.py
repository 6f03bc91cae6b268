"""The built-in models: deterministic, without network, and useful enough to try every template before any key is set.

They only pretend. Their words come from the prompt; the same request always gets the same answer after the same
delay (BATON_DEMO_LATENCY_MS on average, so that a run can be watched).
"""

import asyncio
import hashlib
import json
from collections.abc import Callable

import re2
from django.conf import settings

from pipelines.graph.canonical import canonical_json
from runs.execution.models import demo_documents, demo_leads, demo_tools, talking
from runs.execution.models.samples import Words, instance, overlap
from runs.execution.models.values import ModelAnswer, ModelRequest, Usage
from runs.execution.spans import DEMO_PROVIDER

BYTES_PER_TOKEN = 4
_SUBJECTS = tuple(
    re2.compile(pattern)
    for pattern in (
        r"(?i)\btopic(?: is)?: *([^\n]{2,120})",
        r"(?i)\b(?:article|report|brief|summary|text) (?:about|on) ([^\n]{2,120}?)(?: for |[.\n]|$)",
        r"(?i)\b(?:research|analy[sz]e|describe|review|judge|assess) ([^\n]{2,120}?)(?: for |: |[.?!\n]|$)",
        r"(?i)\babout ([^\n]{2,120}?)(?: for |[.?!\n]|$)",
    )
)
_EMAIL = re2.compile(
    r"(?i)\bemail to ([^\n]{1,120}?)(?: at ([^\n]{1,120}?))?(?: about ([^\n]{1,300}?))?(?:\.?(?:\n|$))"
)
_MARKS = re2.compile(r"</?untrusted[^>]*>")
_BULLET = re2.compile(r"(?m)^ *(?:[-*•]|\d+[.)]) +(.+)$")


class DemoModel:
    """One of demo/echo, demo/writer, demo/judge."""

    provider = DEMO_PROVIDER

    def __init__(self, ref: str) -> None:
        self._ref = ref
        self._speak = _VOICES[ref]

    async def ask(self, request: ModelRequest, idempotency_key: str, may_leave: asyncio.Event) -> ModelAnswer:
        """Return the simulated answer; never fails."""
        del idempotency_key  # answering twice costs nothing
        await may_leave.wait()
        sent = canonical_json([message.as_json() for message in request.messages])
        if delay := settings.DEMO_LATENCY_MS / 1000:
            await asyncio.sleep(delay * (0.6 + 0.8 * hashlib.sha256(sent).digest()[0] / 255))
        led = demo_leads.answer(request) or talking.answer(request, lambda text: _subject(_MARKS.sub("", text)))
        text = led or self._speak(demo_tools.without_notes(request))
        if request.schema is None:
            text = text[: request.max_output * BYTES_PER_TOKEN]
        uses = () if led else demo_tools.wanted(request, text)
        return ModelAnswer(
            text="" if uses else text,
            tool_uses=uses,
            finish="tool_call" if uses else "stop",
            model=self._ref.partition("/")[2],
            usage=Usage(_tokens(sent), _tokens(text.encode())),
        )


def _tokens(data: bytes) -> int:
    return -(-len(data) // BYTES_PER_TOKEN)


def _echo(request: ModelRequest) -> str:
    said = _prompt(request)
    if request.schema is None:
        return said
    return _as_json(request, Words(_subject(said), said, (_subject(said),), said))


def _writer(request: ModelRequest) -> str:
    prompt = _prompt(request)
    system = " ".join(message.text for message in request.messages if message.role == "system").lower()
    if request.schema is None and (quoted := demo_documents.answer(prompt)) is not None:
        return quoted
    words = _email(prompt) or _prose(prompt, system)
    return words.text if request.schema is None else _as_json(request, words)


def _judge(request: ModelRequest) -> str:
    prompt = _prompt(request)
    subject = _subject(prompt)
    points = (
        f"It answers what was asked about {subject}.",
        "The order is easy to follow.",
        "One more concrete example would help.",
    )
    words = Words(f"Good work on {subject}", " ".join(points), points, prompt)
    if request.schema is None:
        return f"Verdict: accept. {words.text}"
    return _as_json(request, words)


_VOICES: dict[str, Callable[[ModelRequest], str]] = {"demo/echo": _echo, "demo/writer": _writer, "demo/judge": _judge}


def _as_json(request: ModelRequest, words: Words) -> str:
    answer = instance(request.schema, words)
    if isinstance(answer, dict) and {"choice", "confidence"} <= answer.keys():
        heard = overlap(answer["choice"], request.schema["properties"]["choice"].get("enum", ()), words)
        answer["confidence"] = round(min(0.95, 0.5 + 0.2 * heard), 2)
        answer["reason"] = f"The text speaks of what {answer['choice']} stands for." if heard else "Nothing fits well."
    return json.dumps(answer, ensure_ascii=False)


def _prompt(request: ModelRequest) -> str:
    """Return the newest message of ours, without the marks around untrusted text."""
    last = next((m for m in reversed(request.messages) if m.role in ("user", "tool")), None)
    return _MARKS.sub("", demo_leads.unframed(last.text)).strip() if last else ""


def _subject(prompt: str) -> str:
    for pattern in _SUBJECTS:
        if match := pattern.search(prompt):
            return str(match.group(1)).strip(" .:'\"")
    return " ".join(prompt.split()[:8]).strip(" .:,'\"") or "the task"


def _given(prompt: str) -> str:
    """Return the material a prompt brings along: what stands after its first blank line."""
    _, _, rest = prompt.partition("\n\n")
    first, _, more = rest.partition("\n")
    return more.strip() if first.endswith(":") and more.strip() else rest.strip()


def _points(text: str) -> list[str]:
    return [str(point).strip() for point in _BULLET.findall(text)]


def _email(prompt: str) -> Words | None:
    if not (match := _EMAIL.search(prompt)):
        return None
    person, company, product = (str(part or "").strip(" .") for part in match.groups())
    fact = next(iter(_points(_given(prompt))), "") or _given(prompt).split("\n")[0]
    offer = product or "an idea"
    body = (
        f"Hello {person},\n\n"
        f"I read up on {company or 'your team'} before writing. {fact.rstrip('.')}.\n\n"
        f"That is why I thought of {offer}: it takes the routine part off the table and leaves the decisions with "
        "you. It can be tried with one team and stopped at any time.\n\n"
        "Would a fifteen-minute call next week be useful?\n\nKind regards"
    )
    return Words(f"An idea for {company or person}"[:60], body, (fact or offer,), prompt)


def _prose(prompt: str, system: str) -> Words:
    subject, given = _subject(prompt), _given(prompt)
    title = subject[:1].upper() + subject[1:]
    if given and ("editor" in system or prompt.lower().startswith("edit ")):
        return Words(title, _tidied(given), _points(given) or (title,), prompt)
    if "steps to solve" in system or "specialist" in system:
        points = _advice(subject)
    else:
        points = _points(given) or _findings(subject)
    if any(word in system for word in ("researcher", "bullet")) and not given:
        return Words(title, "\n".join(f"- {point}" for point in points), points, prompt)
    return Words(title, _article(title, points), points, prompt)


def _tidied(text: str) -> str:
    lines = [line.rstrip() for line in text.splitlines()]
    return "\n".join(line for index, line in enumerate(lines) if line or (index and lines[index - 1]))


def _findings(subject: str) -> list[str]:
    return [
        f"{subject[:1].upper() + subject[1:]} matters most where the same small decision comes back every day.",
        "Those who began with one narrow task report results within weeks; those who began with everything do not.",
        "The cost is easy to measure per finished task, and that is the figure worth watching.",
        "Open question: how well this holds for teams of fewer than five people (not sure).",
    ]


def _advice(subject: str) -> list[str]:
    return [
        f"We have looked at your message about {subject}.",
        "The most likely cause is a repeated request that was processed twice.",
        "A colleague checks the record today and confirms the result in writing.",
    ]


def _article(title: str, points: list[str]) -> str:
    opening = f"{title}: here is what is known, in plain words."
    paragraphs = [point if point.endswith((".", "!", "?", ")")) else f"{point}." for point in points]
    closing = "The next step is small: try it once, measure it, and decide with the figures in hand."
    return "\n\n".join([opening, *paragraphs, closing])
