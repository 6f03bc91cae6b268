"""Fixtures of the tests about what may run."""

import pytest

from tests.people import Team, a_team


@pytest.fixture
def team(db: None) -> Team:
    return a_team()
