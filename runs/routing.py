"""Websocket addresses."""

from typing import Any

from django.urls import path

from runs import consumers

# Django's `path` is typed for views only.
follow_run: Any = consumers.follow_run
follow_workspace: Any = consumers.follow_workspace

websocket_urlpatterns = [
    path("ws/runs/<uuid:run_id>", follow_run),
    path("ws/workspace/<slug:slug>", follow_workspace),
]
