"""The REST routes of runs, what led to their results, and costs."""

from runs.api.costs import router as costs
from runs.api.lineage import router as lineage
from runs.api.routes import router

router.add_router("", costs)
router.add_router("", lineage)

__all__ = ["router"]
