"""A worker closes itself for a suspect, and opens again when there is none to hold."""

from runs.execution.quarantine import POLLS_OF_PATIENCE, Quarantine


def test_a_worker_that_holds_nothing_takes_a_suspect_at_once_and_nothing_beside_it() -> None:
    quarantine = Quarantine()
    quarantine.watch(["x"], {}, ())
    assert not quarantine.forbids("x", holding=False)
    assert quarantine.forbids("other", holding=False)


def test_a_worker_with_other_runs_leaves_a_suspect_to_the_others_for_a_while() -> None:
    quarantine = Quarantine()
    for _ in range(POLLS_OF_PATIENCE):
        quarantine.watch(["x"], {"a": 0}, ())
        assert not quarantine.forbids("b", holding=True)
    quarantine.watch(["x"], {"a": 0}, ())
    assert quarantine.forbids("b", holding=True), "nobody took it, so this worker empties itself"


def test_a_suspect_that_another_worker_took_closes_nobody() -> None:
    quarantine = Quarantine()
    for _ in range(POLLS_OF_PATIENCE + 1):
        quarantine.watch(["x"], {"a": 0}, ())
    quarantine.watch([], {"a": 0}, ())
    assert not quarantine.forbids("b", holding=True)


def test_a_suspect_that_got_further_is_none_any_more() -> None:
    quarantine = Quarantine()
    quarantine.watch(["x"], {}, ())
    quarantine.watch([], {"x": 2}, ())
    assert quarantine.forbids("b", holding=True)
    quarantine.watch([], {"x": 0}, ())
    assert not quarantine.forbids("b", holding=True)


def test_a_suspect_that_is_being_claimed_stays_chosen() -> None:
    quarantine = Quarantine()
    quarantine.watch(["x"], {}, ())
    quarantine.watch([], {}, {"x"})
    assert quarantine.forbids("b", holding=False)
    quarantine.end("x")
    assert not quarantine.forbids("b", holding=False)


def test_of_two_suspects_one_is_held_at_a_time() -> None:
    quarantine = Quarantine()
    quarantine.watch(["x", "y"], {}, ())
    assert quarantine.forbids("y", holding=False)
    quarantine.end("x")
    quarantine.watch(["y"], {}, ())
    assert not quarantine.forbids("y", holding=False)
