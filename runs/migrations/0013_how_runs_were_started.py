"""A run says how it was started; see 0021 for earlier ones."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('runs', '0012_runs_to_trim'),
    ]

    operations = [
        migrations.AddField(
            model_name='run',
            name='via',
            field=models.CharField(blank=True, db_default='', default='', help_text='one of Via, or "trigger:" and its slug', max_length=80),
        ),
    ]
