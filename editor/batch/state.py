"""What earlier runs finished, as the journal tells it; nothing is believed that the disk denies."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import GroundbrushError
from ..models.presets import Preset
from .manifest import Manifest
from .outcome import Result, result_of
from .rows import Row, digest
from .store import load_grounding
from .work import REVIEW, Place, same_picture

_ENDINGS = r"(?:edited(?:-\d+)?|applied|steps|plan|mask|panoptic|before|found|after)\.\w+"
_OURS = re.compile(rf"([^.]+)\.{_ENDINGS}")
_PARTIAL = re.compile(r"\..{1,32}\.[0-9a-f]{16}\.part", re.DOTALL)


@dataclass(frozen=True)
class Kept:
    """A row's last result: what it depends on, and itself as JSON (which takes less memory)."""

    fingerprint: str
    gate: str
    status: str
    picture: Mapping[str, Any] | None
    files: Mapping[str, int]
    result: str


@dataclass(eq=False)
class State:
    """The journal's records by row and by grounding.

    Attributes
    ----------
    preset
        Digest of the models and their settings.
    rows
        By name.
    found
        Facts of groundings by key.
    """

    place: Place
    preset: str
    retry_failed: bool = False
    rows: dict[str, Kept] = field(default_factory=dict)
    found: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def take(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Learn from the journal; of several records of one thing the last one counts."""
        for record in records:
            with contextlib.suppress(KeyError, TypeError):  # of another version: done again
                self._take(record)

    def _take(self, record: Mapping[str, Any]) -> None:
        if record.get("event") == "row":
            fields = {f.name: record[f.name] for f in dataclasses.fields(Kept)}
            fields["result"] = json.dumps(fields["result"])
            self.rows[record["name"]] = Kept(**fields)
        elif record.get("event") == "found":
            self.found[record["key"]] = record["facts"]

    def fingerprint(self, row: Row) -> str:
        """What a row's result depends on."""
        return row.fingerprint(self.preset, self.place.suffix)

    def key(self, row: Row) -> str:
        """What a row's grounding depends on."""
        return digest(row.image, row.words, self.preset)

    def finished(self, manifest: Manifest, row: Row) -> bool:
        """Whether a row's result stands: same request, same picture, files still there."""
        kept = self.rows.get(row.name)
        if kept is None or kept.fingerprint != self.fingerprint(row):
            return False
        if kept.status == "failed" and self.retry_failed:
            return False
        gated = kept.status not in ("done", "failed") and row.paints
        if gated and kept.gate != (row.gate or self.place.gate):
            return False
        if not all(_has_size(self.place.out / name, size) for name, size in kept.files.items()):
            return False
        if kept.picture is None:
            return True
        try:
            return same_picture(manifest.picture(row), kept.picture)
        except GroundbrushError:
            return True  # gone since, or leads outside: what was made of it stands

    def grounding(self, manifest: Manifest, row: Row) -> Mapping[str, Any] | None:
        """Facts of a row's grounding, where it is kept whole and of the same picture."""
        facts = self.found.get(self.key(row))
        if facts is None:
            return None
        try:
            if not same_picture(manifest.picture(row), facts["picture"]):
                return None
            load_grounding(self.place.grounding(self.key(row)))
        except GroundbrushError:
            return None
        return facts

    def record(self, row: Row, result: Result, picture: Mapping[str, Any] | None) -> dict[str, Any]:
        """The journal's record of a row's result."""
        names = result["files"].values()
        return {
            "event": "row",
            "name": row.name,
            "fingerprint": self.fingerprint(row),
            "gate": row.gate or self.place.gate,
            "status": result["status"],
            "picture": picture,
            "files": {name: (self.place.out / name).stat().st_size for name in names},
            "result": result,
        }

    def results(self, manifest: Manifest) -> Iterator[Result]:
        """Every row's result in the manifest's order; rows without one are waiting."""
        for row in manifest.rows:
            kept = self.rows.get(row.name)
            if kept is None or kept.fingerprint != self.fingerprint(row):
                yield result_of(row, "waiting", reason="its turn did not come")
            else:
                yield {**json.loads(kept.result), "row": row.number}


def preset_digest(preset: Preset) -> str:
    """Digest of a preset's models and settings; its words for people do not count."""
    parts = {f.name: getattr(preset, f.name) for f in dataclasses.fields(preset)}
    for name in ("about", "licence", "size_gb", "source"):
        parts.pop(name)
    return digest(parts)


def own_files(out: Path) -> dict[str, set[str]]:
    """The names of all files that look like a batch's, by row name, relative to `out`."""
    found: dict[str, set[str]] = {}
    for folder, before in ((out, ""), (out / REVIEW, f"{REVIEW}/")):
        if folder.is_dir():
            for path in folder.iterdir():
                if match := _OURS.fullmatch(path.name):
                    found.setdefault(match[1], set()).add(before + path.name)
    return found


def is_own(path: Path, out: Path) -> bool:
    """Whether a picture is one that a batch with this output folder could overwrite."""
    return path.parent in (out, out / REVIEW) and _OURS.fullmatch(path.name) is not None


def sweep(place: Place) -> int:
    """Remove what a killed process was still writing; how many files that were."""
    count = 0
    for folder in (place.out, place.out / REVIEW, place.work, place.work / "found"):
        if folder.is_dir():
            for path in folder.iterdir():
                if _PARTIAL.fullmatch(path.name):
                    path.unlink(missing_ok=True)
                    count += 1
    return count


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
