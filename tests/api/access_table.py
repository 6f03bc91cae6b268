"""Writes docs/access.md: who reads and does what on every address, from the tables that the walks follow.

python -m tests.api.access_table > docs/access.md
"""

import os
from collections.abc import Iterator

PEOPLE = {
    "victor": "viewer",
    "alice": "composer",
    "bob": "reviewer",
    "carol": "manager",
    "erin": "auditor",
    "dana": "admin",
}
IN_HAND = "whoever has it in hand"
HEAD = """# Every address, and for whom it is

This table is written by `python -m tests.api.access_table`; a test compares it with the tables by which every address
is asked as nobody, as a stranger, as each role, by a token with too few scopes, and without a CSRF token
(`tests/api/test_walk.py`). A stranger, and a person from whom a pipeline is kept, is answered as if the thing were
not there. **Content** says whether a role that sees costs without content (see [access](guides/access.md)) is let in
at all; where it is, the answer holds none (`tests/api/test_content.py`).

Sockets: `/ws/workspace/{slug}` is for every member and holds no content; `/ws/runs/{id}` and `/ws/pipelines/{slug}`
are for those who see it.
"""


def table() -> str:
    """Return the whole document."""
    return "\n".join([HEAD, *_routes(), "", *_pages(), ""])


def _routes() -> Iterator[str]:
    from accounts import content
    from tests.api.walks import CALLS

    yield from ("## API", "", "| route | for | content |", "|---|---|---|")
    for route, call in CALLS.items():
        free = content.is_free_of_it("api/v1" + route.partition(" ")[2].replace("{", "<").replace("}", ">"))
        yield f"| `{route}` | {_roles(call.may) if call.may else IN_HAND} | {'no' if free else 'yes'} |"


def _pages() -> Iterator[str]:
    from accounts import content
    from tests.api.page_walks import PAGES

    yield from ("## Pages", "", "| page | read by | its form sent by | content |", "|---|---|---|---|")
    for pattern, page in PAGES.items():
        reads = "-" if not page.reads else "anybody" if page.public else _roles(page.may)
        sends = "-" if page.posts is None else "anybody" if page.public else _roles(page.acts) or IN_HAND
        free = page.public or content.is_free_of_it(pattern)
        yield f"| `/{pattern}` | {reads} | {sends} | {'no' if free else 'yes'} |"


def _roles(may: frozenset[str]) -> str:
    named = [role for person, role in PEOPLE.items() if person in may]
    return "every member" if len(named) == len(PEOPLE) else ", ".join(named)


if __name__ == "__main__":
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "orchestrator_site.settings")
    django.setup()
    print(table(), end="")
