"""Keyset paging: every row once and in order, also while rows come and go."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.core import signing

from accounts import audit
from accounts.errors import Invalid
from accounts.models import AuditEntry, Membership, Secret
from accounts.paging import LIMIT, MOST, page
from tests.people import Team, signed_in_as


def walk(queryset: Any, key: Any, limit: int) -> list[Any]:
    rows, cursor = [], None
    while True:
        found = page(queryset, cursor, limit, key)
        rows += found["items"]
        cursor = found["next"]
        if cursor is None:
            return rows


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("key", ["seq", "-seq", "id", "-id", "-at", ("action", "target"), ("-action", "target")])
def test_pages_join_to_the_whole_in_order(team: Team, limit: int, key: Any) -> None:
    for number in range(5):
        audit.record(team.workspace, "x", f"action_{number % 2}", str(number))
    names = [key] if isinstance(key, str) else list(key)
    sign = "-" if names[0].startswith("-") else ""
    ordered = AuditEntry.objects.order_by(*(sign + name.removeprefix("-") for name in names), f"{sign}id")
    assert walk(AuditEntry.objects.all(), key, limit) == list(ordered)


def test_rows_of_the_same_moment_are_not_lost(team: Team) -> None:
    Membership.objects.update(created_at=datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC))
    assert len(walk(Membership.objects.all(), "-created_at", 2)) == 6


def test_a_row_that_comes_meanwhile_does_not_shift_the_next_page(team: Team) -> None:
    for name in "bdf":
        Secret.objects.create(workspace=team.workspace, name=name, ciphertext=b"")
    first = page(Secret.objects.all(), None, 2, "name", lambda row: row.name)
    Secret.objects.create(workspace=team.workspace, name="a", ciphertext=b"")
    assert first["items"] == ["b", "d"]
    assert page(Secret.objects.all(), first["next"], 2, "name", lambda row: row.name) == {"items": ["f"], "next": None}


def test_a_page_has_fifty_rows_and_never_more_than_two_hundred(team: Team) -> None:
    Secret.objects.bulk_create(
        Secret(workspace=team.workspace, name=f"s{number}", ciphertext=b"") for number in range(MOST + 5)
    )
    assert len(page(Secret.objects.all(), None, None, "name")["items"]) == LIMIT
    assert len(page(Secret.objects.all(), None, 10_000, "name")["items"]) == MOST


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "a:b",
        signing.dumps(["x"]),
        signing.dumps(["a", "b", "c"], salt="baton.cursor"),
        signing.dumps(7, salt="baton.cursor"),
        "\ud800",
    ],
    ids=["a word", "unsigned", "other salt", "too many values", "no list", "half a surrogate"],
)
def test_a_cursor_of_another_list_is_refused(team: Team, cursor: str) -> None:
    with pytest.raises(Invalid) as refused:
        page(Secret.objects.all(), cursor, None, "name")
    assert refused.value.code == "bad_cursor"


def test_the_api_pages(team: Team) -> None:
    browser = signed_in_as(team.alice)
    first = browser.get("/api/v1/members?limit=3").json()
    rest = browser.get("/api/v1/members", {"limit": 3, "cursor": first["next"]}).json()
    assert [len(first["items"]), len(rest["items"]), rest["next"]] == [3, 2, None]
