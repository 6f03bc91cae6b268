"""HTTP to Django, websockets to the consumers of the apps; bodies are capped before anything reads them."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orchestrator_site.settings")
django_application = get_asgi_application()  # loads the apps, which everything below imports

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402

from orchestrator_site.edge import cap_body, check_origin  # noqa: E402
from orchestrator_site.metrics import counted  # noqa: E402
from pipelines.routing import websocket_urlpatterns as of_pipelines  # noqa: E402
from runs.routing import websocket_urlpatterns as of_runs  # noqa: E402

sockets = check_origin(URLRouter([*of_runs, *of_pipelines]))
application = ProtocolTypeRouter({"http": counted(cap_body(django_application)), "websocket": sockets})
