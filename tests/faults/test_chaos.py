"""A minute of everything: workers die and freeze, connections are cut, bells lost, while runs of many shapes go on.

The sequence of faults is always the same in `make test`, a new one in `make faults`, and as BATON_CHAOS_SEED says. The
long form, with a database that stops, is the figure R1 of `make faults`.
"""

import os

import pytest

from tests.faults.chaos import SETTLE_SECONDS, Plan, weather
from tests.faults.stage import Stage

SECONDS = 45.0

pytestmark = [pytest.mark.faults, pytest.mark.timeout(int(SECONDS + SETTLE_SECONDS) + 120)]


def test_a_minute_of_kills_cuts_freezes_and_lost_bells_loses_nothing(stage: Stage) -> None:
    weather(stage, Plan(SECONDS, runs=42, waves=6, seed=int(os.environ.get("BATON_CHAOS_SEED", "1"))))
