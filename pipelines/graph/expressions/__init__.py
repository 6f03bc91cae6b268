"""What authors may compute: bare expressions and templates over the values of a run (docs/format.md)."""

from pipelines.graph.expressions.errors import ExpressionError
from pipelines.graph.expressions.templates import (
    Reference,
    check,
    check_template,
    evaluate,
    expression_references,
    holes,
    references,
    render,
)

__all__ = [
    "ExpressionError",
    "Reference",
    "check",
    "check_template",
    "evaluate",
    "expression_references",
    "holes",
    "references",
    "render",
]
