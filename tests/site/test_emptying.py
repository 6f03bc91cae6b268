"""What one transactional test wrote, the next one never sees."""

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from accounts.models import AuditEntry, User
from pipelines import drafts
from tests import emptying
from tests.people import a_team, acting
from tests.pipelines.builders import a_document, a_writer

pytestmark = pytest.mark.django_db(transaction=True)


def rows_of_every_table() -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(emptying._TABLES, [list(emptying.KEPT)])
        tables = [name for (name,) in cursor.fetchall()]
        cursor.execute(" UNION ALL ".join(f"SELECT '{name}', count(*) FROM {name}" for name in tables))
        return {name: count for name, count in cursor.fetchall() if count}


@pytest.mark.parametrize("much", [0, emptying.MUCH_BYTES], ids=["truncating", "deleting"])
def test_nothing_is_left_in_any_table(monkeypatch: pytest.MonkeyPatch, much: int) -> None:
    monkeypatch.setattr(emptying, "MUCH_BYTES", much)
    team = a_team()
    a_writer(acting(team.alice))
    drafts.create(acting(team.alice), a_document())
    assert {AuditEntry._meta.db_table, User._meta.db_table} < rows_of_every_table().keys()
    emptying.empty_database("default")
    assert rows_of_every_table() == {}
    assert ContentType.objects.get_for_model(User).model_class() is User
