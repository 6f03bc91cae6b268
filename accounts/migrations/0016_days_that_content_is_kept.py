"""How long a workspace keeps what ended runs were given and said."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0015_attempts_by_client"),
    ]

    operations = [
        migrations.AddField(
            model_name="workspace",
            name="keep_content_days",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="how long what ended runs were given and said is kept; empty: for ever",
                null=True,
            ),
        ),
    ]
