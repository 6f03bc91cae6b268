from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0014_no_requests_kept_in_sessions")]
    operations = [
        migrations.AddIndex("loginattempt", models.Index(fields=["address", "at"], name="attempts_by_client")),
    ]
