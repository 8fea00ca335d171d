"""What earlier runs finished, according to the journal and confirmed by the files on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from ..errors import GroundbrushError
from ..models.presets import Preset
from .grounding_store import load_grounding
from .manifest import Manifest
from .results import FoundFacts, PictureFacts, RowResult
from .rows import BatchRow, digest
from .workspace import Workspace, same_picture


class RowRecord(BaseModel):
    """The journal's record of a finished row: its result and what that depends on."""

    event: Literal["row"] = "row"
    name: str
    fingerprint: str
    gate: str
    status: str
    picture: PictureFacts | None
    files: dict[str, int]
    result: RowResult


class FoundRecord(BaseModel):
    """The journal's record of a grounding."""

    event: Literal["found"] = "found"
    key: str
    facts: FoundFacts


_RECORD: TypeAdapter[RowRecord | FoundRecord] = TypeAdapter(
    Annotated[RowRecord | FoundRecord, Field(discriminator="event")]
)


class State:
    """The journal's last record of each row and of each grounding.

    Parameters
    ----------
    workspace
        Where the files are.
    preset
        Digest of the models and their settings.
    retry_failed
        Whether failed rows count as unfinished.
    """

    def __init__(self, workspace: Workspace, preset: str, retry_failed: bool = False) -> None:
        self.workspace = workspace
        self._preset, self._retry_failed = preset, retry_failed
        self._rows: dict[str, tuple[RowRecord, bytes]] = {}
        self._found: dict[str, FoundFacts] = {}

    def take(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Read records of the journal; those of another version are ignored."""
        for given in records:
            try:
                self.keep(_RECORD.validate_python(given))
            except ValidationError:
                continue

    def keep(self, record: RowRecord | FoundRecord) -> None:
        """Remember a record instead of an earlier one of the same row or grounding."""
        if isinstance(record, FoundRecord):
            self._found[record.key] = record.facts
        else:  # JSON takes less memory
            text = record.result.model_dump_json().encode()
            self._rows[record.name] = record.model_copy(update={"result": None}), text

    def key(self, row: BatchRow) -> str:
        """What a row's grounding depends on."""
        return digest(row.image, row.words, self._preset)

    def finished(self, manifest: Manifest, row: BatchRow) -> bool:
        """Whether a row's result stands: same request, same picture, files still there."""
        kept = self._kept(row)
        if kept is None or (kept.status == "failed" and self._retry_failed):
            return False
        gated = kept.status not in ("done", "failed") and row.paints
        if gated and kept.gate != (row.gate or self.workspace.gate):
            return False
        if not all(self._has_size(name, size) for name, size in kept.files.items()):
            return False
        if kept.picture is None:
            return True
        try:
            return same_picture(manifest.picture(row), kept.picture)
        except GroundbrushError:
            return True  # removed since, or outside the root: its result stands

    def grounding(self, manifest: Manifest, row: BatchRow) -> FoundFacts | None:
        """Facts of a row's grounding, if it is kept whole and of the same picture."""
        facts = self._found.get(self.key(row))
        try:
            if facts is None or not same_picture(manifest.picture(row), facts.picture):
                return None
            load_grounding(self.workspace.grounding(self.key(row)))
        except GroundbrushError:
            return None
        return facts

    def record(self, row: BatchRow, result: RowResult, picture: PictureFacts | None) -> RowRecord:
        """The journal's record of a row's result."""
        out = self.workspace.out
        return RowRecord(
            name=row.name,
            fingerprint=self._fingerprint(row),
            gate=row.gate or self.workspace.gate,
            status=result.status,
            picture=picture,
            files={name: (out / name).stat().st_size for name in result.files.values()},
            result=result,
        )

    def results(self, manifest: Manifest) -> Iterator[RowResult]:
        """Every row's result in the manifest's order; rows without one are waiting."""
        for row in manifest.rows:
            if self._kept(row) is None:
                yield RowResult.of(row, "waiting", reason="its turn did not come")
            else:
                result = RowResult.model_validate_json(self._rows[row.name][1])
                yield result.model_copy(update={"row": row.number})

    def _kept(self, row: BatchRow) -> RowRecord | None:
        """A row's record, if it is of the same request."""
        record, _ = self._rows.get(row.name, (None, b""))
        same = record is not None and record.fingerprint == self._fingerprint(row)
        return record if same else None

    def _fingerprint(self, row: BatchRow) -> str:
        return row.fingerprint(self._preset, self.workspace.suffix)

    def _has_size(self, name: str, size: int) -> bool:
        try:
            return (self.workspace.out / name).stat().st_size == size
        except (OSError, ValueError):
            return False


def preset_digest(preset: Preset) -> str:
    """Digest of a preset's models and settings, without its descriptions."""
    parts = {f.name: getattr(preset, f.name) for f in dataclasses.fields(preset)}
    for name in ("about", "licence", "size_gb", "source"):
        parts.pop(name)
    return digest(parts)
