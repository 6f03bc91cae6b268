"""Makes the evidence bundle of one run that has ended: what its rows say, under a signed list of SHA-256 sums."""

import datetime as dt
import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from typing import IO, Any
from uuid import UUID

from django.db.models import Model, QuerySet

from accounts import audit, seals
from accounts.access import Actor, Capability, get, require
from accounts.clock import database_now
from accounts.errors import Conflict
from accounts.models import AuditEntry, User
from approvals.evidence.checking import FORMAT, FORMAT_VERSION, MANIFEST, SIGNATURE
from approvals.models import Approval, Comment, DecisionRecord
from pipelines import sharing
from pipelines.models import PipelineVersion
from runs.models import OPEN_RUN_STATES, Artifact, Call, Event, LedgerEntry, Run, Step
from runs.snapshot import one_snapshot

_IN_MEMORY = 8 * 1024 * 1024
_ALWAYS = (1980, 1, 1, 0, 0, 0)
"""The time of every file in the archive: when it was made stands in the manifest."""
_NOT_SAID = frozenset({"workspace_id", "owner", "lease_until", "epoch", "revision", "crashes", "wake_at", "board_id"})


def evidence_of(actor: Actor, run_id: UUID) -> tuple[Run, IO[bytes]]:
    """Return a run and the archive of what it did, as it all was at one moment, open at its beginning; that it was
    taken is in the audit log.

    Raises NotFound, Forbidden, Conflict `run_not_over`.
    """
    require(actor, Capability.EXPORT)
    file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - whoever sends it closes it
    with one_snapshot():
        run = _packed(actor, run_id, file)
    audit.record(actor.workspace, actor.user, "run.evidence_exported", str(run.pk))
    file.seek(0)
    return run, file


def _packed(actor: Actor, run_id: UUID, file: IO[bytes]) -> Run:
    run = get(Run.objects.select_related("pipeline", "version", "workspace", "started_by"), actor, pk=run_id)
    if run.state in OPEN_RUN_STATES:
        raise Conflict(f"Run {run.number} has not ended. Its evidence is whole once it has.", code="run_not_over")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        packing = _Packing(archive)
        _pack(packing, actor, run)
        packing.seal(_about(actor, run))
    return run


class _Packing:
    """Writes files into an archive, and what it wrote into the manifest."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._files: dict[str, dict[str, Any]] = {}

    def lines(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write a file of one JSON value a line, while the rows are read."""
        digest, size = hashlib.sha256(), 0
        with self._archive.open(_entry(name), "w", force_zip64=True) as entry:
            for row in rows:
                line = _json(row) + b"\n"
                digest.update(line)
                size += len(line)
                entry.write(line)
        self._files[name] = {"sha256": digest.hexdigest(), "bytes": size}

    def seal(self, about: Mapping[str, Any]) -> None:
        """Write the manifest, and this installation's signature of it."""
        said = json.dumps({**about, "files": self._files}, indent=1, ensure_ascii=False).encode()
        self._archive.writestr(_entry(MANIFEST), said)
        self._archive.writestr(_entry(SIGNATURE), seals.sign(said))


def _pack(packing: _Packing, actor: Actor, run: Run) -> None:
    asked = Approval.objects.filter(run=run).order_by("created_at", "id")
    named = _people(run, asked)
    keys = [str(run.pk), *(str(pk) for pk in asked.values_list("pk", flat=True))]
    packing.lines("run.json", [{**_row(run), "pipeline": run.pipeline.slug, "workspace": run.workspace.slug}])
    version = PipelineVersion.objects.get(pk=run.version_id)
    packing.lines("version.json", [{**_row(version), "lock": sharing.seen_of(actor, version.lock)}])
    packing.lines("events.jsonl", _rows(Event.objects.filter(run=run).order_by("seq")))
    packing.lines("steps.jsonl", _rows(Step.objects.filter(run=run).order_by("id")))
    packing.lines("prompts.jsonl", _rows(Call.objects.filter(run=run).order_by("id")))
    packing.lines("values.jsonl", _rows(Artifact.objects.filter(run=run).order_by("hash"), 1))
    packing.lines("ledger.jsonl", _rows(LedgerEntry.objects.filter(run=run).order_by("id")))
    packing.lines("approvals.jsonl", _rows(asked))
    packing.lines("decisions.jsonl", _rows(DecisionRecord.objects.filter(approval__run=run).order_by("id")))
    packing.lines("comments.jsonl", _rows(Comment.objects.filter(approval__run=run).order_by("id")))
    entries = AuditEntry.objects.filter(workspace=run.workspace, target__in=keys).order_by("seq")
    packing.lines("audit.jsonl", _rows(entries))
    packing.lines("people.json", [named])


def _about(actor: Actor, run: Run) -> dict[str, Any]:
    entries, last = audit.head(run.workspace)
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "run": str(run.pk),
        "number": run.number,
        "pipeline": run.pipeline.slug,
        "version": {"number": run.version.number, "hash": run.version.hash},
        "workspace": run.workspace.slug,
        "trimmed_at": _moment(run.trimmed_at),
        "content_removed_at": _moment(run.content_removed_at),
        "made_at": database_now().astimezone(dt.UTC).isoformat(),
        "made_by": actor.user.email,
        "key": seals.public_key(),
        "audit": {"entries": entries, "last": last},
    }


def _moment(at: dt.datetime | None) -> str | None:
    return at.astimezone(dt.UTC).isoformat() if at else None


def _people(run: Run, asked: QuerySet[Approval]) -> dict[str, str]:
    """Return the email of everybody whose id stands in the archive."""
    decided = DecisionRecord.objects.filter(approval__run=run).values_list("by_id", "stands_for_id")
    said = Comment.objects.filter(approval__run=run).values_list("by_id", "asked_of_id")
    held = asked.values_list("claimed_by_id", "assigned_to_id")
    ids: set[UUID | None] = {pk for rows in (decided, said, held) for row in rows for pk in row}
    ids |= {run.started_by_id, run.version.published_by_id, *run.version.editors}
    ids |= {pk for barred in asked.values_list("barred", flat=True) for pk in barred}
    known = User.objects.filter(pk__in=[pk for pk in ids if pk is not None])
    return {str(pk): email for pk, email in known.values_list("pk", "email")}


def _rows(rows: QuerySet[Any], at_once: int = 500) -> Iterable[dict[str, Any]]:
    return (_row(row) for row in rows.iterator(chunk_size=at_once))


def _row(row: Model) -> dict[str, Any]:
    """Return what a row says, by the names of its columns."""
    names = (field.attname for field in row._meta.concrete_fields)
    return {name: getattr(row, name) for name in names if name not in _NOT_SAID}


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _ALWAYS)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, default=_plain, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _plain(value: object) -> str:
    match value:
        case dt.datetime():
            return value.astimezone(dt.UTC).isoformat()
        case bytes() | memoryview():
            return bytes(value).hex()
        case _:
            return str(value)
