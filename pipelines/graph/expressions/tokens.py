"""Cuts an expression into tokens: names, numbers, texts and signs of the CEL language."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.graph.expressions.errors import ExpressionError

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>(?:[0-9]+\.[0-9]+|\.[0-9]+|[0-9]+)(?:[eE][+-]?[0-9]+)?)
      | (?P<raw>[rR](?:"[^"\n]*"|'[^'\n]*'))
      | (?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,(){}\[\]|])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})|(.))")
_NAMED = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"', "`": "`", "?": "?"}
_LAST_CODE_POINT = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is number, text, name, sign or end; `value` a float, the text, or the sign; `end` where it stops."""

    kind: str
    value: str | float
    start: int
    end: int


def tokens(source: str, start: int = 0) -> Iterator[Token]:
    """Yield the tokens from `start` on, then an `end` forever; raise ExpressionError at what CEL does not have."""
    position = start
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None:
            message = f"An expression cannot have {source[position]!r} at position {position + 1 - start}."
            raise ExpressionError("bad_expression", message)
        kind = str(match.lastgroup)
        if kind != "space":
            yield _token(kind, match.group(), position)
        position = match.end()
    while True:
        yield Token("end", "", len(source), len(source))


def _token(kind: str, written: str, start: int) -> Token:
    end = start + len(written)
    match kind:
        case "number":
            return Token("number", float(written), start, end)
        case "raw":
            return Token("text", written[2:-1], start, end)
        case "text":
            return Token("text", _ESCAPE.sub(_unescaped, written[1:-1]), start, end)
        case "name" if written.startswith("__"):
            raise ExpressionError("bad_expression", f"A name cannot begin with two underscores: {written[:40]!r}.")
        case _:
            return Token(kind, written, start, end)


def _unescaped(match: re.Match[str]) -> str:
    digits = match.group(1) or match.group(2) or match.group(3)
    if digits:
        number = int(digits, 16)
        if 0 < number <= _LAST_CODE_POINT and number not in _SURROGATES:
            return chr(number)
    elif (named := _NAMED.get(match.group(4))) is not None:
        return named
    raise ExpressionError("bad_expression", f"A text cannot have {match.group()!r}.")
