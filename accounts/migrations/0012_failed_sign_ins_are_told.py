"""What failed is kept until it was told to the audit log."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0011_violations_of_the_content_policy'),
    ]

    operations = [
        migrations.AddField(
            model_name='loginattempt',
            name='failed',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name='loginattempt',
            name='forgiven',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name='loginattempt',
            name='told',
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
