"""Records of a measurement, one line of JSON a seed, kept while the weights stay the same."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def fingerprint(files: Iterable[Path], words: str = "") -> str:
    """A short hash of what the files hold and of settings in words, so that records of other
    weights are not mixed in."""
    total = hashlib.sha256(words.encode())
    for file in sorted(files):
        total.update(file.name.encode() + file.read_bytes())
    return total.hexdigest()[:12]


@dataclass
class ScoreJournal:
    """An append-only file of records, by seed.

    A line that was cut off by a crash is measured again.
    """

    path: Path
    rows: dict[int, list[Record]] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.path.is_file():
            return
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                seed, records, seconds = json.loads(line)
            except ValueError:
                continue
            self.rows[seed], self.seconds[seed] = records, seconds

    def fill(self, seeds: Iterable[int], measure: Callable[[int], list[Record]]) -> list[Record]:
        """Records of all `seeds`, in their order; those not yet known are measured and kept."""
        seeds = list(seeds)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            for seed in seeds:
                if seed in self.rows:
                    continue
                start = time.perf_counter()
                self.rows[seed] = measure(seed)
                self.seconds[seed] = round(time.perf_counter() - start, 2)
                file.write("\n" * (file.tell() > 0 and self._torn()) + self._line(seed))
                file.flush()
        return [record for seed in seeds for record in self.rows[seed]]

    def _line(self, seed: int) -> str:
        return json.dumps([seed, self.rows[seed], self.seconds[seed]]) + "\n"

    def _torn(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, 2)
            return file.read(1) != b"\n"
