"""To which hosts a secret may be sent in a header."""

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0003_database_roles'),
    ]

    operations = [
        migrations.AddField(
            model_name='secret',
            name='hosts',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=253), default=list, help_text='where the tool http.request may send it; none: nowhere', size=None),
        ),
    ]
