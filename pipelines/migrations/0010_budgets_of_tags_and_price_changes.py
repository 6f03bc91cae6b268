"""Budgets of tags, what was done to budgets, and prices with the moment from which they hold."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


def never_changes(table: str) -> migrations.RunSQL:
    return migrations.RunSQL(
        f"CREATE TRIGGER immutable_version BEFORE UPDATE OR DELETE ON {table} "
        f"FOR EACH ROW EXECUTE FUNCTION immutable_version('by_id');",
        f"DROP TRIGGER immutable_version ON {table};",
    )


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0005_days_that_logs_are_kept'),
        ('pipelines', '0009_knowledge'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='BudgetChange',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('scope', models.CharField(max_length=200)),
                ('act', models.CharField(choices=[('set', 'Set'), ('raised', 'Raised'), ('lowered', 'Lowered'), ('changed', 'Changed'), ('allowed', 'Allowed'), ('removed', 'Removed')], max_length=8)),
                ('was_micros', models.BigIntegerField(null=True)),
                ('cap_micros', models.BigIntegerField(null=True)),
                ('terms', models.JSONField(default=dict, help_text='{hard, on_exceed} from then on')),
                ('reason', models.CharField(blank=True, max_length=400)),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name='PriceChange',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('connection', models.CharField(max_length=63)),
                ('model', models.CharField(max_length=128)),
                ('input', models.BigIntegerField(null=True)),
                ('output', models.BigIntegerField(null=True)),
                ('cached_input', models.BigIntegerField(null=True)),
                ('own', models.BooleanField(default=True)),
                ('from_at', models.DateTimeField()),
                ('reason', models.CharField(blank=True, max_length=400)),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.RemoveConstraint(
            model_name='budget',
            name='one_budget_per_scope',
        ),
        migrations.AddField(
            model_name='budget',
            name='tag',
            field=models.CharField(blank=True, max_length=63, null=True),
        ),
        migrations.AddConstraint(
            model_name='budget',
            constraint=models.UniqueConstraint(fields=('workspace', 'pipeline', 'tag', 'period'), name='one_budget_per_scope', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='budget',
            constraint=models.CheckConstraint(condition=models.Q(('pipeline', None), ('tag', None), _connector='OR'), name='budget_of_one_scope'),
        ),
        migrations.AddField(
            model_name='budgetchange',
            name='by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='budgetchange',
            name='workspace',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.workspace'),
        ),
        migrations.AddField(
            model_name='pricechange',
            name='by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='pricechange',
            name='workspace',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.workspace'),
        ),
        migrations.AddIndex(
            model_name='budgetchange',
            index=models.Index(fields=['workspace', '-id'], name='budget_changes_newest'),
        ),
        migrations.AddIndex(
            model_name='pricechange',
            index=models.Index(fields=['workspace', 'connection', 'model', '-from_at'], name='price_changes_of_model'),
        ),
        migrations.AddConstraint(
            model_name='pricechange',
            constraint=models.CheckConstraint(condition=models.Q(('from_at__gte', models.F('at'))), name='price_never_dated_back'),
        ),
        migrations.AddConstraint(
            model_name='pricechange',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('input', None), ('output', None)), models.Q(('input__gte', 0), ('output__gte', 0)), _connector='OR'), name='price_is_whole'),
        ),
        never_changes("pipelines_budgetchange"),
        never_changes("pipelines_pricechange"),
    ]
