"""The six roles, the six token scopes, and the capabilities they carry. Only `accounts.access` reads this."""

from enum import StrEnum


class Role(StrEnum):
    VIEWER = "viewer"
    COMPOSER = "composer"
    REVIEWER = "reviewer"
    MANAGER = "manager"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Share(StrEnum):
    """What of one pipeline can be kept for some. Who may run or edit it must be one of those who see it."""

    SEE = "see"
    RUN = "run"
    EDIT = "edit"


class Scope(StrEnum):
    READ = "read"
    RUN = "run"
    EDIT = "edit"
    DECIDE = "decide"
    MANAGE = "manage"
    ADMIN = "admin"
