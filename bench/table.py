"""Lines of figures: printed as JSON as they come, and medians of same-round ratios at the end."""

import json
import math
import os
import statistics
from collections.abc import Mapping, Sequence
from typing import Any


def told(line: Mapping[str, Any]) -> None:
    """Print a line of figures, and append it to the file that OUT names."""
    text = json.dumps(line)
    print(text, flush=True)
    if out := os.environ.get("OUT"):
        with open(out, "a") as file:
            file.write(text + "\n")


def conditions() -> dict[str, Any]:
    """Return what the machine was doing: figures of different conditions are not to be compared."""
    one, five, _ = os.getloadavg()
    return {"cores": os.cpu_count(), "load_1m": round(one, 2), "load_5m": round(five, 2)}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return p50, p95, p99 and the largest of some milliseconds."""
    ranked = sorted(values)
    at = {f"p{share}": ranked[max(0, math.ceil(share / 100 * len(ranked)) - 1)] for share in (50, 95, 99)}
    return {f"{name}_ms": round(value, 1) for name, value in {**at, "max": ranked[-1]}.items()}


def ratio_of(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """Return the median, least and largest of ours ÷ theirs, round by round."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True) if b]
    return {
        "ratio": round(statistics.median(ratios), 3),
        "least": round(min(ratios), 3),
        "largest": round(max(ratios), 3),
        "rounds": len(ratios),
    }
