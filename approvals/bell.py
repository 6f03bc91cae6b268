"""Tells the open pages of a workspace that the desk has changed, once that is committed."""

from functools import partial

from django.db import transaction

from approvals.models import Approval
from runs import live


def look_again(approval: Approval) -> None:
    """Ring after the commit. A bell that is lost costs a page half a minute; it never undoes what was committed."""
    transaction.on_commit(partial(live.ring_workspace, approval.workspace_id), robust=True)
