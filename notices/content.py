"""What becomes of notices when retention removes what a run was given and said: those about its questions go."""

_ABOUT = "approval_id in (select id from approvals_approval where run_id = any(%(runs)s) and kind <> 'budget')"
REMOVE = (
    f"delete from notices_delivery where notice_id in (select id from notices_notice where {_ABOUT})",
    f"delete from notices_delivery where event_id in (select id from notices_event where {_ABOUT})",
    f"delete from notices_notice where {_ABOUT}",
    f"delete from notices_event where {_ABOUT}",
)
