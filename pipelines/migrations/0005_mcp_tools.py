"""Tools of MCP servers, and connections that lead to them."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import accounts.ids


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0003_database_roles'),
        ('pipelines', '0004_splits_and_what_budgets_do'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AlterField(
            model_name='connection',
            name='kind',
            field=models.CharField(choices=[('openai', 'openai'), ('anthropic', 'anthropic'), ('google', 'google'), ('mcp', 'mcp')], max_length=16),
        ),
        migrations.CreateModel(
            name='McpTool',
            fields=[
                ('id', models.UUIDField(default=accounts.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('connection', models.CharField(max_length=63)),
                ('remote', models.CharField(help_text='what the server calls it', max_length=64)),
                ('number', models.PositiveIntegerField()),
                ('description', models.TextField(blank=True)),
                ('args_schema', models.JSONField()),
                ('result_schema', models.JSONField()),
                ('effect', models.CharField(default='irreversible', max_length=16)),
                ('delivery', models.CharField(default='neither', max_length=16)),
                ('pin', models.CharField(help_text='sha256: and 64 hex digits over canonical JSON', max_length=71)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('workspace', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='accounts.workspace')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('workspace', 'connection', 'remote', 'number'), name='one_mcp_tool_per_number')],
            },
        ),
    ]
