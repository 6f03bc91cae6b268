"""When retention removed what a run was given and said; the runs whose content may go are found by an index."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("accounts", "0016_days_that_content_is_kept"),
        ("runs", "0027_inputs_beside_their_runs"),
    ]

    operations = [
        migrations.AddField(
            model_name="run",
            name="content_removed_at",
            field=models.DateTimeField(
                blank=True, help_text="when retention removed what it was given and said", null=True
            ),
        ),
        AddIndexConcurrently(
            model_name="run",
            index=models.Index(
                condition=models.Q(
                    ("content_removed_at__isnull", True), ("parent__isnull", True), ("trimmed_at__isnull", False)
                ),
                fields=["workspace", "finished_at"],
                name="runs_with_content",
            ),
        ),
    ]
