"""How long a workspace keeps the logs and traces of ended runs."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0004_hosts_of_secrets'),
    ]

    operations = [
        migrations.AddField(
            model_name='workspace',
            name='keep_days',
            field=models.PositiveIntegerField(blank=True, help_text='how long logs and traces of ended runs are kept; empty: for ever', null=True),
        ),
    ]
