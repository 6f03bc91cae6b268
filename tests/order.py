"""In which order files of tests run: what waits beside what computes, and the longest first."""

from collections import defaultdict
from itertools import chain

import pytest


def spread_waiting(items: list[pytest.Item]) -> None:
    """Spread the files that wait for processes evenly among those that compute: processes of pytest-xdist, which take
    file after file, then do not all wait at once. Of each kind the longest come first, so that none is left at the end.
    """
    files: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        files[item.nodeid.partition("::")[0]].append(item)
    waiting = [tests for tests in files.values() if _waits(tests[0])]
    computing = [tests for tests in files.values() if not _waits(tests[0])]
    placed = [*_places(waiting), *_places(computing)]
    placed.sort(key=lambda place: place[0])
    items[:] = chain.from_iterable(tests for _, tests in placed)


def _waits(item: pytest.Item) -> bool:
    return item.get_closest_marker("faults") is not None


def _places(files: list[list[pytest.Item]]) -> list[tuple[float, list[pytest.Item]]]:
    longest_first = sorted(files, key=_length, reverse=True)
    return [((place + 0.5) / len(files), tests) for place, tests in enumerate(longest_first)]


def _length(tests: list[pytest.Item]) -> tuple[float, int]:
    """Tell files apart by how long a test of theirs may take, as far as one says so, then by how many there are."""
    marks = [mark for item in tests if (mark := item.get_closest_marker("timeout"))]
    return max((float(mark.args[0]) for mark in marks if mark.args), default=0.0), len(tests)
