"""Who calls a route, and whether they may read what it shows."""

from django.http import HttpRequest

from accounts.access import Actor, Capability, actor_of, require


def caller(request: HttpRequest) -> Actor:
    """Return who acts. A GET needs the right to read; a change asks for its own right where it is made, so that a
    token with the scope `edit` alone can edit. Raises Forbidden."""
    actor = actor_of(request)
    if request.method == "GET":
        require(actor, Capability.READ)
    return actor
