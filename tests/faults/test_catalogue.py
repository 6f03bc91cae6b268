"""docs/faults.md says what there is: no check that is not, and no fault test or figure that is not listed."""

from tests.faults.catalogue import ROOT, entries, names_in


def test_every_check_of_the_page_exists() -> None:
    for entry in entries():
        assert entry.checks, f"{entry.name} has no check"
        for check in entry.checks:
            file, _, name = check.partition("::")
            found = set(names_in(ROOT / file))
            assert name in found if name else found, f"{entry.name}: there is no {check}"


def test_every_fault_test_and_figure_is_on_the_page() -> None:
    here = ROOT / "tests" / "faults"
    files = [*here.glob("test_*.py"), *(here / "figures").glob("[rm]*.py")]
    for file in files:
        for name in names_in(file):
            node_id = f"{file.relative_to(ROOT)}::{name}"
            if file.name != "test_catalogue.py":
                assert any(entry.covers(node_id) for entry in entries()), f"docs/faults.md does not list {node_id}"


def test_the_page_has_the_release_figures_and_no_name_twice() -> None:
    names = [entry.name for entry in entries()]
    assert sorted(set(names)) == sorted(names)
    figures = [entry for entry in entries() if entry.is_figure]
    known = [*(f"R{number}" for number in range(1, 14)), *(f"M{number}" for number in range(2, 12))]
    assert [figure.name for figure in figures] == known
    for figure in figures:
        (check,) = figure.checks
        where, number = figure.name[0], int(figure.name[1:])
        file = f"r{number:02d}_" if where == "R" else f"many_machines.py::test_m{number}_"
        assert check.startswith(f"tests/faults/figures/{file}"), check
