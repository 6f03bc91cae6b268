"""Removes from sessions the requests that were to be repeated once their person had shown again who they are.

They held what was sent, passwords too, as it was typed.
"""

from typing import Any

from django.contrib.sessions.backends.db import SessionStore
from django.db import migrations

KEY = "account_reauthentication_state"


def remove(apps: Any, schema_editor: Any) -> None:
    store = SessionStore()
    for row in apps.get_model("sessions", "Session").objects.iterator(chunk_size=500):
        data = store.decode(row.session_data)
        if data.pop(KEY, None) is not None:
            row.session_data = store.encode(data)
            row.save(update_fields=["session_data"])


class Migration(migrations.Migration):
    dependencies = [("accounts", "0013_heads_of_audit_chains"), ("sessions", "0001_initial")]
    operations = [migrations.RunPython(remove, migrations.RunPython.noop)]
