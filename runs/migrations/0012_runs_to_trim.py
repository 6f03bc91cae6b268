"""The runs whose events and spans may go are found by an index."""

from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0005_days_that_logs_are_kept'),
        ('pipelines', '0009_knowledge'),
        ('runs', '0011_counts_of_runs_by_day'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('booked_at__isnull', False), ('trimmed_at__isnull', True)), fields=['workspace', 'finished_at'], name='runs_to_trim'),
        ),
    ]
