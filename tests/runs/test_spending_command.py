"""The operator's command says whether the costs are right, and makes them right."""

import datetime as dt
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from runs.models import LedgerEntry, Span, SpendDay
from runs.spending import booking, retention
from tests.pages.builders import a_model_call, a_world
from tests.people import signed_in_as

pytestmark = pytest.mark.django_db


def told(*options: str) -> str:
    out = StringIO()
    call_command("spending", *options, stdout=out)
    return out.getvalue()


def test_the_command_names_what_differs_and_rebuilds_it() -> None:
    world = a_world()
    span = a_model_call(world.run, 1_500)
    LedgerEntry.objects.create(
        run=world.run, kind="settled", path="x@1", call="x@1/1", model="m", amount_micros=1_500, at=span.end
    )
    world.run.state = "succeeded"
    world.run.save(update_fields=["state"])
    booking.book()
    slug = world.team.workspace.slug
    assert f"{slug}: right, $0.0015 spent" in told("--workspace", slug)
    SpendDay.objects.update(cost=9)
    with pytest.raises(CommandError, match=f"Not right in {slug}"):
        told()
    assert "right, $0.0015" in told("--workspace", slug, "--rebuild")
    with pytest.raises(CommandError, match="no workspace nowhere"):
        told("--workspace", "nowhere")


def test_days_are_kept_as_the_operator_says() -> None:
    world = a_world()
    workspace = world.team.workspace
    out = StringIO()
    call_command("keep_days", workspace.slug, "90", stdout=out)
    workspace.refresh_from_db()
    assert workspace.keep_days == 90
    call_command("keep_days", workspace.slug, "ever", stdout=out)
    workspace.refresh_from_db()
    assert workspace.keep_days is None
    for slug, days in ((workspace.slug, "30"), (workspace.slug, "-1"), ("nowhere", "90")):
        with pytest.raises(CommandError):
            call_command("keep_days", slug, days, stdout=out)


def test_a_run_whose_log_and_trace_were_removed_still_opens() -> None:
    world = a_world()
    a_model_call(world.run, 1_500)
    world.run.state, world.run.finished_at = "succeeded", timezone.now() - dt.timedelta(days=99)
    world.run.save(update_fields=["state", "finished_at"])
    call_command("keep_days", world.team.workspace.slug, "90", stdout=StringIO())
    booking.book()
    retention.sweep()
    assert not Span.objects.exists()
    browser = signed_in_as(world.team.carol)
    for tab in ("canvas", "timeline", "steps", "log"):
        assert browser.get(f"/runs/{world.run.pk}/?view={tab}").status_code == 200, tab
    assert browser.get(f"/api/v1/runs/{world.run.pk}/spans").status_code == 200
