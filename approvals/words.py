"""What an approval says to people: the action as a sentence, its risk in words, its values made safe to print."""

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipelines.graph.model import Json

LONGEST_VALUE = 120
LONGEST_TITLE = 300


@dataclass(frozen=True, slots=True)
class Risk:
    """How bad a mistake would be, in the words every screen uses; the icon and `tone` (hi, md, lo) repeat them."""

    word: str
    icon: str
    tone: str


CANNOT_BE_UNDONE = Risk("Cannot be undone", "triangle-alert", "hi")
LEAVES_BATON = Risk("Leaves Baton", "arrow-up-right", "md")
REVERSIBLE = Risk("Reversible", "undo-2", "lo")

STAYS_INSIDE = frozenset({"crm.log", "notes.append"})


def risk(action: Json) -> Risk | None:
    """Return the risk of an approval's action, or None when nothing would be done to the world."""
    if not isinstance(action, Mapping) or not action.get("tool"):
        return None
    if action.get("effect", "irreversible") == "irreversible":
        return CANNOT_BE_UNDONE
    return REVERSIBLE if _name(str(action["tool"])) in STAYS_INSIDE else LEAVES_BATON


def sentence(kind: str, title: str, payload: Json) -> str:
    """Return in one plain sentence what happens if the answer is yes, or what is asked."""
    if isinstance(payload, Mapping) and isinstance(payload.get("tool"), str) and isinstance(payload.get("args"), dict):
        told = _of_call(payload["tool"], payload["args"])
        return f"{told} The last try may or may not have worked." if kind == "outcome_unknown" else told
    if title:
        return plain(title, LONGEST_TITLE)
    return _GENERIC.get(kind, "Somebody has to answer this before the run goes on.")


def plain(value: Json, limit: int = LONGEST_VALUE) -> str:
    """Return a value as one line of printable text, cut to `limit` characters.

    Control and format characters are dropped: text from a model may carry line breaks that fake a second line, or
    marks that turn the reading direction round and so show one address as another.
    """
    text = value if isinstance(value, str) else ", ".join(_parts(value, limit))
    line = " ".join("".join(_visible(c) for c in text[: limit * 4]).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


_GENERIC = {
    "approve": "Approve or reject this before the run goes on.",
    "edit": "Read this, change what is wrong, and approve it.",
    "answer": "Answer the question so that the run can go on.",
    "failure": "A step failed. Say how the run goes on.",
    "budget": "The run has reached its cap. Let it spend more, or stop it.",
    "outcome_unknown": "A call was cut off and nobody knows whether it worked. Say how the run goes on.",
}


def _email(args: Mapping[str, Json]) -> str:
    return f"Send an email to {plain(args.get('to'))} with the subject “{plain(args.get('subject'))}”."


def _request(args: Mapping[str, Json]) -> str:
    verb = {"GET": "Read", "HEAD": "Look at", "DELETE": "Delete"}.get(str(args.get("method")).upper(), "Send data to")
    told = f"{verb} {plain(args.get('url'))} ({plain(args.get('method'), 10).upper()} request)."
    named = args.get("secret_headers")
    if not isinstance(named, Mapping) or not named:
        return told
    names = sorted({plain(str(value).rpartition(" ")[2], 63) for value in named.values()})
    return f"{told} It sends the secret {' and '.join(names[:3])}."


def _crm(args: Mapping[str, Json]) -> str:
    return f"Log a note about {plain(args.get('contact'))} in the CRM: “{plain(args.get('note'))}”."


def _note(args: Mapping[str, Json]) -> str:
    return f"Add a note: “{plain(args.get('text'))}”."


_SENTENCES: Mapping[str, Callable[[Mapping[str, Json]], str]] = {
    "email.send": _email,
    "http.request": _request,
    "crm.log": _crm,
    "notes.append": _note,
}


def _of_call(tool: str, args: Mapping[str, Json]) -> str:
    write = _SENTENCES.get(_name(tool))
    if write:
        return write(args)
    if tool.startswith("mcp."):
        server, _, name = _name(tool).removeprefix("mcp.").partition(".")
        run = f"{plain(name, 80)} at the server {plain(server, 80)}"
    else:
        run = plain(tool, 80)
    told = "; ".join(f"{plain(name, 40)}: {plain(value, 60)}" for name, value in list(args.items())[:4])
    return f"Run {run} with {told}." if told else f"Run {run}."


def _name(tool: str) -> str:
    return tool.split("@", 1)[0]


def _visible(character: str) -> str:
    if character.isspace():
        return " "
    return "" if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn") else character


def _parts(value: Json, limit: int) -> list[str]:
    match value:
        case None:
            return ["nothing"]
        case bool():
            return ["yes" if value else "no"]
        case list():
            return [plain(item, limit) for item in value[:20]]
        case dict():
            return [f"{plain(key, 40)} {plain(item, 40)}" for key, item in list(value.items())[:20]]
        case _:
            return [str(value)]
