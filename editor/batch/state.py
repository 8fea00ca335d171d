"""What earlier runs finished, according to the journal and confirmed by the files on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, TypeAdapter, model_validator

from ..errors import GroundbrushError
from ..journal import JournalError
from ..models.presets import Preset
from .grounding_store import load_grounding
from .manifest import Manifest, row_picture
from .results import FoundFacts, PictureFacts, RowResult
from .rows import BatchRow, digest, row_name
from .workspace import Workspace, file_digest, row_of, same_picture

VERSION: Literal[2] = 2


class RunRecord(BaseModel):
    """The journal's record of the beginning of a run."""

    event: Literal["run"] = "run"
    version: Literal[2] = VERSION
    preset: str
    rows: int
    left: int


class RowRecord(BaseModel):
    """The journal's record of a finished row: its result and what that depends on.

    `files` are the SHA-256 of its files by name.
    """

    event: Literal["row"] = "row"
    name: str
    fingerprint: str
    gate: str
    status: str
    picture: PictureFacts | None
    files: dict[str, str]
    result: RowResult

    @model_validator(mode="after")
    def _agrees(self) -> RowRecord:
        result = self.result
        if (self.name, self.status) != (result.id, result.status):
            raise ValueError("the record is of another row than its result")
        if set(self.files) != set(result.files.values()):
            raise ValueError("the record has other files than its result")
        if any(row_of(name) != self.name for name in self.files):
            raise ValueError("a file of the record is not one of its row")
        return self


class FoundRecord(BaseModel):
    """The journal's record of a grounding."""

    event: Literal["found"] = "found"
    key: str
    facts: FoundFacts


_RECORD: TypeAdapter[RunRecord | RowRecord | FoundRecord] = TypeAdapter(
    Annotated[RunRecord | RowRecord | FoundRecord, Field(discriminator="event")]
)


class State:
    """The journal's last record of each row and of each grounding.

    `preset` is the digest of the models and their settings; with `retry_failed`, failed rows count
    as unfinished.
    """

    def __init__(self, workspace: Workspace, preset: str, retry_failed: bool = False) -> None:
        self.workspace = workspace
        self._preset, self._retry_failed = preset, retry_failed
        self._rows: dict[str, tuple[RowRecord, bytes]] = {}
        self._found: dict[str, FoundFacts] = {}

    def take(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Read the records of a journal.

        Raises JournalError for a record that this version does not write. None is taken: a journal
        that was changed by something else says nothing reliable about the rest.
        """
        for number, given in enumerate(records, 1):
            try:
                record = _RECORD.validate_python(given)
                if not isinstance(record, RunRecord):
                    self.keep(record)
            except ValueError as error:  # pydantic's are of that kind
                raise JournalError(
                    f"{str(self.workspace.work / 'journal')!r} holds a record that this version "
                    f"does not write (number {number}), so nothing in it is used and nothing was "
                    "changed; choose another --out, or move the journal away"
                ) from error

    def keep(self, record: RowRecord | FoundRecord) -> None:
        """Remember a record instead of an earlier one of the same row or grounding."""
        if isinstance(record, FoundRecord):
            self._found[record.key] = record.facts
        else:  # JSON takes less memory
            text = record.result.model_dump_json().encode()
            self._rows[record.name] = record.model_copy(update={"result": None}), text

    def named_as_before(self, manifest: Manifest) -> Manifest:
        """The manifest; rows without an id keep the names under which they were finished.

        Such a name holds the row's number, which changes where a row is added or deleted above.
        """
        known: dict[str, list[str]] = {}
        for record, _ in self._rows.values():
            known.setdefault(record.fingerprint, []).append(record.name)
        free = [row for row in manifest.rows if row.name.startswith(f"{row.number:05}-")]
        taken = {row.name for row in manifest.rows} - {row.name for row in free}
        prints = {row.number: self._fingerprint(row) for row in free}
        names: dict[int, str] = {}
        for moved in (False, True):  # first those that stand where they stood
            for row in free:
                before = [n for n in known.get(prints[row.number], ()) if n not in taken]
                if row.number not in names and (before if moved else row.name in before):
                    names[row.number] = before[0] if moved else row.name
                    taken.add(names[row.number])
        for row in free:
            if row.number not in names and row.name in taken:
                names[row.number] = row_name(f"{prints[row.number][:8]}-{row.name}")
        rows = (replace(row, name=names.get(row.number, row.name)) for row in manifest.rows)
        return replace(manifest, rows=tuple(rows))

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
        if not all(self._is_whole(name, digest) for name, digest in kept.files.items()):
            return False
        if kept.picture is None:
            return True
        try:
            return same_picture(row_picture(manifest.root, row), kept.picture)
        except GroundbrushError:
            return True  # removed since, or outside the root: its result stands

    def grounding(self, manifest: Manifest, row: BatchRow) -> FoundFacts | None:
        """Facts of a row's grounding, if it is kept whole and of the same picture."""
        facts = self._found.get(self.key(row))
        try:
            if facts is None or not same_picture(row_picture(manifest.root, row), facts.picture):
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
            files={name: file_digest(out / name) for name in result.files.values()},
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

    def _is_whole(self, name: str, digest: str) -> bool:
        try:
            return file_digest(self.workspace.out / name) == digest
        except (OSError, ValueError):
            return False


def preset_digest(preset: Preset) -> str:
    """Digest of a preset's models and settings, without its descriptions."""
    parts = {f.name: getattr(preset, f.name) for f in dataclasses.fields(preset)}
    for name in ("about", "licence", "size_gb", "source"):
        parts.pop(name)
    return digest(parts)
