"""Who is told what only the machine itself and the operator's own networks should hear."""

from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest

_FORWARDED = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip")


def is_near(request: HttpRequest) -> bool:
    """Tell whether the request comes from an allowed address itself: a proxy's own address proves nothing."""
    if any(name in request.headers for name in _FORWARDED):
        return False
    try:
        address = ip_address(request.META.get("REMOTE_ADDR") or "")
    except ValueError:
        return False
    # In production a proxy may stand on this machine and say nothing of whom it asks for.
    near_enough = address.is_loopback and not settings.PRODUCTION
    return near_enough or any(address in network for network in settings.METRICS_ALLOW)
