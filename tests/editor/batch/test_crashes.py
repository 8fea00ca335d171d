"""A batch killed at any moment and resumed ends as one that nothing happened to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from fake_editor import FakeEditor, mixed_manifest, outputs
from groundbrush.editor.batch import BatchJob, read_manifest, run_batch
from groundbrush.editor.journal import Journal

ROOT = Path(__file__).resolve().parents[3]
KILLS = 20
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")


@needs_fork
def test_forty_rows_killed_twenty_times_end_as_if_nothing_had_happened(memory: Path) -> None:
    manifest, calm = mixed_manifest(memory), memory / "calm"
    calls: list = []
    run_batch(BatchJob(read_manifest(manifest), calm), lambda: FakeEditor(calls))
    done = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).with_name("crashing.py")),
            str(manifest),
            str(memory),
            str(KILLS),
            "7",
        ],
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    batches = json.loads(done.stdout)
    assert sum(map(len, batches)) == KILLS
    assert len({masks for batch in batches for masks in batch}) >= KILLS // 4, "all at one place"
    for number, deaths in enumerate(batches, 1):
        killed = memory / f"batch{number}"
        assert outputs(killed) == outputs(calm)
        journal = Journal(killed / ".batch/journal")
        records, notes = journal.records, journal.notes
        assert notes == []
        finished = Counter(r["name"] for r in records if r["event"] == "row")
        assert len(finished) == 40
        assert set(finished.values()) == {1}, "a finished row was done again"
        # each death costs at most the one call that was under way
        made = len(killed.with_suffix(".calls").read_text().splitlines())
        assert len(calls) <= made <= len(calls) + len(deaths)
        assert not list(killed.rglob("*.part"))
