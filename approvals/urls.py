"""The addresses of this app's pages."""

from django.urls import path

from approvals.views import evidence, health, inbox, rules

urlpatterns = [
    path("runs/<uuid:run_id>/evidence/", evidence.run_evidence, name="run-evidence"),
    path("approvals/", inbox.approvals, name="approvals"),
    path("approvals/health/", health.approval_health, name="approval-health"),
    path("approvals/health/questions/", health.questions, name="approval-counted"),
    path("approvals/decisions/", health.decisions, name="approval-decisions"),
    path("approvals/decisions.csv", health.decisions_sheet, name="approval-decisions-csv"),
    path("approvals/bulk/", inbox.approvals_bulk, name="approvals-bulk"),
    path("approvals/<uuid:approval_id>/", inbox.approval, name="approval"),
    path("approvals/<uuid:approval_id>/stands/", inbox.stands, name="approval-stands"),
    *(
        path(f"approvals/<uuid:approval_id>/{name}/", inbox.act, {"name": name}, name=f"approval-{name}")
        for name in ("claim", "release", "hand-over", "ask", "take-back", "comment")
    ),
    path("approvals/rules/", rules.rule_list, name="approval-rules"),
    path("approvals/rules/+new/", rules.rule, name="approval-rule-new"),
    path("approvals/rules/<uuid:rule_id>/", rules.rule, name="approval-rule"),
    path("approvals/rules/<uuid:rule_id>/remove/", rules.remove_rule, name="approval-rule-remove"),
    path("approvals/calendars/+new/", rules.calendar, name="calendar-new"),
    path("approvals/calendars/<str:name>/", rules.calendar, name="calendar"),
    path("approvals/calendars/<str:name>/remove/", rules.remove_calendar, name="calendar-remove"),
    path("approvals/away/", rules.away, name="away"),
    path("approvals/away/<uuid:absence_id>/end/", rules.end_absence, name="absence-end"),
    path("runs/<uuid:run_id>/asks/", inbox.asks_of_run, name="run-asks"),
]
