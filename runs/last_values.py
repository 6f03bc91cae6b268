"""The values that a step may read, each with what it was in the newest run that has it."""

import json
from collections.abc import Sequence
from dataclasses import replace

from accounts.access import Actor
from pipelines.editor import picking, view
from pipelines.graph.expressions import ExpressionError, references
from pipelines.graph.model import Json
from pipelines.graph.places import Place
from pipelines.graph.reading import Path, path_of
from pipelines.graph.rules.subject import Subject
from runs import step_data, step_tests
from runs.models import Run

LOOKED_AT = 5
LONGEST = 80


def sources(actor: Actor, slug: str, where: str) -> list[picking.Source]:
    """Return what the step at a dotted place may read, as `picking.sources`, with the last values.

    Raises NotFound. Two queries for each run that is looked at, and no more runs than are needed.
    """
    editor = view.editor_of(actor, slug)
    place = step_tests.place_of(editor, where)
    found = picking.sources(Subject(editor.document, editor.library), place)
    runs = step_tests.runs_of(actor, editor.pipeline.pk)[:LOOKED_AT]
    wanted = {_path(value.template) for source in found for value in source.values}
    known = _newest(list(runs), place, [path for path in wanted if path])
    return [
        replace(source, values=[replace(value, last=_said(value.template, known)) for value in source.values])
        for source in found
    ]


def _newest(runs: Sequence[Run], place: Place, wanted: Sequence[Path]) -> dict[Path, Json]:
    known: dict[Path, Json] = {}
    for run in runs:
        left = [path for path in wanted if path not in known]
        if not left:
            break
        known |= step_data.values_in(run, place, left, step_data.path_in(run, place))
    return known


def _path(template: str) -> Path:
    """Return the path of the value that a template reads from, () where it is none that a run keeps."""
    try:
        found = references(template)
    except ExpressionError:
        return ()
    return path_of(found[0]) if len(found) == 1 else ()


def _said(template: str, known: dict[Path, Json]) -> str:
    """Return the last value of a template in few words; "" where there is none."""
    path = _path(template)
    value = known.get(path)
    for segment in references(template)[0].segments[len(path) - 1 :] if path in known else ():
        if isinstance(value, dict):
            value = value.get(str(segment))
        elif isinstance(value, list) and isinstance(segment, int) and segment < len(value):
            value = value[segment]
        else:
            return ""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    words = " ".join(text[: 4 * LONGEST].split())
    return words if len(words) <= LONGEST else f"{words[: LONGEST - 1].rstrip()}…"
