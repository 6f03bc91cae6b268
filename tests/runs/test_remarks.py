"""What a step's page says about how it came to its output."""

from typing import Any

import pytest

from runs.remarks import remarks


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        (None, []),
        ({"model": "m", "turns": 1}, []),
        ({"winner": "long_draft", "missing": []}, ["“Long draft” won."]),
        (
            {"winner": "a", "reason": "Kinder.", "tied": ["b"], "missing": ["c"]},
            ["“A” won: Kinder.", "As good, but listed later: B.", "Did not arrive: C."],
        ),
        (
            {"winner": "a", "reason": "Kinder.", "tied": ["b"], "agreed": False},
            [
                "“A” won: Kinder.",
                "Asked again in the other order, the judge chose another; of those it named the one listed first won.",
            ],
        ),
        ({"winner": "a", "reason": "Kinder.", "tied": [], "agreed": True}, ["“A” won: Kinder."]),
        ({"votes": [], "tied": True, "missing": []}, ["The vote was a tie; of equals the one listed first won."]),
        ({"votes": [], "tied": False, "missing": []}, []),
        ({"history": {"turns": 1, "left_out": 0}}, ["It went on from 1 earlier exchange."]),
        (
            {"history": {"turns": 2, "left_out": 3, "summed_up": 4}},
            ["It went on from 2 earlier exchanges; 4 older summed up; 3 left out, to fit."],
        ),
    ],
)
def test_a_step_says_how_it_came_to_its_output(meta: Any, said: list[str]) -> None:
    assert remarks(meta) == said
