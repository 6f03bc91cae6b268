"""The Celery application: doorbells only. A message carries a run's id and may be lost, repeated or late."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orchestrator_site.settings")
# Django's checks import every page and route, a second and 18 MB a worker has no use for; migrations run them too.
os.environ.setdefault("CELERY_SKIP_CHECKS", "true")

app = Celery("baton")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["runs"])
