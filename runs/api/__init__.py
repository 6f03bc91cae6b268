"""The REST routes of runs, what led to their results, money, and what must reach out: tools of MCP servers."""

from runs.api.agents import router as agents
from runs.api.budgets import router as budgets
from runs.api.costs import router as costs
from runs.api.events import router as events
from runs.api.lineage import router as lineage
from runs.api.prices import router as prices
from runs.api.routes import router
from runs.api.tools import router as tools
from runs.api.triggers import router as triggers

router.add_router("", costs)
router.add_router("", budgets)
router.add_router("", prices)
router.add_router("", lineage)
router.add_router("", events)
router.add_router("", tools)
router.add_router("", agents)
router.add_router("", triggers)

__all__ = ["router"]
