"""Homes have names of their own, each of which fits its column."""

import pytest

from pipelines import homes
from pipelines.models import Pipeline

KINDS = (homes.AGENTS, homes.JUDGES, homes.STEPS)


@pytest.mark.parametrize("length", [1, 56, 57, 58, 59, 63])
def test_the_home_of_every_name_fits_and_is_its_own(length: int) -> None:
    name, other = "a" * length, "b" + "a" * (length - 1)
    slugs = [homes.slug_of(kind, one) for kind in KINDS for one in (name, other)]
    assert len(set(slugs)) == len(slugs)
    assert max(map(len, slugs)) <= (Pipeline._meta.get_field("slug").max_length or 0)
