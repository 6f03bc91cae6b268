"""Boards that runs share know each change by the attempt that made it."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('runs', '0008_summaries'),
    ]

    operations = [
        migrations.AddField(
            model_name='boardentry',
            name='request',
            field=models.CharField(help_text='of a shared board: path@attempt that changed it', max_length=440, null=True),
        ),
        migrations.AddIndex(
            model_name='boardentry',
            index=models.Index(fields=['board_id', 'id'], name='board_in_order'),
        ),
        migrations.AddConstraint(
            model_name='boardentry',
            constraint=models.UniqueConstraint(condition=models.Q(('request__isnull', False)), fields=('run', 'request'), name='one_change_per_request'),
        ),
    ]
