"""The REST routes of runs, what led to their results, and costs."""

from runs.api.costs import router as costs
from runs.api.events import router as events
from runs.api.lineage import router as lineage
from runs.api.routes import router

router.add_router("", costs)
router.add_router("", lineage)
router.add_router("", events)

__all__ = ["router"]
