"""REST routes for who is here: /members, /tokens, /secrets, /audit."""

from ninja import Router

from accounts.api import audit, members, secrets, tokens

router = Router()
router.add_router("", members.router, tags=["members"])
router.add_router("", tokens.router, tags=["tokens"])
router.add_router("", secrets.router, tags=["secrets"])
router.add_router("", audit.router, tags=["audit"])
