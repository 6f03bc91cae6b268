"""The sample workspace: its people, every template published, the operator's provider keys, a daily budget."""

from dataclasses import replace

from django.conf import settings
from django.db import transaction

from accounts import sample, secrets
from accounts.access import Actor
from accounts.errors import NotFound
from accounts.models import User, Workspace
from accounts.roles import Role
from pipelines import budgets, gallery
from pipelines.library import connections
from pipelines.models import Connection, Pipeline

DAILY_CAP_USD = "50.00"
AUTHOR = "alice@example.com"


@transaction.atomic
def load(password: str) -> list[str]:
    """Make whatever the sample workspace lacks and return the names of what was made: nothing, the second time.

    Its people sign in with this password. What somebody changed, archived or removed there stays so. Raises
    ImproperlyConfigured in production.
    """
    workspace = sample.people(password)
    operator = Actor(User.objects.get(email=AUTHOR), workspace, frozenset(Role))
    present = set(Pipeline.objects.filter(workspace=workspace).values_list("slug", flat=True))
    made = [template.name for template in gallery.templates() if template.document["id"] not in present]
    for name in made:
        gallery.instantiate(operator, name)
    if not present:
        budgets.put(operator, budgets.BudgetFields(period="day", max_cost_usd=DAILY_CAP_USD))
    return [*made, *_provider_connections(operator)]


def _provider_connections(operator: Actor) -> list[str]:
    """Keep a connection for each provider key of the environment; return the names of those made or changed."""
    kept = {row.name: row for row in Connection.objects.filter(workspace=operator.workspace)}
    changed: list[str] = []
    for kind, (key, base_url) in settings.PROVIDER_ENV.items():
        if not key:
            continue
        fields = connections.ConnectionFields(
            name=kind, kind=kind, base_url=base_url, secret=f"{kind}-key", trusted_address=bool(base_url)
        )
        row = kept.get(kind)
        if row is None:
            connections.create(operator, fields)
            changed.append(kind)
        elif row.secret == fields.secret and row.base_url != base_url.rstrip("/"):
            connections.change(operator, row, _moved(row, fields))
            changed.append(kind)
        _keep_secret(operator.workspace, fields.secret, key)
    return changed


def _moved(row: Connection, wanted: connections.ConnectionFields) -> connections.ConnectionFields:
    """Return the connection led to the environment's address; prices and limits stay as people set them."""
    return replace(wanted, prices=row.prices, max_concurrent=row.max_concurrent, rpm=row.rpm, tpm=row.tpm)


def _keep_secret(workspace: Workspace, name: str, value: str) -> None:
    try:
        known = secrets.reveal(workspace.pk, name)
    except NotFound:
        known = ""
    if known != value:
        secrets.put(workspace, name, value)
