"""Route: the first rule that is true (all of them with `multi`), or a model's choice held against the ports."""

from collections.abc import Sequence

from pipelines.graph.model import Json
from runs.engine import starting, values
from runs.engine.completing import complete
from runs.engine.facts import ErrorClass, StepError, StepSucceeded
from runs.engine.failing import give_up
from runs.engine.move import Move
from runs.engine.scope import Step


def choose(move: Move, step: Step) -> None:
    try:
        if step.node.config["mode"] == "ai":
            _prepare(move, step)
        else:
            _by_rules(move, step)
    except values.Unusable as unusable:
        give_up(move, step, unusable.error)


def chosen_by_model(step: Step, fact: StepSucceeded) -> tuple[tuple[str, ...], Json] | StepError:
    """Return the ports and the output of a model's choice, `otherwise` below `min_confidence`, or what is wrong."""
    config = step.node.config
    said = fact.output if isinstance(fact.output, dict) else {"chosen": fact.output}
    ports = fact.ports or _named(said.get("chosen"))
    unknown = [port for port in ports if port not in step.node.own_ports]
    if unknown or not ports:
        known = ", ".join(step.node.own_ports)
        message = f"{step.path} chose {unknown or 'nothing'}; the routes are {known}."
        return StepError(ErrorClass.INVALID_OUTPUT, "unknown_route", message, findings=(message,), output=fact.output)
    if not config["multi"]:
        ports = ports[:1]
    confidence = said.get("confidence")
    unsure = isinstance(confidence, int | float) and confidence < (config.get("min_confidence") or 0)
    if unsure:
        ports = (str(config["otherwise"]),)
    output = {"reason": None, "confidence": None, **said, "chosen": _shown(step, ports)}
    return ports, output


def _by_rules(move: Move, step: Step) -> None:
    config = step.node.config
    more = {}
    if config.get("value") is not None:
        more["value"] = values.rendered(move.run, step, config["value"])
    ports, reasons = [], []
    for rule in config["routes"]:
        if rule.get("when") and _is_true(move, step, rule["when"], more):
            ports.append(str(rule["port"]))
            reasons.append(rule["when"])
            if not config["multi"]:
                break
    ports = list(dict.fromkeys(ports)) or [str(config["otherwise"])]
    output = {"chosen": _shown(step, ports), "reason": "; ".join(reasons) or "no rule is true", "confidence": 1.0}
    complete(move, step, output, ports=tuple(ports))


def _is_true(move: Move, step: Step, expression: str, more: dict[str, Json]) -> bool:
    found = values.evaluated(move.run, step, expression, more)
    if not isinstance(found, bool):
        message = f"The rule {expression!r} of {step.path} gives {type(found).__name__}, not true or false."
        raise values.Unusable(StepError(ErrorClass.CONFIG, "not_a_condition", message))
    return found


def _prepare(move: Move, step: Step) -> None:
    config = step.node.config
    missing = starting.missing_from_lock(move.run, step)
    if missing:
        give_up(move, step, missing)
        return
    step.record.input = {
        "value": values.rendered(move.run, step, config.get("value")),
        "routes": [
            {"port": rule["port"], "description": values.rendered(move.run, step, rule.get("description") or "")}
            for rule in config["routes"]
        ],
        "otherwise": config["otherwise"],
        "multi": config["multi"],
        "min_confidence": config["min_confidence"],
    }
    values.note_cache_words(move.run, step)
    starting.launch(move, step)


def _named(chosen: Json) -> tuple[str, ...]:
    return tuple(str(port) for port in chosen) if isinstance(chosen, list) else (str(chosen),) if chosen else ()


def _shown(step: Step, ports: Sequence[str]) -> Json:
    return list(ports) if step.node.config["multi"] else ports[0]
