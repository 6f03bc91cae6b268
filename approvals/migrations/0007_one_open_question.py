"""Of questions about the same one is open: the index that decides between two workers, made while people go on asking."""

from django.db import migrations, models

DROP = "DROP INDEX CONCURRENTLY IF EXISTS asked_once_while_open"
MAKE = """
CREATE UNIQUE INDEX CONCURRENTLY asked_once_while_open ON approvals_approval (shared)
WHERE state = 'open' AND NOT (shared = '')
"""


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("approvals", "0006_asked_once")]

    operations = [
        migrations.SeparateDatabaseAndState(
            # One that was broken off has left an index that decides nothing.
            [migrations.RunSQL([DROP, MAKE], DROP)],
            [
                migrations.AddConstraint(
                    model_name="approval",
                    constraint=models.UniqueConstraint(
                        condition=models.Q(state="open") & ~models.Q(shared=""),
                        fields=("shared",),
                        name="asked_once_while_open",
                    ),
                )
            ],
        ),
    ]
