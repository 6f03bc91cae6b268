"""REST routes of what may run: /pipelines, /agents, /connections, /budgets."""

from ninja import Router

from pipelines.api import library, pipelines

router = Router()
router.add_router("", pipelines.router)
router.add_router("", library.router)
