"""What a tool is allowed to be: its arguments, what it does to the world, and how safely it can be sent again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from pipelines.graph.model import Json

# Servers of several kinds take a request with one of these for one of the method that it names.
_METHOD_HEADERS = frozenset({"x-http-method-override", "x-http-method", "x-method-override"})


class Effect(StrEnum):
    NONE = "none"
    REVERSIBLE = "reversible"
    IRREVERSIBLE = "irreversible"


class Delivery(StrEnum):
    """`idempotent`: sending twice is sending once. `keyed`: so it is under one key. `neither`: at most once."""

    IDEMPOTENT = "idempotent"
    KEYED = "keyed"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as its registry declares it; the author of a graph cannot change any of this.

    `safe_methods` are values of args["method"] for which the tool has no effect and is idempotent, whatever
    `effect` says. `key_argument` names an argument whose presence makes the delivery keyed.

    A tool of an MCP server names the `connection` that leads to it and the server's own `remote` name; `pin` is the
    digest of what the server said of it when it was registered, so that a later change is noticed and refused.
    """

    id: str
    title: str
    description: str
    args_schema: Mapping[str, Json]
    result_schema: Mapping[str, Json] = field(default_factory=dict)
    effect: Effect = Effect.IRREVERSIBLE
    delivery: Delivery = Delivery.NEITHER
    safe_methods: tuple[str, ...] = ()
    key_argument: str | None = None
    connection: str | None = None
    remote: str = ""
    pin: str = ""

    def effect_of(self, args: Mapping[str, Json]) -> Effect:
        """Return what this call would do to the world."""
        return Effect.NONE if self._is_safe(args) else self.effect

    def delivery_of(self, args: Mapping[str, Json]) -> Delivery:
        if self._is_safe(args):
            return Delivery.IDEMPOTENT
        if self.key_argument and args.get(self.key_argument):
            return Delivery.KEYED
        return self.delivery

    def _is_safe(self, args: Mapping[str, Json]) -> bool:
        return str(args.get("method", "")).upper() in self.safe_methods and not names_another_method(args)

    def as_json(self) -> dict[str, Json]:
        return {
            "id": self.id,
            "title": self.title,
            "description": self.description,
            "args_schema": dict(self.args_schema),
            "result_schema": dict(self.result_schema),
            "effect": self.effect,
            "delivery": self.delivery,
            "safe_methods": list(self.safe_methods),
            "key_argument": self.key_argument,
            **({"connection": self.connection, "remote": self.remote, "pin": self.pin} if self.connection else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> "ToolSpec":
        fields = dict(data)
        fields["effect"], fields["delivery"] = Effect(data["effect"]), Delivery(data["delivery"])
        fields["safe_methods"] = tuple(data["safe_methods"])
        return cls(**fields)


def names_another_method(args: Mapping[str, Json]) -> bool:
    """Tell whether a header asks the other side to take the request for one of another method."""
    named = [
        name for kind in ("headers", "secret_headers") if isinstance(args.get(kind), Mapping) for name in args[kind]
    ]
    return any(str(name).strip().lower().replace("_", "-") in _METHOD_HEADERS for name in named)
