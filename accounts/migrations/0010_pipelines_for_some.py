"""For whom some pipelines of a workspace are kept."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0009_roles_without_content'),
    ]

    operations = [
        migrations.AddField(
            model_name='workspace',
            name='sharing',
            field=models.JSONField(blank=True, db_default={}, default=dict, help_text="by pipeline's id: its slug, and the roles and addresses of each Share that is kept for some"),
        ),
    ]
