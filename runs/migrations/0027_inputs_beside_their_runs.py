"""An input too large for its run's row stands beside it, where large outputs do; then the row has none.

The way back puts each into its row again, whatever its size.
"""

from django.db import migrations, models

_BACK = """
UPDATE runs_run r SET input = a.value, large = nullif(r.large - 'input', '{}') FROM runs_artifact a
WHERE r.input IS NULL AND a.run_id = r.id AND a.hash = r.large #>> '{input,hash}'
"""


class Migration(migrations.Migration):
    dependencies = [
        ("runs", "0026_pipelines_above_runs"),
    ]

    operations = [
        migrations.AlterField(
            model_name="run",
            name="input",
            field=models.JSONField(blank=True, default=dict, null=True),
        ),
        migrations.RunSQL(migrations.RunSQL.noop, _BACK),
    ]
