"""What becomes of questions when retention removes what their run was given and said.

Who was asked and who decided what, why and when, about which action and under which fingerprint: that is evidence and
stays. A trigger lets go of what was shown once the run is marked, and of nothing before. Questions about money hold
figures alone.
"""

from runs.removal import SAID

_THESE = "(select id from approvals_approval where run_id = any(%(runs)s) and kind <> 'budget')"
_EMPTY = "case when {0} is not null then '{{}}'::jsonb end"
REMOVE = (
    "update approvals_approval set title = '', show = '{}', form = null, why = '', trust = '{}', "
    f"payload = {_EMPTY.format('payload')}, asked = {_EMPTY.format('asked')} where id in {_THESE}",
    "update approvals_decisionrecord set payload = '{}' "
    f"where approval_id in {_THESE} and payload is not null and payload <> '{{}}'",
    f"update approvals_comment set text = '{SAID}' where approval_id in {_THESE}",
)
IS_OPEN = "exists (select from approvals_approval a where a.run_id = r.id and a.state = 'open')"
