"""What an email holds, before it is laid out."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a letter: what it is called, if it is called anything, and what it says."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Letter:
    """`quoted` are others' words; `sections` are (title, lines); `url` leads to the page it is all about."""

    subject: str
    quoted: str = ""
    lines: tuple[Line, ...] = ()
    action: str = "Open it in Baton"
    url: str = ""
    sections: tuple[tuple[str, tuple[Line, ...]], ...] = ()
