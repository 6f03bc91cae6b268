"""What several runs ask about the same is asked once; the others have a place beside the question that is open."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("approvals", "0005_paths_of_any_length"),
        ("runs", "0026_pipelines_above_runs"),
    ]

    operations = [
        migrations.AddField(
            model_name="approval",
            name="shared",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="what other runs ask about as well, asked once",
                max_length=80,
            ),
        ),
        migrations.CreateModel(
            name="Joined",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("request", models.TextField()),
                (
                    "approval",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="joined", to="approvals.approval"
                    ),
                ),
                (
                    "run",
                    models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to="runs.run"),
                ),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("run", "request"), name="one_place_per_question")],
            },
        ),
    ]
