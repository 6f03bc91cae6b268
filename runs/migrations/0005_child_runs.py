"""Runs that steps of other runs start: who started which, and what came along."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runs", "0004_waits_boards_and_locks")]

    operations = [
        migrations.AddField(
            model_name="run",
            name="parent",
            field=models.ForeignKey(
                blank=True,
                help_text="who started it",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="child_runs",
                to="runs.run",
            ),
        ),
        migrations.AddField(
            model_name="run",
            name="parent_path",
            field=models.CharField(blank=True, help_text="the step that started it", max_length=400, null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="parent_count",
            field=models.PositiveIntegerField(
                blank=True, help_text="which of that step's children it is", null=True
            ),
        ),
        migrations.AddField(
            model_name="run",
            name="origin",
            field=models.JSONField(
                default=dict, help_text="of a child: ancestors, labels, editors; see engine.origin"
            ),
        ),
        migrations.AddField(
            model_name="run",
            name="children",
            field=models.PositiveIntegerField(default=0, help_text="how many runs its steps have started"),
        ),
        migrations.AddConstraint(
            model_name="run",
            constraint=models.UniqueConstraint(
                fields=("parent", "parent_path", "parent_count"), name="one_run_per_child"
            ),
        ),
    ]
