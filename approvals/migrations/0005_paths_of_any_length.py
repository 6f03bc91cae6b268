"""The path of a step that asks, and the name of its question, are of any length, as in the run."""

from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False  # nobody waits for two columns
    dependencies = [("approvals", "0004_time_to_take_back")]
    operations = [
        migrations.AlterField("approval", "path", models.TextField()),
        migrations.AlterField("approval", "request", models.TextField()),
    ]
