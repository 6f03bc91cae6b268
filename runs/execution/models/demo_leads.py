"""How the built-in models lead: they share the task out among the workers once, then finish with what came back."""

import json
from collections.abc import Mapping, Sequence

import re2

from pipelines.graph.model import Json
from runs.execution.models.samples import Words, chosen, instance
from runs.execution.models.values import ModelRequest

_TASK = re2.compile(r"(?s)\nThe task:\n(.*?)\n\nYour workers:\n((?:- [^\n]*\n?)+)")
_WORKER = re2.compile(r"(?m)^- ([^:\n]+): (.*)$")
_BROUGHT = re2.compile(r'(?s)It brought:\n<untrusted source="([^"]*)">(.*?)</untrusted>')
_MARKS = re2.compile(r"</?(?:untrusted|task)[^>]*>")
_SUBJECTS = tuple(
    re2.compile(rf"(?i)\b{words} +([^\n.?!]{{2,120}})") for words in ("about", "(?:on|into)", "(?:question:|topic:)")
)
_ANGLES = ("what is known", "its costs", "its risks", "what is new", "what people say")


def answer(request: ModelRequest) -> str | None:
    """Return what a demo model answers to a leader's question, None when it is asked anything else."""
    asked = frozenset((request.schema or {}).get("properties", ())) if isinstance(request.schema, Mapping) else ()
    found = _TASK.search("\n".join(message.text for message in request.messages if message.role == "user"))
    speak = next((said for fields, said in _ANSWERS if fields <= set(asked)), None)
    if speak is None or not found:
        return None
    return json.dumps(speak(_Question(request, found.group(1), found.group(2))), ensure_ascii=False)


class _Question:
    """What the question says: the task, who may do it (tools and pipelines are left alone), and what came back."""

    def __init__(self, request: ModelRequest, task: str, workers: str) -> None:
        self.request, self.task = request, _MARKS.sub("", task).strip()
        listed = [(str(name), str(about)) for name, about in _WORKER.findall(workers)]
        self.workers = [name for name, about in listed if not about.startswith(("(a tool)", "(a pipeline)"))]
        self.text = "\n".join(message.text for message in request.messages if message.role == "user")
        self.brought = [(str(who), str(what)) for who, what in _BROUGHT.findall(self.text)]

    @property
    def subject(self) -> str:
        for pattern in _SUBJECTS:
            if match := pattern.search(self.task):
                return str(match.group(1)).strip()
        return " ".join(self.task.split()[:8]).strip(" .:,")

    @property
    def result(self) -> Json:
        """Return a result that quotes what each worker brought, in the shape that was asked for."""
        lines = [f"- {who}: “{_first_line(what)}”" for who, what in self.brought]
        text = "\n".join([f"{self.subject[:1].upper()}{self.subject[1:]}: what was found.", "", *lines])
        schema = self.request.schema["properties"].get("result") or {}
        if schema.get("type") == "string":
            return text
        return instance(schema, Words(self.subject, text, [line[2:] for line in lines] or [text], self.task))


def _step(question: _Question) -> Json:
    if question.brought or not question.workers:
        return {"reason": "All parts are there.", "action": "finish", "result": question.result, "progress": True}
    count = max(3, len(question.workers))
    orders = [
        {"worker": question.workers[index % len(question.workers)], "task": _part(question.subject, index)}
        for index in range(min(count, len(_ANGLES)))
    ]
    return {"reason": "These parts do not wait for each other.", "action": "delegate", "delegate": orders}


def _plan(question: _Question) -> Json:
    """Return a plan: the first worker looks at two sides at once, each of the others goes on from there."""
    if not question.workers:
        return {"reason": "There is nobody to plan for.", "steps": []}
    first, *others = question.workers
    steps = [_planned(f"part_{index + 1}", first, _part(question.subject, index), ()) for index in range(2)]
    before: Sequence[str] = [step["id"] for step in steps]
    for number, worker in enumerate(others or [first], 1):
        name = f"text_{number}"
        steps.append(_planned(name, worker, f"Write about {question.subject}.", before))
        before = [name]
    return {"reason": "First the parts, then one text.", "steps": steps}


def _planned(name: str, worker: str, task: str, uses: Sequence[str]) -> dict[str, Json]:
    return {"id": name, "worker": worker, "task": task, "uses": list(uses)}


def _route(question: _Question) -> Json:
    worker = chosen(question.workers, Words(question.subject, question.task, (), question.text))
    return {"reason": f"The task is what {worker} is there for.", "worker": worker}


def _final(question: _Question) -> Json:
    return {"reason": "Nothing more can be asked for.", "result": question.result}


_ANSWERS = (
    (frozenset({"action", "delegate"}), _step),
    (frozenset({"reason", "steps"}), _plan),
    (frozenset({"reason", "worker"}), _route),
    (frozenset({"reason", "result"}), _final),
)


def _part(subject: str, index: int) -> str:
    return f"Research {subject} and {_ANGLES[index]}."


def _first_line(text: str) -> str:
    line = next((line for line in text.splitlines() if line.strip()), "")
    return line.strip().removeprefix("- ").strip()
