"""The call that tries whether a circuit may close is named by its step's path, which is of any length."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("pipelines", "0011_circuits_of_agents")]
    operations = [migrations.AlterField("circuit", "probe", models.TextField(blank=True, default=""))]
