"""Records of a measurement, one line of JSON a seed, kept while the weights stay the same."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from ...editor.journal import Journal, Record


def fingerprint(files: Iterable[Path], words: str = "") -> str:
    """A short hash of what the files hold and of settings in words, so that records of other
    weights are not mixed in."""
    total = hashlib.sha256(words.encode())
    for file in sorted(files):
        total.update(file.name.encode() + file.read_bytes())
    return total.hexdigest()[:12]


class ScoreJournal:
    """Records by seed in a `Journal`; a line that a crash cut off is measured again."""

    def __init__(self, path: Path) -> None:
        self._journal = Journal(path)
        self.rows: dict[int, list[Record]] = {}
        self.seconds: dict[int, float] = {}
        for line in self._journal.records:
            self.rows[line["seed"]], self.seconds[line["seed"]] = line["records"], line["seconds"]

    def fill(self, seeds: Iterable[int], measure: Callable[[int], list[Record]]) -> list[Record]:
        """Records of all `seeds`, in their order; those not yet known are measured and kept."""
        seeds = list(seeds)
        for seed in seeds:
            if seed in self.rows:
                continue
            start = time.perf_counter()
            self.rows[seed] = measure(seed)
            self.seconds[seed] = round(time.perf_counter() - start, 2)
            line = {"seed": seed, "records": self.rows[seed], "seconds": self.seconds[seed]}
            self._journal.append(line)
        return [record for seed in seeds for record in self.rows[seed]]
