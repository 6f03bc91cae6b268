"""HTTP to Django, websockets to `runs.consumers`; bodies are capped before anything reads them."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orchestrator_site.settings")
django_application = get_asgi_application()  # loads the apps, which everything below imports

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.sessions import CookieMiddleware  # noqa: E402

from orchestrator_site.edge import cap_body, check_origin  # noqa: E402
from runs.routing import websocket_urlpatterns  # noqa: E402

sockets = CookieMiddleware(URLRouter(websocket_urlpatterns))
application = ProtocolTypeRouter({"http": cap_body(django_application), "websocket": check_origin(sockets)})
