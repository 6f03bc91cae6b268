"""Files that wait run between files that compute, the longest first, and no test is left out."""

from tests.order import spread_waiting


class Marked:
    """What the order asks of a test."""

    def __init__(self, nodeid: str, **marks: object) -> None:
        self.nodeid = nodeid
        self._marks = marks

    def get_closest_marker(self, name: str) -> object:
        return self._marks.get(name)


class Mark:
    def __init__(self, *args: int) -> None:
        self.args = args


def test_files_that_wait_are_spread_among_the_others_and_the_longest_come_first() -> None:
    tests = [
        *(Marked(f"short.py::{n}") for n in range(2)),
        *(Marked(f"long.py::{n}") for n in range(5)),
        Marked("middle.py::0", timeout=Mark()),
        *(Marked(f"middle.py::{n}") for n in range(1, 4)),
        *(Marked(f"some_kills.py::{n}", faults=Mark()) for n in range(3)),
        Marked("chaos.py::0", faults=Mark(), timeout=Mark(285)),
    ]
    placed = list(tests)
    spread_waiting(placed)  # type: ignore[arg-type]
    files = [item.nodeid.partition("::")[0] for item in placed]
    assert list(dict.fromkeys(files)) == ["long.py", "chaos.py", "middle.py", "some_kills.py", "short.py"]
    assert sorted(item.nodeid for item in placed) == sorted(item.nodeid for item in tests)
    assert files == sorted(files, key=list(dict.fromkeys(files)).index)
