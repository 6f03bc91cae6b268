"""The statement that adds lines to a book of days or hours, or takes them off it."""

from collections.abc import Sequence


def adding(table: str, line: Sequence[str], figures: Sequence[str], source: str, *, sealed: bool, sign: int) -> str:
    """Return the statement that adds the lines of another, or with the sign -1 takes them off.

    Lines are taken in one order, so that two transactions cannot wait for each other.
    """
    key = ", ".join((*line, "is_sealed"))
    names = ", ".join(f"l.{name}" for name in line)
    return (
        f"insert into {table} as d ({key}, {', '.join(figures)})"
        f" select {names}, {sealed}, {', '.join(f'{sign} * l.{name}' for name in figures)} from ({source}) l"
        f" order by {names} on conflict ({key}) do update set "
        + ", ".join(f"{name} = d.{name} + excluded.{name}" for name in figures)
    )
