"""How far the spans have been sent to a collector."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('runs', '0014_waste_and_times_of_days'),
    ]

    operations = [
        migrations.CreateModel(
            name='SpanExport',
            fields=[
                ('name', models.CharField(max_length=16, primary_key=True, serialize=False)),
                ('position', models.BigIntegerField()),
                ('holder', models.CharField(blank=True, max_length=32)),
                ('held_until', models.DateTimeField(blank=True, null=True)),
                ('next_at', models.DateTimeField(blank=True, help_text='not before this, after a failure', null=True)),
                ('failures', models.PositiveIntegerField(default=0, help_text='in a row')),
                ('error', models.CharField(blank=True, help_text='what the last failure said', max_length=500)),
                ('sent', models.BigIntegerField(default=0, help_text='spans that the collector took')),
                ('refused', models.BigIntegerField(default=0, help_text='spans that it refused for good')),
            ],
        ),
    ]
