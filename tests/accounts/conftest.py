"""Fixtures of the tests about people."""

from typing import Any

import pytest

from tests.people import Team, a_team


@pytest.fixture
def team(db: None) -> Team:
    return a_team()


@pytest.fixture(autouse=True)
def _own_addresses(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.accounts.urls"
