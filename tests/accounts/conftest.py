"""Fixtures of the tests about people."""

from typing import Any

import pytest

from tests.people import Team, a_team


@pytest.fixture
def team(db: None) -> Team:
    return a_team()


@pytest.fixture(autouse=True)
def _cheap_hashes(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _own_addresses(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.accounts.urls"


@pytest.fixture
def site_addresses(_own_addresses: None, settings: Any) -> None:
    settings.ROOT_URLCONF = "orchestrator_site.urls"
