"""A batch killed at any moment and resumed ends as one that nothing happened to."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fake_editor import FakeEditor, mixed_manifest, outputs
from groundbrush import Editor
from groundbrush.editor.batch import BatchJob, read_manifest, run_batch
from groundbrush.editor.journal import Journal

ROOT = Path(__file__).resolve().parents[3]
KILLS = 20
PAINTING_KILLS = int(os.environ.get("GROUNDBRUSH_KILLS", 3))
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")


def killed_and_resumed(manifest: Path, folder: Path, kills: int, *preset: str) -> list[list[int]]:
    """For each batch that it took, how many masks there were at each death."""
    program = Path(__file__).with_name("crashing.py")
    done = subprocess.run(
        [sys.executable, program, manifest, folder, str(kills), "7", *preset],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300 + 60 * kills,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As many threads as the killed processes have: the last bit depends on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@needs_fork
def test_forty_rows_killed_twenty_times_end_as_if_nothing_had_happened(memory: Path) -> None:
    manifest, calm = mixed_manifest(memory), memory / "calm"
    calls: list = []
    run_batch(BatchJob(read_manifest(manifest), calm), lambda: FakeEditor(calls))
    batches = killed_and_resumed(manifest, memory, KILLS)
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
        # each death costs at most the call under way and the one whose files were being written
        made = len(killed.with_suffix(".calls").read_text().splitlines())
        assert len(calls) <= made <= len(calls) + 2 * len(deaths)
        assert not list(killed.rglob("*.part"))


@needs_fork
def test_a_batch_killed_while_it_paints_and_saves_ends_as_if_nothing_had_happened(
    miniature: Editor, memory: Path, one_thread: None
) -> None:
    """The real models; GROUNDBRUSH_KILLS=30 (as in `make soak`) for more kills than three."""
    shutil.copy(ROOT / "examples" / "fruit.png", memory / "a.png")
    steps = {"image": "a.png", "settings": {"steps": 3}}
    rows = [
        {**steps, "find": "the red apple", "paint": "a frog"},
        {**steps, "box": [20, 20, 60, 60], "paint": "a red apple", "variants": 2},
        {**steps, "remove": "the red apple", "retries": 0},
    ]
    manifest = memory / "m.jsonl"
    manifest.write_text("\n".join(map(json.dumps, rows)))
    run_batch(BatchJob(read_manifest(manifest), memory / "calm"), lambda: miniature)
    batches = killed_and_resumed(manifest, memory, PAINTING_KILLS, "miniature")
    assert sum(map(len, batches)) == PAINTING_KILLS
    for number in range(1, len(batches) + 1):
        killed = memory / f"batch{number}"
        assert outputs(killed) == outputs(memory / "calm")
        records = Journal(killed / ".batch/journal").records
        assert Counter(r["name"] for r in records if r["event"] == "row").most_common(1)[0][1] == 1
        assert not list(killed.rglob("*.part"))
