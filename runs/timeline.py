"""A run as a waterfall: a row per step and per call, with bars in percent of the shown time."""

import datetime as dt
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.utils import timezone

from pipelines.canvas import spoken
from pipelines.words import Look, look_of
from runs.engine import paths
from runs.engine.status import RunState, StepState, WaitReason
from runs.models import Event, Run, Span, Step
from runs.sentences import instance_of
from runs.tallies import HEAVY
from runs.words import PERSON_WAITS, Badge, badge_of

MAX_ROWS = 1_000
_INSTANCE = re.compile(r"[\[#~>]")
_NICE_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400)
_BAR = {"agent": "w-agent", "team": "w-agent", "supervisor": "w-agent", "tool": "w-tool", "check": "w-judge"}
_OUTSIDE = frozenset({WaitReason.EVENT, WaitReason.TIMER, WaitReason.LOCK})
_TIMED = ("step_started", "step_waiting", "step_retrying", "step_succeeded", "step_failed", "step_cancelled")


@dataclass(frozen=True, slots=True)
class Bar:
    """A piece of a row. `left` and `width` are percent of the axis."""

    left: str
    width: str
    css: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line. A call under a step has no `look` and no `badge`."""

    path: str
    title: str
    depth: int
    bars: Sequence[Bar]
    seconds: float | None
    cost_micros: int | None
    look: Look | None = None
    badge: Badge | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    left: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Waterfall:
    rows: Sequence[Row]
    ticks: Sequence[Tick]
    seconds: float
    now: str | None
    hidden: int
    waited: float


@dataclass(frozen=True, slots=True)
class _Piece:
    start: dt.datetime
    end: dt.datetime
    css: str
    reason: str = ""

    @property
    def waits(self) -> bool:
        """Tell whether nothing of the run worked meanwhile: it waited for a person, an event, a time, its turn."""
        return self.css == "w-wait" or self.reason in _OUTSIDE


@dataclass(frozen=True)
class _Axis:
    """Moments to percent. With gaps, the time in which nothing worked takes no room."""

    start: dt.datetime
    end: dt.datetime
    gaps: Sequence[tuple[dt.datetime, dt.datetime]] = ()
    _ends: list[dt.datetime] = field(init=False)
    _cut: list[float] = field(init=False)

    def __post_init__(self) -> None:
        total, cut = 0.0, []
        for gap_start, gap_end in self.gaps:
            total += (gap_end - gap_start).total_seconds()
            cut.append(total)
        object.__setattr__(self, "_ends", [gap[1] for gap in self.gaps])
        object.__setattr__(self, "_cut", cut)

    def offset(self, moment: dt.datetime) -> float:
        """Return the seconds of shown time before a moment."""
        passed = bisect_right(self._ends, moment)
        cut = self._cut[passed - 1] if passed else 0.0
        if passed < len(self.gaps) and moment > self.gaps[passed][0]:
            cut += (moment - self.gaps[passed][0]).total_seconds()
        return (moment - self.start).total_seconds() - cut

    @property
    def seconds(self) -> float:
        return max(self.offset(self.end), 0.001)

    def percent(self, moment: dt.datetime) -> float:
        return min(max(self.offset(moment) * 94 / self.seconds, 0.0), 100.0)

    def bar(self, piece: _Piece) -> Bar:
        left, right = self.percent(piece.start), self.percent(piece.end)
        return Bar(f"{left:.2f}%", f"{max(right - left, 0.25):.2f}%", piece.css)


def waterfall(run: Run, *, with_waiting: bool = True) -> Waterfall:
    """Return the rows of a run's timeline; without waiting, time in which only people were waited for is cut out.

    Four queries. At most `MAX_ROWS` steps are drawn; `hidden` says how many are not.
    """
    steps = list(Step.objects.filter(run=run).defer(*HEAVY).order_by("position", "id")[: MAX_ROWS + 1])
    hidden = max(Step.objects.filter(run=run).count() - MAX_ROWS, 0) if len(steps) > MAX_ROWS else 0
    now = timezone.now()
    start, end = run.started_at or run.created_at, run.finished_at or now
    pieces = {step.path: step_pieces for step, step_pieces in _pieces(run, steps[:MAX_ROWS], end)}
    gaps = [] if with_waiting else _idle(start, end, pieces.values())
    axis = _Axis(start, end, gaps)
    waited = sum((piece.end - piece.start).total_seconds() for row in pieces.values() for piece in row if piece.waits)
    return Waterfall(
        rows=_rows(run, steps[:MAX_ROWS], pieces, axis),
        ticks=_ticks(axis.seconds),
        seconds=axis.seconds,
        now=None if RunState(run.state).is_terminal else "94%",
        hidden=hidden,
        waited=waited,
    )


def _pieces(run: Run, steps: Sequence[Step], end: dt.datetime) -> Iterable[tuple[Step, list[_Piece]]]:
    moments: dict[str, list[Event]] = {}
    for event in Event.objects.filter(run=run, type__in=_TIMED).order_by("seq"):
        moments.setdefault(event.path or "", []).append(event)
    for step in steps:
        yield step, _pieces_of(step, moments.get(step.path, []), end)


def _pieces_of(step: Step, events: Sequence[Event], end: dt.datetime) -> list[_Piece]:
    """Cut a step's life at its events: each attempt, each wait, each pause before a retry is a piece of its own."""
    own = _BAR.get(step.kind, "w-ctl")
    pieces: list[_Piece] = []
    for event, following in zip(events, [*events[1:], None], strict=False):
        until = following.at if following else (step.finished_at or end)
        if event.type == "step_started":
            pieces.append(_Piece(event.at, until, _attempt_css(step, own, following)))
        elif event.type == "step_waiting":
            reason = str(event.payload.get("reason"))
            pieces.append(_Piece(event.at, until, "w-wait" if reason in PERSON_WAITS else "w-ghost", reason))
        elif event.type == "step_retrying":
            pieces.append(_Piece(event.at, until, "w-ghost"))
    if not pieces and step.started_at and "reused" not in step.flags:  # what another run did took no time of this one
        pieces.append(_Piece(step.started_at, step.finished_at or end, _attempt_css(step, own, None)))
    return pieces


def _attempt_css(step: Step, own: str, following: Event | None) -> str:
    if following is not None and following.type in ("step_failed", "step_retrying"):
        return "w-bad"
    if following is None and step.state == StepState.WAITING:
        return "w-wait" if step.wait_reason in PERSON_WAITS else "w-ghost"
    if following is None and step.state == StepState.FAILED:
        return "w-bad"
    return "w-run" if following is None and step.finished_at is None else own


def _idle(
    start: dt.datetime, end: dt.datetime, rows: Iterable[Sequence[_Piece]]
) -> list[tuple[dt.datetime, dt.datetime]]:
    """Return the stretches in which no piece worked."""
    busy = sorted((piece.start, piece.end) for row in rows for piece in row if not piece.waits)
    gaps, reached = [], start
    for piece_start, piece_end in busy:
        if piece_start > reached:
            gaps.append((reached, piece_start))
        reached = max(reached, piece_end)
    return [*gaps, (reached, end)] if end > reached else gaps


def _rows(run: Run, steps: Sequence[Step], pieces: dict[str, list[_Piece]], axis: _Axis) -> list[Row]:
    calls: dict[str, list[Span]] = {}
    for span in Span.objects.filter(run=run, kind="client").order_by("start", "id")[:MAX_ROWS]:
        calls.setdefault(span.path or "", []).append(span)
    rows = []
    for step in _nested(steps):
        depth = step.path.count(".") + step.path.count("/")
        rows.append(_step_row(step, depth, pieces[step.path], axis))
        rows.extend(_call_row(span, depth + 1, axis) for span in calls.get(step.path, []))
    return rows


def _nested(steps: Sequence[Step]) -> list[Step]:
    """Order steps as they became ready, those inside a container right after it."""
    position = {step.path: step.position for step in steps}
    began: dict[str, int] = {}
    for step in steps:
        for prefix in paths.scopes_of(step.path):
            began[prefix] = min(step.position, began.get(prefix, step.position))

    def key(step: Step) -> list[tuple[int, int, str]]:
        parts, prefix = [], ""
        for part in step.path.split("."):
            name = _INSTANCE.split(part)[0]
            number = part.removeprefix(name).strip("[]#")
            # Turns and delegations are numbered each for themselves, so that only their beginning tells their order.
            order = int(number) if number.isdigit() else began.get(f"{prefix}{part}.", 0)
            parts.append((position.get(f"{prefix}{name}", step.position), order, part))
            prefix = f"{prefix}{part}."
        parts[-1] = (step.position, *parts[-1][1:])
        return parts

    return sorted(steps, key=key)


def _step_row(step: Step, depth: int, pieces: Sequence[_Piece], axis: _Axis) -> Row:
    ended = step.finished_at or (axis.end if step.started_at else None)
    return Row(
        path=step.path,
        title=_title(step),
        depth=depth,
        bars=[axis.bar(piece) for piece in pieces],
        seconds=(ended - step.started_at).total_seconds() if ended and step.started_at and pieces else None,
        cost_micros=None if step.unpriced_calls and not step.cost_micros else step.cost_micros,
        look=look_of(step.kind),
        badge=badge_of(step),
    )


def _title(step: Step) -> str:
    title, instance = step.title or spoken(step.node), instance_of(step.path)
    return f"{instance.capitalize()} · {title}" if instance else title


def _call_row(span: Span, depth: int, axis: _Axis) -> Row:
    css = "w-bad" if span.status == "error" else "w-agent" if span.model else "w-tool"
    return Row(
        path=span.path or "",
        title=span.name,
        depth=depth,
        bars=[axis.bar(_Piece(span.start, span.end, css))],
        seconds=(span.end - span.start).total_seconds(),
        cost_micros=span.cost_micros if span.model else 0,
    )


def _ticks(seconds: float) -> list[Tick]:
    step = next((size for size in _NICE_STEPS if seconds / size <= 9), _NICE_STEPS[-1])
    count = min(int(seconds * 0.94 // step), 40)  # none so near the end that it would cover "now"
    return [Tick(f"{index * step * 94 / seconds:.2f}%", index * step) for index in range(count + 1)]
