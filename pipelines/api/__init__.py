"""REST routes of what may run: /pipelines, /agents, /connections, /budgets, /knowledge."""

from ninja import Router

from pipelines.api import budgets, knowledge, library, pipelines

router = Router()
router.add_router("", pipelines.router)
router.add_router("", library.router)
router.add_router("", budgets.router)
router.add_router("", knowledge.router)
