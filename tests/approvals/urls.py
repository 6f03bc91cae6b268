"""The API with the desk's routes alone: the same sign-in, errors and limits, whatever the other rooms do."""

from django.urls import path

from approvals.api import router
from orchestrator_site.api import build

api = build([router], namespace="approvals-alone")
urlpatterns = [path("api/v1/", api.urls)]
