"""Runs of a version, and of a draft before it is published, are looked for after all."""
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('pipelines', '0010_budgets_of_tags_and_price_changes'),
        ('runs', '0018_no_index_of_versions_and_starters'),
    ]

    operations = [
        migrations.AlterField(
            model_name='run',
            name='version',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='pipelines.pipelineversion'),
        ),
    ]
