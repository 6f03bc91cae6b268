"""Which secrets an agent may send and which hosts it may reach."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('pipelines', '0005_mcp_tools'),
    ]

    operations = [
        migrations.AddField(
            model_name='agentversion',
            name='egress',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=253), default=list, size=None),
        ),
        migrations.AddField(
            model_name='agentversion',
            name='secrets',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=63), default=list, size=None),
        ),
    ]
