"""Removes from sessions the requests that were to be repeated once their person had shown again who they are.

They held what was sent, passwords too, as it was typed.
"""

from typing import Any

from django.contrib.sessions.backends.db import SessionStore
from django.db import migrations

KEY = "account_reauthentication_state"


def remove(apps: Any, schema_editor: Any) -> None:
    sessions = apps.get_model("sessions", "Session").objects
    for key, data in sessions.values_list("session_key", "session_data").iterator(chunk_size=500):
        _clean(sessions.filter(session_key=key), data)


def _clean(session: Any, data: str | None) -> None:
    """Write a session without it, unless a server of before has written it since it was read: then look again."""
    store = SessionStore()
    while data is not None:
        kept = store.decode(data)
        if kept.pop(KEY, None) is None or session.filter(session_data=data).update(session_data=store.encode(kept)):
            return
        data = session.values_list("session_data", flat=True).first()


class Migration(migrations.Migration):
    dependencies = [("accounts", "0013_heads_of_audit_chains"), ("sessions", "0001_initial")]
    operations = [migrations.RunPython(remove, migrations.RunPython.noop)]
