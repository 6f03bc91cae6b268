"""Charts as numbers for SVG attributes: pure geometry, no colour and no markup."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runs.spending.rise import Factor
from runs.stacks import Stack as Spent

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
    """`ahead` is where what is still to come is drawn, and `ahead_y` what a day of it is thought to cost."""

    rects: Sequence[Rect]
    money: Sequence[Mark]
    days: Sequence[Mark]
    cap_y: str | None
    ahead: Rect | None = None
    ahead_y: str = ""


def stacked(spent: Spent, cap_micros: int | None = None, ahead: tuple[int, int] | None = None) -> Stack:
    """Return stacked bars, one for each column, with the daily cap as a line if there is one.

    `ahead` is how many days are still to come and what each is thought to cost; only columns of days have it.
    """
    if spent.unit != "day":
        cap_micros, ahead = None, None
    more, daily = ahead or (0, 0)
    highest = max([*spent.totals, daily, 1])
    # A cap far above the bars would press them flat; then it is left out.
    cap_micros = cap_micros if cap_micros and cap_micros <= highest * CAP_IN_SIGHT else None
    top = _nice_top(max(highest, cap_micros or 0))
    count = len(spent.columns)
    pitch = (RIGHT - LEFT) / max(count + more, 1)
    last = spent.columns[-1].last + dt.timedelta(days=1)
    starts = [*(column.first for column in spent.columns), *(last + dt.timedelta(days=day) for day in range(more))]
    money = [Mark(f"{_height(part * top / 4, top):.1f}", micros=top * part // 4) for part in range(5)]
    cap_y = f"{_height(cap_micros, top):.1f}" if cap_micros else None
    drawn = Stack(_bars(spent, pitch, top), money, _labels(starts, pitch, spent.unit), cap_y)
    if not more:
        return drawn
    x = LEFT + count * pitch
    region = Rect("ahead", f"{x:.1f}", f"{TOP}", f"{RIGHT - x:.1f}", f"{FLOOR - TOP}")
    return Stack(drawn.rects, drawn.money, drawn.days, cap_y, region, f"{_height(daily, top):.1f}")


def _height(micros: float, top: int) -> float:
    return FLOOR - micros * (FLOOR - TOP) / top


def _bars(spent: Spent, pitch: float, top: int) -> list[Rect]:
    width = min(pitch * 0.74, 40)
    rects: list[Rect] = []
    for column in range(len(spent.columns)):
        y = float(FLOOR)
        for series in spent.drawn:
            height = series.micros[column] * (FLOOR - TOP) / top
            if height < 0.2:
                continue
            y -= height
            x = LEFT + column * pitch + (pitch - width) / 2
            rects.append(Rect(series.colour, f"{x:.1f}", f"{y:.1f}", f"{width:.1f}", f"{max(height - GAP, 0.4):.1f}"))
    return rects


def _labels(starts: Sequence[dt.date], pitch: float, unit: str) -> list[Mark]:
    every = max(len(starts) // 8, 1)
    shown = [(number, day) for number, day in enumerate(starts) if number % every == 0]
    is_plain = [unit == "day" and number > 0 and day.month == starts[0].month for number, day in shown]
    return [
        Mark(f"{LEFT + (number + 0.5) * pitch:.1f}", str(day.day) if plain else day.strftime("%-d %b"))
        for (number, day), plain in zip(shown, is_plain, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Pier:
    """A bar of the bridge from one sum to another: its label stands above it, its name below."""

    rect: Rect
    name: str
    middle: str
    label_y: str
    micros: int
    is_sum: bool = False


@dataclass(frozen=True, slots=True)
class Bridge:
    """`floor_micros` is the amount at which the bars begin."""

    piers: Sequence[Pier]
    floor_micros: int


BRIDGE_HEIGHT, BRIDGE_TOP, BRIDGE_FLOOR = 190, 28, 150


def bridge(before: int, parts: Mapping[Factor, int], now: int, names: Mapping[Factor, str]) -> Bridge:
    """Return bars that lead from what was spent before, by what changed it, to what was spent now."""
    levels = [before]
    for part in parts.values():
        levels.append(levels[-1] + part)
    low, high = min(*levels, now), max(*levels, now, 1)
    floor = max(0, low - (high - low) // 2) if low > (high - low) else 0
    pitch = (RIGHT - 8) / (len(parts) + 2)

    def y(micros: int) -> float:
        return BRIDGE_FLOOR - (micros - floor) * (BRIDGE_FLOOR - BRIDGE_TOP) / max(high - floor, 1)

    def pier(number: int, ends: tuple[int, int], named: tuple[str, str], micros: int) -> Pier:
        top, bottom = y(max(ends)), y(min(ends))
        x = 8 + number * pitch
        rect = Rect(
            named[1], f"{x + pitch * 0.14:.1f}", f"{top:.1f}", f"{pitch * 0.72:.1f}", f"{max(bottom - top, 2):.1f}"
        )
        return Pier(rect, named[0], f"{x + pitch / 2:.1f}", f"{top - 7:.1f}", micros, named[1] == "fm")

    piers = [pier(0, (floor, before), ("Before", "fm"), before)]
    for number, (factor, micros) in enumerate(parts.items()):
        ends = (levels[number], levels[number + 1])
        piers.append(pier(number + 1, ends, (names[factor], "fd" if micros > 0 else "fg" if micros else "co"), micros))
    return Bridge([*piers, pier(len(parts) + 1, (floor, now), ("Now", "fm"), now)], floor)


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
