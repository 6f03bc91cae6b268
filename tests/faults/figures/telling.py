"""A figure as it is told: one JSON line, kept for the closing table, and held against its limits."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """What was measured under a name. `limits` has the most (or, as a pair, least and most) a value may be."""

    name: str
    values: dict[str, Any]
    limits: dict[str, float | tuple[float, float]] = field(default_factory=dict)

    @property
    def beyond(self) -> list[str]:
        """Return the names of the values that are not within their limits."""
        return [name for name, limit in self.limits.items() if not _within(self.values[name], limit)]

    def as_json(self) -> dict[str, Any]:
        return {"figure": self.name, **self.values, "limits": self.limits, "ok": not self.beyond}


TOLD: list[Figure] = []


def tell(name: str, values: dict[str, Any], **limits: float | tuple[float, float]) -> None:
    """Print a figure, keep it, and fail when a value is beyond its limit."""
    figure = Figure(name, values, limits)
    TOLD.append(figure)
    print(f"\n{json.dumps(figure.as_json())}", flush=True)
    assert not figure.beyond, f"{name} is beyond its limits: {figure.as_json()}"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed, to the millisecond."""
    ranked = sorted(values)
    return round(ranked[max(0, math.ceil(share * len(ranked)) - 1)], 3)


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Return p50, p99 and the largest of some seconds."""
    return {"p50_s": percentile(seconds, 0.5), "p99_s": percentile(seconds, 0.99), "max_s": round(max(seconds), 3)}


def _within(value: float, limit: float | tuple[float, float]) -> bool:
    least, most = limit if isinstance(limit, tuple) else (-math.inf, limit)
    return least <= value <= most
