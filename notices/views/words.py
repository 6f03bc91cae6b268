"""The icon of each kind of notice."""

from notices.models import Kind

ICONS = {
    Kind.ASKED: "hand",
    Kind.ASSIGNED: "user-check",
    Kind.REMINDER: "clock",
    Kind.ESCALATED: "arrow-up-right",
    Kind.COMMENTED: "message-circle",
    Kind.INFORMATION: "circle-question-mark",
    Kind.DECIDED: "check",
    Kind.BUDGET: "wallet",
}
