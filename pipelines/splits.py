"""A/B: a pipeline's name without a version may stand for several versions, which share the new runs by their ids."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from string import ascii_uppercase
from uuid import UUID

from django.db import transaction

from accounts import audit
from accounts.access import Actor, Capability, require
from accounts.errors import Conflict, Invalid
from pipelines import publish, raising
from pipelines.graph.model import Json
from pipelines.models import Pipeline, PipelineVersion

MOST_ARMS = 10


@dataclass(frozen=True, slots=True)
class Arm:
    """One version's part of the new runs. `name` is A, B, C … in the order in which they were given.

    `x` is the sum of the percents before it: where its part of a bar begins.
    """

    name: str
    version: int
    percent: int
    x: int = 0

    def as_json(self) -> dict[str, Json]:
        return {"arm": self.name, "version": self.version, "percent": self.percent}


def arms_of(pipeline: Pipeline) -> list[Arm]:
    """Return the arms that share the pipeline's new runs; none where all get the published version."""
    starts = accumulate((arm["percent"] for arm in pipeline.split), initial=0)
    return [
        Arm(name, arm["version"], arm["percent"], x)
        for name, arm, x in zip(ascii_uppercase, pipeline.split, starts, strict=False)
    ]


def arm_of(pipeline: Pipeline, run_id: UUID) -> Arm | None:
    """Return the arm that a run belongs to: always the same for an id, and spread over the ids as the shares are."""
    at = int.from_bytes(hashlib.sha256(str(run_id).encode()).digest()[:8]) % 100
    for arm in arms_of(pipeline):
        if at < arm.percent:
            return arm
        at -= arm.percent
    return None


@transaction.atomic
def put(actor: Actor, pipeline: Pipeline, wanted: Sequence[tuple[int, int]], reason: str = "") -> Pipeline:
    """Share new runs between versions, given as (version, percent) pairs that sum to 100; runs under way keep theirs.

    Raises Invalid `bad_split`, NotFound for an unknown version, Conflict `archived`, Forbidden; and as `raising.allow`
    where one of them raises a cap of a run over what new runs get now. Locks the pipeline.
    """
    require(actor, Capability.PUBLISH, pipeline)
    now = publish.held(pipeline)
    documents = [version.document for version in _checked(now, wanted)]
    allowed = raising.allow(actor, now, reason, *documents)
    _share(actor, pipeline, wanted)
    raising.record(actor, now, allowed)
    return pipeline


@transaction.atomic
def publish_beside(actor: Actor, pipeline: Pipeline, percent: int, said: publish.Said) -> PipelineVersion:
    """Publish the draft for so many percent of the new runs; the version that was published before keeps the rest.

    Without one before, all runs get it. Raises as `publish.publish`, and as `raising.allow` where a split had left the
    one before out and its cap of a run is higher. Locks as `publish.locked`.
    """
    require(actor, Capability.PUBLISH, pipeline)
    now = publish.locked(pipeline).pipeline
    kept = now.published
    allowed = raising.allow(actor, now, said.reason, *([kept.document] if kept else []))
    version = publish.publish(actor, now, said.note, said.revision, said.reason)
    if kept is not None and kept.number is not None and version.number is not None:
        wanted = [(kept.number, 100 - percent), (version.number, percent)]
        _checked(now, wanted)
        _share(actor, now, wanted)
        raising.record(actor, now, allowed, kept.number)
    return version


@transaction.atomic
def end(actor: Actor, pipeline: Pipeline, reason: str = "") -> None:
    """Let all new runs have the published version again. Publishing does so too.

    Raises Forbidden, and as `raising.allow` where that raises a cap of a run over those of the versions that shared
    them. Locks the pipeline.
    """
    require(actor, Capability.PUBLISH, pipeline)
    now = publish.held(pipeline)
    if not now.split:
        return
    live = now.published
    allowed = raising.allow(actor, now, reason, *([live.document] if live else []))
    pipeline.split = []
    pipeline.save(update_fields=["split"])
    audit.record(actor.workspace, actor.user, "pipeline.split_ended", pipeline.slug)
    raising.record(actor, now, allowed, live.number if live else None)


def _checked(pipeline: Pipeline, wanted: Sequence[tuple[int, int]]) -> list[PipelineVersion]:
    """Return the versions that are to share new runs."""
    if pipeline.archived_at is not None:
        raise Conflict(f"{pipeline.name} is archived. Restore it first.", code="archived")
    versions, shares = [version for version, _ in wanted], [percent for _, percent in wanted]
    if not 1 <= len(wanted) <= MOST_ARMS or len(set(versions)) != len(versions):
        message = f"A split has 1 to {MOST_ARMS} different versions."
        raise Invalid(message, code="bad_split", where="/arms")
    if sum(shares) != 100 or min(shares) < 1:
        message = f"The shares must be whole percents above zero that sum to 100, not {sum(shares)}."
        raise Invalid(message, code="bad_split", where="/arms")
    return [publish.version_of(pipeline, version) for version in versions]


def _share(actor: Actor, pipeline: Pipeline, wanted: Sequence[tuple[int, int]]) -> None:
    pipeline.split = [{"version": version, "percent": percent} for version, percent in wanted]
    pipeline.save(update_fields=["split"])
    audit.record(actor.workspace, actor.user, "pipeline.split", pipeline.slug, {"arms": pipeline.split})
