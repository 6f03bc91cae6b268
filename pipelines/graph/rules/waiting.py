"""Waiting: a Wait waits for something, a Board step has what its op needs, and no lock is asked for under another."""

from collections.abc import Iterator

from pipelines.graph.model import Kind
from pipelines.graph.places import Place
from pipelines.graph.problems import Problem
from pipelines.graph.rules.subject import Subject, named, problem

_NEEDS_VALUE = ("write", "append", "publish")


def check_waiting(subject: Subject) -> Iterator[Problem]:
    """Yield what keeps a step from waiting, from using the board, or from taking turns with others."""
    for place in subject.of_kind(Kind.WAIT):
        yield from _wait(place)
    for place in subject.of_kind(Kind.BOARD):
        yield from _board(place)
    for place in subject.places:
        if place.node.lock is not None:
            yield from _lock(place)


def _wait(place: Place) -> Iterator[Problem]:
    config = place.node.config
    if not (place.node.events or config["for"] is not None or config["until"] is not None):
        message = f"{named(place)} waits for nothing. Give it a time (for, until) or an event."
        yield problem(place, "error", "empty_wait", message)
    elif place.node.events and config["timeout"] is None and config["for"] is None and config["until"] is None:
        message = f"{named(place)} waits for its event without end. Give it a timeout."
        yield problem(place, "warning", "endless_wait", message, "timeout")


def _board(place: Place) -> Iterator[Problem]:
    config = place.node.config
    if config["op"] in _NEEDS_VALUE and config["value"] is None:
        message = f"{named(place)} is to {config['op']}, but has no value."
        yield problem(place, "error", "no_value", message, "value")
    if config["if_version"] is not None and config["op"] not in ("write", "append"):
        message = f"if_version is for write and append; {named(place)} is to {config['op']}."
        yield problem(place, "error", "unused_field", message, "if_version")


def _lock(place: Place) -> Iterator[Problem]:
    around = next((outer for outer in place.enclosing if outer.node.lock is not None), None)
    if around is not None:
        message = f"{named(place)} would wait for a lock while {named(around)} around it holds one. Keep one of them."
        yield problem(place, "error", "nested_lock", message, "lock")
    if place.node.kind in (Kind.INPUT, Kind.OUTPUT):
        message = f"{named(place)} takes no time, so a lock keeps nobody waiting. Remove it."
        yield problem(place, "warning", "unused_lock", message, "lock")
