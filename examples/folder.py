"""Find one thing in every picture of a directory: python examples/folder.py

The run resumes where it stopped, and out/folder/review.html shows every result.
"""

import json
from pathlib import Path

from groundbrush import Editor
from groundbrush.editor.batch import BatchJob, read_manifest, run_batch

PICTURES, OUT = Path(__file__).parent, Path("out")

rows = [
    {"id": path.stem, "image": path.name, "find": "the apple"}
    for path in sorted(PICTURES.glob("*.png"))
]
OUT.mkdir(exist_ok=True)
manifest = OUT / "folder.jsonl"
manifest.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

job = BatchJob(read_manifest(manifest, root=PICTURES), OUT / "folder", resume=True)
report = run_batch(job, lambda: Editor.load("miniature"))
print(dict(report.counts), report.results, report.review)
