"""Every address: each app brings its own; the API and the health checks stand beside them."""

from django.urls import include, path

from orchestrator_site import health
from orchestrator_site.api import api
from orchestrator_site.metrics import metrics

handler500 = "orchestrator_site.failing.page"

urlpatterns = [
    path("api/v1/", api.urls),
    path("healthz", health.alive),
    path("readyz", health.ready),
    path("metrics", metrics),
    path("", include("accounts.urls")),
    path("", include("pipelines.urls")),
    path("", include("runs.urls")),
    path("", include("approvals.urls")),
    path("", include("evals.urls")),
    path("", include("notices.urls")),
    path("", include("orchestrator_site.pages")),
]
