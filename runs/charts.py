"""Charts as numbers for SVG attributes: pure geometry, no colour and no markup."""

from collections.abc import Sequence
from dataclasses import dataclass

from runs.costs import Days

WIDTH, HEIGHT = 780, 196
LEFT, RIGHT, TOP, FLOOR = 52, 776, 14, 168
GAP = 1.0
CAP_IN_SIGHT = 3


@dataclass(frozen=True, slots=True)
class Rect:
    css: str
    x: str
    y: str
    width: str
    height: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """A label on an axis: `at` is its coordinate; for the money axis `micros` is its amount."""

    at: str
    text: str = ""
    micros: int = 0


@dataclass(frozen=True, slots=True)
class Stack:
    rects: Sequence[Rect]
    money: Sequence[Mark]
    days: Sequence[Mark]
    cap_y: str | None


def stacked(days: Days, cap_micros: int | None = None) -> Stack:
    """Return the stacked bars of a month's days, with the daily cap as a line if there is one."""
    highest = max([*days.totals, 1])
    # A cap far above the bars would press them flat; then it is left out.
    cap_micros = cap_micros if cap_micros and cap_micros <= highest * CAP_IN_SIGHT else None
    top = _nice_top(max(highest, cap_micros or 0))
    pitch = (RIGHT - LEFT) / max(len(days.days), 1)
    width = min(pitch * 0.74, 40)
    rects: list[Rect] = []
    for column in range(len(days.days)):
        y = float(FLOOR)
        for series in days.series:
            height = series.micros[column] * (FLOOR - TOP) / top
            if height < 0.2:
                continue
            y -= height
            x = LEFT + column * pitch + (pitch - width) / 2
            rects.append(Rect(series.colour, f"{x:.1f}", f"{y:.1f}", f"{width:.1f}", f"{max(height - GAP, 0.4):.1f}"))
    labels = [
        Mark(f"{LEFT + (column + 0.5) * pitch:.1f}", day.strftime("%-d %b") if not column else str(day.day))
        for column, day in enumerate(days.days)
        if column % max(len(days.days) // 8, 1) == 0
    ]
    money = [Mark(f"{FLOOR - part * (FLOOR - TOP) / 4:.1f}", micros=top * part // 4) for part in range(5)]
    cap_y = f"{FLOOR - cap_micros * (FLOOR - TOP) / top:.1f}" if cap_micros else None
    return Stack(rects, money, labels, cap_y)


def columns(values: Sequence[int], width: float, height: float, gap: float = 2) -> list[Rect]:
    """Return plain bars for a small chart; an empty value keeps a hair of height so that the axis can be read."""
    top = max([*values, 1])
    pitch = width / len(values)
    return [
        Rect(
            "fa" if value else "fs",
            f"{index * pitch:.1f}",
            f"{height - max(value * height / top, 1.5):.1f}",
            f"{pitch - gap:.1f}",
            f"{max(value * height / top, 1.5):.1f}",
        )
        for index, value in enumerate(values)
    ]


def _nice_top(largest: int) -> int:
    """Return the smallest 1, 2, 4, 6 or 8 × 10ⁿ that holds the largest value, so that quarters are round."""
    size = 1
    while size * 10 <= largest:
        size *= 10
    return next(part * size for part in (1, 2, 4, 6, 8, 10) if part * size >= largest)
