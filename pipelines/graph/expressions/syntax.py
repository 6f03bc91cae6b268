"""Reads the expression language, a closed part of CEL, into a tree whose size is bounded.

Paths, comparison, logic, arithmetic, lists and maps, `? :`, a few functions, and at most one comprehension.
"""

from dataclasses import dataclass

from pipelines.graph.expressions.errors import ExpressionError
from pipelines.graph.expressions.tokens import Token, tokens

MAX_LENGTH = 500
MAX_NESTING = 24
MAX_COMPREHENSIONS = 1
COMPREHENSIONS = {"all": 2, "exists": 2, "exists_one": 2, "map": 2, "filter": 2}
METHODS = {"contains": 1, "startsWith": 1, "endsWith": 1, "matches": 1, "size": 0}
FUNCTIONS = {"size": 1, "string": 1, "int": 1, "double": 1}
LITERALS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_RELATIONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})
_BINDING = {"||": 1, "&&": 2, **dict.fromkeys(_RELATIONS, 3), "+": 4, "-": 4, "*": 5, "/": 5, "%": 5}


@dataclass(frozen=True, slots=True)
class Literal:
    value: str | float | bool | None


@dataclass(frozen=True, slots=True)
class Path:
    """A root and fixed steps from it: `steps.a.output[0]`."""

    root: str
    segments: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        return self.root + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.segments)


@dataclass(frozen=True, slots=True)
class Index:
    of: "Tree"
    key: "Tree"


@dataclass(frozen=True, slots=True)
class Unary:
    sign: str
    of: "Tree"


@dataclass(frozen=True, slots=True)
class Binary:
    sign: str
    left: "Tree"
    right: "Tree"


@dataclass(frozen=True, slots=True)
class Choose:
    condition: "Tree"
    yes: "Tree"
    no: "Tree"


@dataclass(frozen=True, slots=True)
class ListOf:
    items: tuple["Tree", ...]


@dataclass(frozen=True, slots=True)
class MapOf:
    entries: tuple[tuple["Tree", "Tree"], ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A function, or a method whose first argument is what it stands behind."""

    name: str
    args: tuple["Tree", ...]


@dataclass(frozen=True, slots=True)
class Has:
    path: "Path | Index"


@dataclass(frozen=True, slots=True)
class Comprehension:
    """`over.name(variable, body)`; `keep` is the condition of a three-part map."""

    name: str
    over: "Tree"
    variable: str
    body: "Tree"
    keep: "Tree | None" = None


Tree = Literal | Path | Index | Unary | Binary | Choose | ListOf | MapOf | Call | Has | Comprehension


def parse(source: str) -> Tree:
    """Return the tree of a whole expression; raise ExpressionError."""
    parser = Parser(source, 0)
    tree = parser.expression()
    if parser.token.kind != "end":
        raise parser.unexpected("the end")
    return tree


class Parser:
    """Reads from `start` on and stops before the first token that does not belong to the expression."""

    def __init__(self, source: str, start: int, max_length: int = MAX_LENGTH) -> None:
        self._tokens = tokens(source, start)
        self._start = start
        self._max_length = max_length
        self._depth = 0
        self._comprehensions = 0
        self.token: Token = next(self._tokens)

    def expression(self) -> Tree:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise ExpressionError("too_complex", f"This expression nests deeper than {MAX_NESTING} levels.")
        condition = self._binary(1)
        if self.takes("?"):
            yes = self.expression()
            self.expect(":")
            condition = Choose(condition, yes, self.expression())
        self._depth -= 1
        return condition

    def takes(self, sign: str) -> bool:
        """Consume the sign if it comes next, and say so."""
        if self.token.kind != "sign" or self.token.value != sign:
            return False
        self.advance()
        return True

    def expect(self, sign: str) -> None:
        if not self.takes(sign):
            raise self.unexpected(repr(sign))

    def advance(self) -> Token:
        taken, self.token = self.token, next(self._tokens)
        if taken.end - self._start > self._max_length:
            raise ExpressionError("too_long", f"An expression may have {self._max_length} characters.")
        return taken

    def unexpected(self, expected: str) -> ExpressionError:
        """Return the error for what comes next where `expected` was wanted."""
        found = "it ends" if self.token.kind == "end" else f"there is {str(self.token.value)[:40]!r}"
        return ExpressionError(
            "bad_expression", f"Expected {expected} at position {self.token.start + 1}, but {found}."
        )

    def _binary(self, least: int) -> Tree:
        left = self._unary()
        while (binding := self._next_binding()) >= least:
            sign = str(self.advance().value)
            left = Binary(sign, left, self._binary(binding + 1))
        return left

    def _next_binding(self) -> int:
        is_sign = self.token.kind == "sign" or self.token.value == "in"
        return _BINDING.get(str(self.token.value), 0) if is_sign and self.token.kind != "text" else 0

    def _unary(self) -> Tree:
        signs = []
        while self.token.kind == "sign" and self.token.value in ("!", "-"):
            signs.append(str(self.advance().value))
            if len(signs) > MAX_NESTING:
                raise ExpressionError("too_complex", f"This expression nests deeper than {MAX_NESTING} levels.")
        tree = self._postfix()
        for sign in reversed(signs):
            tree = Unary(sign, tree)
        return tree

    def _postfix(self) -> Tree:
        tree = self._primary()
        while True:
            if self.takes("."):
                tree = self._member(tree)
            elif self.takes("["):
                tree = _indexed(tree, self.expression())
                self.expect("]")
            else:
                return tree

    def _member(self, tree: Tree) -> Tree:
        if self.token.kind != "name":
            raise self.unexpected("a name")
        name = str(self.advance().value)
        if not self.takes("("):
            return _indexed(tree, Literal(name))
        if name in COMPREHENSIONS:
            return self._comprehension(name, tree)
        return self._call(name, METHODS, (tree, *self._arguments()))

    def _comprehension(self, name: str, over: Tree) -> Tree:
        self._comprehensions += 1
        if self._comprehensions > MAX_COMPREHENSIONS:
            raise ExpressionError("too_complex", "An expression may have one of all, exists, exists_one, map, filter.")
        if self.token.kind != "name":
            raise self.unexpected("a name for the entry")
        variable = str(self.advance().value)
        self.expect(",")
        body = self.expression()
        keep = None
        if name == "map" and self.takes(","):
            keep, body = body, self.expression()
        self.expect(")")
        return Comprehension(name, over, variable, body, keep)

    def _arguments(self) -> tuple[Tree, ...]:
        found: list[Tree] = []
        if self.takes(")"):
            return ()
        while True:
            found.append(self.expression())
            if self.takes(")"):
                return tuple(found)
            self.expect(",")

    def _call(self, name: str, known: dict[str, int], args: tuple[Tree, ...]) -> Tree:
        wanted = known.get(name)
        if wanted is None:
            names = ", ".join(sorted({*METHODS, *FUNCTIONS, *COMPREHENSIONS, "has"}))
            raise ExpressionError("bad_expression", f"There is no function {name[:40]!r} here. Known are: {names}.")
        given = len(args) - (1 if known is METHODS else 0)
        if given != wanted:
            raise ExpressionError("bad_expression", f"The function {name!r} takes {wanted} arguments, not {given}.")
        return Call(name, args)

    def _primary(self) -> Tree:
        if self.token.kind in ("number", "text"):
            value = self.advance().value
            if value == float("inf"):
                raise ExpressionError("bad_number", "This number is too large.")
            return Literal(value)
        if self.token.kind == "name" and self.token.value != "in":
            return self._named(str(self.advance().value))
        if self.takes("("):
            tree = self.expression()
            self.expect(")")
            return tree
        if self.takes("["):
            return self._list()
        if self.takes("{"):
            return self._map()
        raise self.unexpected("a value")

    def _named(self, name: str) -> Tree:
        if name in LITERALS:
            return Literal(LITERALS[name])
        if not self.takes("("):
            return Path(name)
        args = self._arguments()
        if name != "has":
            return self._call(name, FUNCTIONS, args)
        path = args[0] if len(args) == 1 else None
        if isinstance(path, Index) or (isinstance(path, Path) and path.segments):
            return Has(path)
        raise ExpressionError("bad_expression", "has() takes one path with a dot, such as has(input.topic).")

    def _list(self) -> Tree:
        items: list[Tree] = []
        while not self.takes("]"):
            items.append(self.expression())
            if not self.takes(","):
                self.expect("]")
                break
        return ListOf(tuple(items))

    def _map(self) -> Tree:
        entries: list[tuple[Tree, Tree]] = []
        while not self.takes("}"):
            key = self.expression()
            self.expect(":")
            entries.append((key, self.expression()))
            if not self.takes(","):
                self.expect("}")
                break
        return MapOf(tuple(entries))


def _indexed(tree: Tree, key: Tree) -> Tree:
    """Return a longer path where the key is fixed, else an index to evaluate."""
    if isinstance(tree, Path) and isinstance(key, Literal):
        if isinstance(key.value, str):
            return Path(tree.root, (*tree.segments, key.value))
        if isinstance(key.value, float) and key.value.is_integer() and key.value < 2**31:
            return Path(tree.root, (*tree.segments, int(key.value)))
    return Index(tree, key)
