"""What must have become of a step, read off the rows of its neighbours: the rules of engine.md §2, written anew."""

from collections import Counter
from typing import Any

from pipelines.graph.model import Node
from tests.engine.playing import Player


def assert_joined(player: Player) -> None:
    """Hold what became of each step of the pipeline's own graph against its edges, when the run came to its end."""
    graph = player.document.graph
    for name, node in graph.nodes.items():
        row, ins = player.row(name), [graph.edges[index] for index in graph.ins[name]]
        if ins and row["state"] != "cancelled":
            edges = Counter(_became(player.row(edge.source), edge.port) for edge in ins)
            are_agents = all(graph.nodes[edge.source].kind == "agent" for edge in ins)
            assert _is_right(node, row, edges, are_agents=are_agents), (
                name,
                row["state"],
                row["error"],
                dict(edges),
                node.wait_for,
            )


def _became(row: dict[str, Any], port: str) -> str:
    match row["state"]:
        case "cancelled":
            return "skipped"
        case "skipped" if row["memo"].get("failed_input"):
            return "failed"
        case "failed" if not row["ports"]:
            return "failed"
        case _:
            return "taken" if port in row["ports"] else "skipped"


def _is_right(node: Node, row: dict[str, Any], edges: Counter[str], *, are_agents: bool) -> bool:
    """Tell whether a step did what its settled edges say it does.

    An early join runs at its k-th arrival, and as any other where so many did not come. Agents end one at a time; other
    steps may end together.
    """
    total = edges.total()
    early = {"first": 1}.get(str(node.wait_for), node.wait_for if isinstance(node.wait_for, int) else 0)
    won = len(row["memo"].get("winners", ()))
    if early and (edges["taken"] >= early or won >= early):
        return _has_run(row) and (won == early if are_agents else won >= early)
    least = total if node.wait_for == "all" else int(node.config.get("min_ok", 1))
    if edges["failed"] and node.on_failed_input == "propagate":
        return row["state"] == "skipped" and bool(row["memo"].get("failed_input"))
    if edges["taken"] >= max(1, least):
        return _has_run(row)
    if edges["failed"]:
        return not _has_run(row) and row["state"] != "skipped"
    return row["state"] == "skipped" and not row["memo"].get("failed_input")


def _has_run(row: dict[str, Any]) -> bool:
    """Tell whether a step was carried out, well or badly, rather than given up for want of inputs."""
    errors = (row["error"], (row["meta"] or {}).get("error") if isinstance(row["meta"], dict) else None)
    short = any(error and error["code"] == "not_enough_inputs" for error in errors)
    by_hand = isinstance(row["meta"], dict) and row["meta"].get("decision") == "use"
    return row["state"] in ("succeeded", "failed") and not short and not (by_hand and row["attempt"] == 0)
