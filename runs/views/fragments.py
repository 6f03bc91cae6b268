"""The live fragments of a run's page: what the socket sends and what a page fetches to close a gap.

A frame is `{"seq", "from", "n", "content"}`: the numbers of the last and first event it stands for, their count, and
HTML in which every part names the element it replaces (`hx-partial`) or joins (`hx-upsert`).
"""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.template.loader import render_to_string

from accounts.access import Actor, get
from runs import canvas, health, inspection, replay, tallies
from runs.engine.status import RunState
from runs.models import Event, Run, Step
from runs.snapshot import one_snapshot

MOST_PARTS = 500
# What no fragment shows: a frame must not cost more where the pipeline, or what was given to the run, is large.
_UNSEEN = [f"{run}{column}" for run in ("", "parent__", "forked_from__") for column in ("input", "output")]
_UNSEEN += ["parent__origin", "forked_from__origin", "version__document", "version__lock"]
# After these a page must ask what its reader may do now.
ACTS = frozenset({"approval_requested", "approval_decided", "run_paused", "run_resumed"})


def frame(actor: Actor, run_id: UUID | str, paths: Iterable[str], span: tuple[int, int]) -> dict[str, Any]:
    """Return the frame for the events from `span[0]` to `span[1]`, which touched these paths."""
    first, last = span
    content = render_changes(_run_of(actor, run_id), set(paths), last, after=first - 1)
    return {"seq": last, "from": first, "n": last - first + 1, "content": content}


def since(actor: Actor, run_id: UUID | str, after: int) -> tuple[str, int]:
    """Return the fragments of everything after a seq, and the seq they stand for."""
    run = _run_of(actor, run_id)
    touched = Event.objects.filter(run=run, seq__gt=after, seq__lte=run.seq, path__isnull=False)
    paths = {str(path) for path in touched.order_by().values_list("path", flat=True).distinct()[:MOST_PARTS]}
    return render_changes(run, paths, run.seq, after=after), run.seq


def render_changes(run: Run, paths: set[str], seq: int, *, after: int | None = None) -> str:
    """Return the parts that changed with these paths: cards, outline lines, step rows, strip, new log lines.

    Times in it are UTC with `data-at`; each page says them in its reader's zone.
    """
    drawn = canvas.picture_of(run)
    changed = {tallies.place_of(path) for path in paths}
    around = {place.rsplit(".", depth)[0] for place in changed for depth in range(1, place.count(".") + 1)}
    wanted, routes = (changed | around) & drawn.by_place.keys(), canvas.routes_near(drawn, changed)
    cards = canvas.cards(run, drawn, canvas.known_for(drawn, wanted, routes))
    steps = Step.objects.filter(run=run, path__in=list(paths)[:MOST_PARTS]).defer(*tallies.HEAVY)
    events = inspection.events(run, after, seq) if after is not None else []
    log = inspection.log_lines(run, events)
    context = {
        "run": run,
        "seq": seq,
        "cards": [card for card in cards if card.placed.place in wanted],
        "edges": canvas.states_of(routes, cards),
        "rows": inspection.step_rows(list(steps)),
        "log": log,
        "progress": health.one(run),
        "elapsed": inspection.elapsed(run),
        "receipt": inspection.receipt_of(run),
        "moment": {"seq": seq, "last": seq, "at": events[0].at, "words": log[0].words} if events else None,
        "asks": any(event.type in ACTS for event in events),
        "ended": RunState(run.state).is_terminal,
    }
    return render_to_string("runs/_changes.html", context)


def at(actor: Actor, run_id: UUID | str, seq: int, shown: int) -> tuple[str, int]:
    """Return the parts that show the run after the event `seq`, and that number: those that look different after the
    event `shown`, which the page has on it; all where that is 0. Without `seq` it is the run as it is now."""
    with one_snapshot():
        run = _run_of(actor, run_id)
        drawn = canvas.picture_of(run)
        moment = replay.moment(run, drawn, seq or run.seq)
        before = replay.moment(run, drawn, shown) if shown else None
        context = {
            "run": moment.run,
            "moment": moment,
            "past": not moment.is_now,
            "cards": replay.differing(before.cards if before else (), moment.cards),
            "edges": dict(moment.edges.items() - (before.edges.items() if before else ())),
            "progress": moment.progress,
            "elapsed": moment.elapsed,
            "receipt": inspection.receipt_of(run) if moment.is_now else None,
        }
        return render_to_string("runs/_at.html", context), moment.seq


def workspace_frame(actor: Actor) -> dict[str, Any]:
    """Return the frame of the workspace's socket: the page fetches its own counts, which differ by person."""
    return {"look": "again", "workspace": actor.workspace.slug}


def _run_of(actor: Actor, run_id: UUID | str) -> Run:
    return get(Run.objects.select_related(*inspection.NAMED).defer(*_UNSEEN), actor, pk=run_id)
