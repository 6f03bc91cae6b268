"""What each kind of question is called, and its icon."""

from approvals.models import DecisionRecord

ICONS = {
    "approve": "hand",
    "edit": "pencil",
    "answer": "message-circle-question-mark",
    "failure": "circle-x",
    "budget": "circle-dollar-sign",
    "outcome_unknown": "circle-question-mark",
}
MAIL_ICON = "mail"
ASKS = {
    "approve": "Approve or reject",
    "edit": "Check and edit",
    "answer": "A question for you",
    "failure": "A step failed",
    "budget": "The run reached its cap",
    "outcome_unknown": "Nobody knows whether it happened",
}
SAID = {
    "approve": "approved",
    "reject": "rejected",
    "answer": "answered",
    "retry": "had it tried again",
    "use": "gave the output",
    "skip": "skipped the step",
    "stop": "stopped the run",
}


def said(record: DecisionRecord) -> str:
    """Return what somebody answered, in words."""
    done = SAID.get(record.decision, record.decision)
    return f"{done} and took it back" if record.withdrawn_at else done
