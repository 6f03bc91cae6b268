"""How the built-in models lead: they share the task out among the workers once, then finish with what came back."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import re2

from pipelines.graph.model import Json
from runs.execution.models.samples import Words, chosen, instance
from runs.execution.models.values import ModelRequest

_TASK = re2.compile(r"(?s)\nThe task:\n(.*?)\n\nYour workers:\n((?:- [^\n]*\n?)+)")
_WORKER = re2.compile(r"(?m)^- ([^:\n]+): (.*)$")
_BROUGHT = re2.compile(r'(?s)It brought:\n<untrusted source="([^"]*)">(.*?)</untrusted>')
_PIPELINE, _TOOL = "(a pipeline)", "(a tool)"
_TAKES = re2.compile(r"Takes args: (\{.*\})</untrusted>$")
_MARKS = re2.compile(r"</?(?:untrusted|task)[^>]*>")
# How a delegated task begins (`runs.engine.briefing.task_for`).
_FRAME = re2.compile(r"(?s)Your task stands between <task> and </task>[^<]*<task>(.*?)</task>")
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


def unframed(text: str) -> str:
    """Return a text in which a task that a leader has set stands without what is said about it."""
    return str(_FRAME.sub(r"\1", text))


@dataclass(frozen=True, slots=True)
class _Worker:
    """`form` is the JSON Schema of what a pipeline takes, None for who is told in words what to do."""

    name: str
    form: Mapping[str, Json] | None = None

    @property
    def needed(self) -> Mapping[str, Json]:
        """Return the form with the fields that must be filled in; where none must, with all that have no default."""
        form = self.form or {}
        fields: Mapping[str, Json] = form.get("properties") or {}
        wanted = form.get("required") or [name for name, rule in fields.items() if "default" not in rule]
        return {**form, "properties": {name: rule for name, rule in fields.items() if name in wanted}}

    def order(self, subject: str, angle: str) -> dict[str, Json]:
        """Return an order for one side of a subject: in words, or as a pipeline takes it."""
        task = f"Research {subject} and {angle}."
        if self.form is None:
            return {"worker": self.name, "task": task}
        return {"worker": self.name, "args": instance(self.needed, Words(f"{subject}, {angle}", task, [task], task))}


class _Question:
    """What the question says: the task, who may do it (tools are left alone), and what came back."""

    def __init__(self, request: ModelRequest, task: str, workers: str) -> None:
        self.request, self.task = request, _MARKS.sub("", unframed(task)).strip()
        listed = [_worker(str(name), str(about)) for name, about in _WORKER.findall(workers)]
        self.workers = [worker for worker in listed if worker is not None]
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
    count = min(max(3, len(question.workers)), len(_ANGLES))
    workers = [question.workers[index % len(question.workers)] for index in range(count)]
    orders = [worker.order(question.subject, angle) for worker, angle in zip(workers, _ANGLES, strict=False)]
    return {"reason": "These parts do not wait for each other.", "action": "delegate", "delegate": orders}


def _plan(question: _Question) -> Json:
    """Return a plan: two sides are looked at at once, by pipelines first, and the others go on from there in words."""
    pipelines = [worker for worker in question.workers if worker.form is not None]
    writers = [worker for worker in question.workers if worker.form is None]
    if not writers:
        alone = [_part(question, 0, worker) for worker in pipelines[:1]]
        return {"reason": "One part is enough." if alone else "There is nobody to plan for.", "steps": alone}
    parts = [*pipelines, writers[0], writers[0]][:2]
    steps = [_part(question, index, worker) for index, worker in enumerate(parts)]
    before: Sequence[str] = [step["id"] for step in steps]
    for number, worker in enumerate(writers[1:] or writers, 1):
        name = f"text_{number}"
        task = f"Write about {question.subject}."
        steps.append({"id": name, "worker": worker.name, "task": task, "uses": list(before)})
        before = [name]
    return {"reason": "First the parts, then one text.", "steps": steps}


def _part(question: _Question, index: int, worker: _Worker) -> dict[str, Json]:
    return {"id": f"part_{index + 1}", "uses": [], **worker.order(question.subject, _ANGLES[index])}


def _route(question: _Question) -> Json:
    found = Words(question.subject, question.task, (), question.text)
    name = chosen([worker.name for worker in question.workers], found)
    reason = f"The task is what {name} is there for."
    order = next(worker for worker in question.workers if worker.name == name).order(question.subject, _ANGLES[0])
    return {"reason": reason, "worker": name, **({"args": order["args"]} if "args" in order else {})}


def _final(question: _Question) -> Json:
    return {"reason": "Nothing more can be asked for.", "result": question.result}


_ANSWERS = (
    (frozenset({"action", "delegate"}), _step),
    (frozenset({"reason", "steps"}), _plan),
    (frozenset({"reason", "worker"}), _route),
    (frozenset({"reason", "result"}), _final),
)


def _worker(name: str, about: str) -> _Worker | None:
    """Return a worker as the question describes it, None for one whom a demo model gives nothing to do."""
    if about.startswith(_TOOL):
        return None
    if not about.startswith(_PIPELINE):
        return _Worker(name)
    takes = _TAKES.search(about)
    try:
        form = json.loads(takes.group(1)) if takes else None
    except ValueError:  # it was too long to be told whole
        return None
    return _Worker(name, form if isinstance(form, dict) else {})


def _first_line(text: str) -> str:
    line = next((line for line in text.splitlines() if line.strip()), "")
    return line.strip().removeprefix("- ").strip()
