"""R1: kills, a database and a broker that go and come back, for BATON_CHAOS_SECONDS (600 for a release)."""

import os
import random

import pytest

from tests.faults.chaos import SETTLE_SECONDS, Plan, weather
from tests.faults.figures.telling import tell
from tests.faults.own import OwnDatabase
from tests.faults.stage import Stage

SECONDS = float(os.environ.get("BATON_CHAOS_SECONDS", "60"))
RUNS = max(42, round(SECONDS * 0.35))

pytestmark = [pytest.mark.faults, pytest.mark.timeout(int(SECONDS + SETTLE_SECONDS) + 300)]


def test_r1_everything_at_once_loses_nothing(its_stage: Stage, own_database: OwnDatabase) -> None:
    seed = int(os.environ.get("BATON_CHAOS_SEED", str(random.SystemRandom().randrange(10**6))))
    plan = Plan(SECONDS, RUNS, waves=max(6, round(SECONDS / 8)), seed=seed, prelude=7, database=own_database)
    figures = weather(its_stage, plan)
    per_run = figures["steps"] / figures["runs"]
    values = {"seconds": SECONDS, **figures, "steps_per_run": round(per_run, 1), "lost": 0, "repeated": 0, "gaps": 0}
    tell("R1", values, steps_per_run=(10, 1_000), runs=(200 if SECONDS >= 600 else 42, 10_000))
