"""The addresses of this app's pages."""

from django.urls import path

from evals.views import datasets, evaluations, gates, ratings, saving

urlpatterns = [
    path("evaluations/", evaluations.listed, name="evaluations"),
    path("evaluations/+new/", evaluations.new, name="evaluation-new"),
    path("evaluations/<uuid:evaluation_id>/", evaluations.one, name="evaluation"),
    path("evaluations/<uuid:evaluation_id>/cancel/", evaluations.cancel, name="evaluation-cancel"),
    path("evaluations/<uuid:evaluation_id>/rate/", ratings.rate_next, name="evaluation-rate"),
    path("datasets/+new/", datasets.new, name="dataset-new"),
    path("datasets/<slug:name>/", datasets.one, name="dataset"),
    path("pipelines/<slug:slug>/gate/", gates.gate, name="publish-gate"),
    path("runs/<uuid:run_id>/case/", saving.save_run, name="run-case"),
    path("approvals/<uuid:approval_id>/case/", saving.save_rejection, name="approval-case"),
    path("runs/<uuid:run_id>/rate/", ratings.rate, name="run-rate"),
]
