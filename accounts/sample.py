"""The people of the sample workspace, for trying Baton out."""

from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.core.exceptions import ImproperlyConfigured

from accounts import tokens
from accounts.models import Membership, User, Workspace
from accounts.roles import Role, Scope

SLUG = "sample"
PEOPLE = (
    ("alice@example.com", "Alice Moreau", Role.COMPOSER),
    ("bob@example.com", "Bob Tan", Role.REVIEWER),
    ("carol@example.com", "Carol Okafor", Role.MANAGER),
    ("dana@example.com", "Dana Lindqvist", Role.ADMIN),
    ("erin@example.com", "Erin Castillo", Role.AUDITOR),
)


def people(password: str) -> Workspace:
    """Return the workspace `sample` with its five people, who sign in with this password; repeating changes nothing.

    BATON_SAMPLE_TOKEN becomes dana's token with all scopes. Raises ImproperlyConfigured in production.
    """
    if settings.PRODUCTION:
        raise ImproperlyConfigured("The sample workspace has known people: it is for development only.")
    workspace, _ = Workspace.objects.get_or_create(slug=SLUG, defaults={"name": "Sample workspace"})
    encoded = _encoded(password)
    for email, name, role in PEOPLE:
        user, _ = User.objects.get_or_create(email=email, defaults={"name": name})
        if user.password != encoded:
            user.password = encoded
            user.save(update_fields=["password"])
        Membership.objects.get_or_create(workspace=workspace, user=user, defaults={"roles": [role]})
    if settings.SAMPLE_TOKEN:
        dana = User.objects.get(email="dana@example.com")
        tokens.keep(settings.SAMPLE_TOKEN, dana, workspace, list(Scope), name="sample")
    return workspace


def _encoded(password: str) -> str:
    """Return one hash for all five, the one they have if it still fits: hashing takes a tenth of a second each."""
    for encoded in User.objects.filter(email=PEOPLE[0][0]).values_list("password", flat=True):
        if check_password(password, encoded):
            return encoded
    return make_password(password)
