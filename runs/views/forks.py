"""The page that forks a run: from a chosen step, or from an output edited by hand."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from accounts.access import actor_of, signed_in
from accounts.errors import Refused
from runs import fork_form


@require_http_methods(["GET", "POST"])
@signed_in
def fork(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """The form; a POST starts the new run with the person's own rights."""
    actor = actor_of(request)
    context: dict[str, object] = {}
    status = 200
    if request.method == "POST":
        try:
            return redirect("run", fork_form.start(actor, run_id, request.POST).pk)
        except Refused as refused:
            context, status = {"refused": refused}, refused.status
            if status == 404:
                raise
    path = request.POST.get("edited_path") or request.GET.get("path")
    form = fork_form.edit(actor, run_id, path, request.POST) if path else fork_form.choice(actor, run_id)
    return render(request, "runs/fork.html", {"form": form, "run": form.run} | context, status=status)
