"""Roles of a workspace that see what things cost, and nothing of what runs say."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0008_members_shut_out'),
    ]

    operations = [
        migrations.AddField(
            model_name='workspace',
            name='without_content',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('viewer', 'viewer'), ('composer', 'composer'), ('reviewer', 'reviewer'), ('manager', 'manager'), ('auditor', 'auditor'), ('admin', 'admin')], max_length=16), blank=True, db_default=[], default=list, help_text='the roles that see what things cost, and nothing of what runs say', size=None),
        ),
    ]
