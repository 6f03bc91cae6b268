"""Plain signs that a text gives orders to a model instead of informing it.

A short list of what such texts often say, in English. It catches the careless, not the determined: what protects a
run is that untrusted text is delimited and that nothing irreversible happens without an approval.
"""

from collections.abc import Iterator

import re2

_SIGNS = (
    (
        "it tells its reader to ignore earlier instructions",
        r"(?:ignore|disregard|forget|override|bypass)\s+(?:\w+\s+){0,4}"
        r"(?:instructions?|prompts?|rules|guidelines|directions|guardrails)\b",
    ),
    (
        "it asks for the system prompt or hidden instructions",
        r"(?:reveal|print|show|repeat|output|leak)\s+(?:\w+\s+){0,4}"
        r"(?:system\s+prompt|hidden\s+instructions|initial\s+instructions)",
    ),
    (
        "it gives its reader another role",
        r"(?:you\s+are\s+now\s+(?:an?|the|in)\b|pretend\s+(?:to\s+be|you\s+are)\b|act\s+as\s+(?:if\s+you|an?\s+un)|"
        r"\b(?:jailbreak|developer\s+mode|do\s+anything\s+now)\b)",
    ),
    ("it announces new instructions", r"(?:\bnew|\bupdated|\breal)\s+(?:system\s+)?instructions?\s*:"),
    (
        "it wants something kept from people",
        r"(?:do\s+not|don['’]t|never)\s+(?:tell|inform|mention|reveal|show)\s+(?:\w+\s+){0,3}(?:the\s+)?(?:user|human|"
        r"reviewer|operator|anyone)\b",
    ),
    (
        "it imitates the marks of a conversation",
        r"<\|(?:im_start|im_end|system|user|assistant)\|>|\[/?INST\]|<</?SYS>>|</?(?:system|untrusted)\b[^>]{0,40}>|"
        r"(?m:^\s*(?:#{2,}\s*)?(?:system|assistant)\s*:)",
    ),
)
_COMPILED = tuple((why, re2.compile(f"(?i){pattern}")) for why, pattern in _SIGNS)


def signs_in(text: str) -> Iterator[str]:
    """Yield what in the text looks like an order to a model, one clause for each kind of sign."""
    return (why for why, pattern in _COMPILED if pattern.search(text))
