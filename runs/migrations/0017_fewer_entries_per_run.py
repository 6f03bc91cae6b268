"""A run has no entry in the index of children or of forks that it is not in, and waits are found by run."""
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0005_days_that_logs_are_kept'),
        ('pipelines', '0010_budgets_of_tags_and_price_changes'),
        ('runs', '0016_triggers'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='run',
            name='one_run_per_child',
        ),
        migrations.AlterField(
            model_name='run',
            name='forked_from',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.SET_NULL, to='runs.run'),
        ),
        migrations.AlterField(
            model_name='run',
            name='parent',
            field=models.ForeignKey(blank=True, db_index=False, help_text='who started it', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='child_runs', to='runs.run'),
        ),
        migrations.AddIndex(
            model_name='event',
            index=models.Index(condition=models.Q(('type', 'step_waiting')), fields=['run'], name='events_of_waits'),
        ),
        migrations.AddIndex(
            model_name='ledgerentry',
            index=models.Index(condition=models.Q(('kind__in', ['unconfirmed', 'cache_hit'])), fields=['run'], name='entries_of_run'),
        ),
        migrations.AddIndex(
            model_name='run',
            index=models.Index(condition=models.Q(('forked_from__isnull', False)), fields=['forked_from'], name='runs_forks'),
        ),
        migrations.AddConstraint(
            model_name='run',
            constraint=models.UniqueConstraint(condition=models.Q(('parent__isnull', False)), fields=('parent', 'parent_path', 'parent_count'), name='one_run_per_child'),
        ),
    ]
