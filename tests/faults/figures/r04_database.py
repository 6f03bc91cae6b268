"""R4: PostgreSQL stopped at once for ten seconds: no run is lost, and they go on soon after it is back."""

import pytest

from tests.faults.figures.telling import tell
from tests.faults.own import OwnDatabase
from tests.faults.stage import Stage
from tests.faults.test_database import a_death_of_ten_seconds

LIMITS = {"progress_after_s": 15, "lost": 0}

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]


def test_r4_a_database_that_dies_costs_seconds(its_stage: Stage, own_database: OwnDatabase) -> None:
    for name in ("w1", "w2"):
        its_stage.worker(name)
    tell("R4", a_death_of_ten_seconds(its_stage, own_database), **LIMITS)
