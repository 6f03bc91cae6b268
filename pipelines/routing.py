"""Websocket addresses."""

from typing import Any

from django.urls import path

from pipelines import consumers

follow_draft: Any = consumers.follow_draft  # Django's `path` is typed for views only

websocket_urlpatterns = [path("ws/pipelines/<slug:slug>", follow_draft)]
