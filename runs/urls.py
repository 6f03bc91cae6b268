"""The addresses of this app's pages, and of the pipelines' pages that show runs."""

from django.urls import path

from runs.views import costs, forks, pipelines, runs

urlpatterns = [
    path("pipelines/", pipelines.pipelines, name="pipelines"),
    path("pipelines/<slug:slug>/", pipelines.pipeline, name="pipeline"),
    path("runs/", runs.runs, name="runs"),
    path("runs/<uuid:run_id>/", runs.run, name="run"),
    path("runs/<uuid:run_id>/step/", runs.step, name="run-step"),
    path("runs/<uuid:run_id>/changes", runs.changes, name="run-changes"),
    path("runs/<uuid:run_id>/buttons/", runs.buttons, name="run-buttons"),
    path("runs/<uuid:run_id>/fork/", forks.fork, name="run-fork"),
    path("runs/<uuid:run_id>/cancel/", runs.act, {"name": "cancel"}, name="run-cancel"),
    path("runs/<uuid:run_id>/pause/", runs.act, {"name": "pause"}, name="run-pause"),
    path("runs/<uuid:run_id>/resume/", runs.act, {"name": "resume"}, name="run-resume"),
    path("costs/", costs.costs, name="costs"),
]
