"""A log line says what happened, once, whoever is quoted in it."""

import io
import logging
import logging.config
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.test import Client

from tests.people import a_team, bearer, signed_in_as


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Return what the product's own handler writes."""
    written = io.StringIO()
    line = settings.LOGGING["formatters"]["line"]
    handler = logging.StreamHandler(written)
    config = {"version": 1, "incremental": False, "formatters": {"line": line}, "disable_existing_loggers": False}
    configurator = logging.config.DictConfigurator(config)
    handler.setFormatter(configurator.configure_formatter(dict(line)))
    for name in settings.LOGGING["handlers"]["stderr"]["filters"]:
        handler.addFilter(configurator.configure_filter(dict(settings.LOGGING["filters"][name])))
    root = logging.getLogger()
    root.addHandler(handler)
    yield written
    root.removeHandler(handler)


@pytest.mark.parametrize(
    "hostile",
    [
        "a\n2026-11-20 ERROR baton forged",
        "a\r\nforged",
        "a\x1b[2Jgone",
        "a\u2028forged",
        "a\x85forged",
        "a\0b",
        "a\x9b2J",
    ],
)
def test_a_quoted_text_begins_no_line_and_steers_no_terminal(log: io.StringIO, hostile: str) -> None:
    logging.getLogger("baton.test").warning("The step said %s", hostile)
    [line] = log.getvalue().splitlines()
    assert line.isprintable()
    assert "The step said a" in line


@pytest.mark.parametrize(
    "place",
    ["/password/new/1-2/abc-s3cret/", "/invitations/1-2/s3cret_x/", "/login/?next=%2Finvitations%2F1-2%2Fs3cret%2F"],
)
def test_a_link_that_lets_somebody_in_is_written_without_its_last_part(log: io.StringIO, place: str) -> None:
    logger = logging.getLogger("baton.test")
    logger.warning("Gone: %s", place)
    logger.warning("GET https://baton.example%s 404 %d", place, 1)
    first, second = log.getvalue().splitlines()
    assert "s3cret" not in first + second
    assert "1-2/…/" in first.replace("%2F", "/")
    assert second.endswith(" 404 1")


def test_a_traceback_stands_behind_a_margin(log: io.StringIO) -> None:
    try:
        raise ValueError("a\n2026-11-20 ERROR baton forged\x1b[2J")
    except ValueError:
        logging.getLogger("baton.test").exception("It broke")
    first, *rest = log.getvalue().splitlines()
    assert first.endswith("ERROR baton.test It broke")
    assert all(line.startswith("  | ") and line.isprintable() for line in rest)
    assert rest[-1] == "  | 2026-11-20 ERROR baton forged\\x1b[2J"


def test_a_stack_stands_behind_a_margin(log: io.StringIO) -> None:
    logging.getLogger("baton.test").warning("Here", stack_info=True)
    _, *rest = log.getvalue().splitlines()
    assert rest
    assert all(line.startswith("  | ") for line in rest)


@pytest.mark.django_db
def test_an_address_with_line_breaks_is_logged_on_one_line(log: io.StringIO) -> None:
    for path in ("/x%0d%0a2026%20ERROR%20forged", "/api/v1/x%0aforged%1b[2J", "/login/%E2%80%A8forged"):
        Client().get(path)
    lines = log.getvalue().splitlines()
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


@pytest.mark.django_db
def test_a_refusal_says_who_was_refused(log: io.StringIO) -> None:
    team = a_team()
    signed_in_as(team.bob).get("/audit/")
    Client().get("/api/v1/audit", headers=bearer(team.alice, team.workspace))
    Client().get("/api/v1/audit")
    lines = [line for line in log.getvalue().splitlines() if "audit" in line]
    assert [line.partition("audit")[2] for line in lines] == [
        "/ (bob@example.com in acme)",
        " (alice@example.com in acme)",
        "",
    ]


@pytest.mark.django_db
def test_a_percent_sign_in_a_refused_address_is_no_place_to_fill(log: io.StringIO) -> None:
    signed_in_as(a_team().carol).get("/approvals/calendars/a%2525s%25d/")
    [line] = [line for line in log.getvalue().splitlines() if "calendars" in line]
    assert line.endswith("/approvals/calendars/a%25s%d/ (carol@example.com in acme)")
