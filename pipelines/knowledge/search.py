"""Full text search over one collection of one workspace: the passages that say what is asked for, best first."""

from dataclasses import asdict, dataclass
from uuid import UUID

from django.db import connection

from accounts.errors import Refused
from pipelines.graph.model import Json
from pipelines.knowledge.models import Collection

MOST, USUAL = 20, 5
LONGEST_QUERY = 400
_NAMED = 10

# `every` is what websearch syntax asks for. `some` is any one of its words, for a question that no passage repeats word
# for word; a query that excludes a word is taken as it stands. Ranks are scaled to rank / (rank + 1) (flag 32).
_SEARCH = """
WITH words AS (
    SELECT websearch_to_tsquery('simple', %(query)s) || websearch_to_tsquery('english', %(query)s) AS every,
           websearch_to_tsquery('english', %(query)s) AS stems
), asked AS (
    SELECT every, CASE WHEN position('!' IN stems::text) > 0 THEN every
                       ELSE every || replace(stems::text, ' & ', ' | ')::tsquery END AS some
    FROM words
)
SELECT p.text, d.name, p.place,
       (ts_rank_cd(p.search, asked.every, 32) + ts_rank(p.search, asked.some, 32)) / 2 AS score
FROM asked, pipelines_passage p
JOIN pipelines_document d ON d.id = p.document_id
WHERE d.collection_id = %(collection)s AND p.search @@ asked.some
ORDER BY p.search @@ asked.every DESC, score DESC, d.name, p.n
LIMIT %(limit)s
"""


class UnknownCollection(Refused):
    """The workspace has no collection of this slug."""

    code, status = "unknown_collection", 404


@dataclass(frozen=True, slots=True)
class Found:
    """A passage with the name of its document; `score` is between 0 and 1, and compares passages of one search."""

    text: str
    document: str
    place: str
    score: float

    def as_json(self) -> dict[str, Json]:
        return asdict(self)


def find(workspace_id: UUID, slug: str, query: str, limit: int = USUAL) -> list[Found]:
    """Return the best passages of a collection, those with every word of the query before those with some.

    Quotation marks ask for a phrase, a minus before a word excludes it, `or` is either. Raises UnknownCollection.
    Two queries.
    """
    found = Collection.objects.filter(workspace_id=workspace_id, slug=slug).values_list("pk", flat=True).first()
    if found is None:
        raise _unknown(workspace_id, slug)
    clean = query[:LONGEST_QUERY].replace("\0", " ").encode(errors="replace").decode()
    with connection.cursor() as cursor:
        cursor.execute(_SEARCH, {"query": clean, "collection": found, "limit": max(1, min(limit, MOST))})
        return [Found(text, name, place, round(score, 4)) for text, name, place, score in cursor.fetchall()]


def _unknown(workspace_id: UUID, slug: str) -> UnknownCollection:
    there = Collection.objects.filter(workspace_id=workspace_id).order_by("slug").values_list("slug", flat=True)
    names = ", ".join(there[:_NAMED])
    which = f"There are: {names}." if names else "There is none yet; make one under Knowledge."
    return UnknownCollection(f"There is no collection named {slug[:80]!r} here. {which}")
