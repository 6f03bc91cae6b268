"""The addresses of this app's pages."""

from django.urls import path

from approvals.views import inbox

urlpatterns = [
    path("approvals/", inbox.approvals, name="approvals"),
    path("approvals/<uuid:approval_id>/", inbox.approval, name="approval"),
    *(
        path(f"approvals/<uuid:approval_id>/{name}/", inbox.act, {"name": name}, name=f"approval-{name}")
        for name in ("claim", "release", "hand-over", "comment")
    ),
    path("runs/<uuid:run_id>/asks/", inbox.asks_of_run, name="run-asks"),
]
