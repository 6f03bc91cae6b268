"""Fixtures of the tests of pages."""

import pytest

from tests.pages.builders import World, a_world


@pytest.fixture
def world(db: None) -> World:
    return a_world()
