"""The one home of a workspace's judges holds rubrics of all its pipelines, also of those that are kept for some; from now
on each pipeline has a home of its own. What is in the old one is for admins."""

from django.db import migrations

KEEP = """
update accounts_workspace w
set sharing = w.sharing || jsonb_build_object(p.id::text, '{"slug": "JUDGE", "see": ["admin"], "run": [], "edit": []}'::jsonb)
from pipelines_pipeline p where p.workspace_id = w.id and p.slug = 'JUDGE'
"""
GIVE_BACK = """
update accounts_workspace w set sharing = w.sharing - p.id::text
from pipelines_pipeline p where p.workspace_id = w.id and p.slug = 'JUDGE'
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0010_pipelines_for_some'),
        ('evals', '0003_ratings_and_pairs'),
        ('pipelines', '0010_budgets_of_tags_and_price_changes'),
    ]

    operations = [migrations.RunSQL(KEEP, GIVE_BACK)]
