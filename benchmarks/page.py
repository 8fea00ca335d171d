"""Write docs/performance.md, its plot and all tables from ``benchmarks/results``.

python -m benchmarks.page
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks import common

DOCS = common.ROOT / "docs"
Results = Mapping[str, Mapping[str, Any]]
SECTIONS = {
    "full_size_parts": "Parts of an edit at full size",
    "before_after": "Before and after",
    "rows": "Attention rows",
    "phrases": "Finding phrases",
    "discovery": "Finding localization heads",
    "masks": "Masks from boxes",
    "painting": "Painting",
    "sdxl_steps": "A step beside diffusers' settings",
    "full_size": "SDXL at its real size",
    "startup": "Start-up",
    "batch_scaling": "Batches with workers",
    "scaling": "A long batch",
}
"""Topics and headings of the tables, in their order; a GPU's follow those of the same topic."""
SCRIPTS = {"full_size_parts": "cpu_parts", "scaling": "batch_scaling"}
"""Scripts of topics with another name."""
ON_GPU = {
    "rows_cuda": "attention rows of 7B and 13B models",
    "phrases_cuda": "phrase to map on LLaVA-1.5-7B against its floor",
    "sdxl_steps_cuda": "SDXL's step beside diffusers' best settings",
    "full_size_cuda": "SDXL in every memory mode",
}
GROWTH = (
    ("rows", "tokens", "ours, every head", (600, 3000), "floor of a forward"),
    ("rows", "tokens", "ours, three heads", (600, 3000), ""),
    ("phrases", "phrases", "ours", (1, 16), "floor"),
    ("masks", "boxes", "together", (1, 16), ""),
    ("painting", "megapixels", "by words", (1, 48), ""),
    ("painting", "megapixels", "in a box", (1, 48), ""),
    ("painting", "megapixels", "by words, on SDXL's canvas", (1, 48), ""),
)
"""Topic, what the cost grows with, the way, from and to, and the way that is the floor."""


def load(folder: Path) -> dict[str, dict[str, Any]]:
    """Every result there is, by topic."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")}


def place(machine: Mapping[str, Any]) -> str:
    """Date and machine in a few words."""
    where = machine["gpu"]["name"] if machine.get("gpu") else machine["cpu"]
    return f"{machine['date'][:10]}, {where}, {machine['cores']} cores"


def targets(found: Results) -> common.Rows:
    """Every target, and whether it is met."""
    return [
        {
            "target": one["what"],
            "on": "GPU" if topic.endswith("_cuda") else "CPU",
            "measured": one["value"],
            "wanted": f"{'≤' if one['most'] else '≥'} {one['limit']:g}",
            "state": {True: "met", False: "**missed**", None: "not measured"}[one["met"]],
        }
        for topic in _topics(found)
        for one in found[topic].get("targets", ())
    ]


def _topics(found: Results) -> list[str]:
    every = [name for topic in SECTIONS for name in (topic, f"{topic}_cuda")]
    return [topic for topic in every if topic in found]


def costs(found: Results) -> list[str]:
    """What one edit costs: presets beside the alternatives, and the miniature."""
    lines = []
    if parts := found.get("full_size_parts"):
        lines += [
            "Models of real size with random weights, in each preset's precision, CPU seconds of "
            f"one thread ({place(parts['machine'])}). An edit is the sum of its parts; memory is "
            "that of all of them held at once. Quality is not measured. "
            "`python -m benchmarks.full_size --device cpu` measures the parts.",
            common.table(parts["edits"]),
            _detectors(parts["edits"]),
        ]
    if changed := found.get("before_after"):
        lines += [
            f"The miniature, this version beside commit {changed['base']}, taking turns; medians "
            f"of {changed['rounds']} ({place(changed['machine'])}):",
            common.table(changed["rows"]),
        ]
    return lines


def _detectors(edits: common.Rows) -> str:
    """How much longer the detectors take to find a thing than the first preset."""
    first, *others = [row for row in edits if row["edit with"] != "photo"]
    takes = (f"{row['find, s'] / first['find, s']:.1f} ({row['edit with']})" for row in others)
    return f"Finding takes {' and '.join(takes)} times as long as with {first['edit with']}."


def growth(found: Results) -> list[str]:
    """What an edit's cost grows with."""
    rows = []
    for topic, key, way, ends, floor in GROWTH:
        by = {(r["way"], r[key]): r for r in found.get(topic, {}).get("rows", ())}
        first, last = (by.get((way, end), {}) for end in ends)
        if "seconds" in first and "seconds" in last:
            row = {"cost with": key, "way": way, "from": ends[0], "to": ends[1]}
            row |= {"seconds": first["seconds"], "then": last["seconds"]}
            row["times as long"] = last["seconds"] / first["seconds"]
            row["times the memory"] = common.over(_bytes(first, last), 1, 0)
            least = by.get((floor, ends[1]))
            row["over its floor"] = last["seconds"] / least["seconds"] if least else None
            rows.append(row)
    return [common.table(rows)] if rows else []


def _bytes(*rows: Mapping[str, Any]) -> dict[int, float]:
    return {k: row["bytes"] for k, row in enumerate(rows) if row.get("bytes")}


def notes(found: Results) -> list[str]:
    """Long batches, targets, and what needs a GPU."""
    lines = []
    if one := found.get("scaling"):
        lines.append(
            f"- {one['rows']:,} of the miniature's smallest edits take {one['seconds']:.0f} s in a "
            f"batch ({60 * one['rows'] / one['seconds']:.0f} a minute)."
        )
    if one := found.get("batch_scaling"):
        rows = {way["way"]: way for way in one["ways"]}
        alone = rows["this process, 1 thread"]["row"]
        single, two = rows["one worker, 1 thread"], rows["two workers, 1 thread each"]
        lines.append(
            f"- A row on one worker of Ray takes {single['row'] / alone:.2f} times as long as in "
            f"one process, on two {two['row'] / alone:.2f} times; workers start in "
            f"{single['start']:.0f} s ([beyond two](cluster.md))."
        )
    if "phrases" in found:
        lines.append(
            "- One phrase takes two passes, the picture's and its own. The second is 5% of the "
            "time; the first also serves further phrases, the presence query and the search for "
            "other matches, so the two are not joined. SAM's decoder calls are not batched: each "
            "needs the answer of the one before."
        )
    every = targets(found)
    if every:
        met = sum(one["state"] == "met" for one in every)
        lines.append(f"- Of {len(every)} [targets](measured/performance.md#targets) {met} are met.")
    if missing := [words for topic, words in ON_GPU.items() if topic not in found]:
        lines.append(
            f"- Not measured, for want of a GPU: {'; '.join(missing)}. `python -m benchmarks "
            "--device cuda` measures them at full size with random weights."
        )
    return ["\n".join(lines)]


def page(found: Results) -> str:
    """The page."""
    blocks = [
        "# Performance",
        "Written by `make bench` from `benchmarks/results`; every number comes from one run of a "
        "script there. Alternatives take turns in that run. On a CPU these are CPU seconds of one "
        "thread: read the ratios, and no difference below 5%. "
        "[All tables](measured/performance.md).",
        "## What one edit costs",
        *costs(found),
        "## How cost grows",
        *growth(found),
        *notes(found),
    ]
    if any(topic in found for topic, *_ in GROWTH):
        blocks.append("![cost against tokens, phrases, boxes and megapixels](performance.png)")
    return "\n\n".join(blocks) + "\n"


def appendix(found: Results) -> str:
    """All tables, the targets first."""
    blocks = ["# Performance: all tables", "Written by `make bench`.", "## Targets"]
    blocks.append(common.table(targets(found)))
    for topic in _topics(found):
        name = topic.removesuffix("_cuda")
        machine = found[topic]["machine"]
        versions = ", ".join(f"{k} {v}" for k, v in machine["packages"].items() if v)
        blocks += [
            f"## {SECTIONS[name]}{' on a GPU' if name != topic else ''}",
            f"{place(machine)}, {machine['memory_gb']:.0f} GB, {machine['threads']} thread, "
            f"{machine['system']}, Python {machine['python']}, {versions}",
        ]
        if name == topic:
            script = import_module(f"benchmarks.{SCRIPTS.get(name, name)}")
            parts = (script.__doc__ or "").strip().split("\n\n")[1:]
            blocks += [" ".join(p.split()) for p in parts if "python -m benchmarks" not in p]
        blocks += common.tables(found[topic])
    return "\n\n".join(blocks) + "\n"


def draw(found: Results, path: Path) -> None:
    """Draw time against what it grows with, where that was measured; floors dashed."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    there = [topic for topic in dict.fromkeys(topic for topic, *_ in GROWTH) if topic in found]
    if not there:
        return
    figure = Figure(figsize=(4.6 * len(there), 3.7), layout="constrained")
    for axis, topic in zip(figure.subplots(1, len(there), squeeze=False)[0], there, strict=True):
        key = next(key for name, key, *_ in GROWTH if name == topic)
        rows = [row for row in found[topic]["rows"] if row.get("seconds")]
        for way in dict.fromkeys(row["way"] for row in rows):
            points = sorted((row[key], row["seconds"]) for row in rows if row["way"] == way)
            axis.plot(*zip(*points, strict=True), "k--" if "floor" in way else "o-", label=way)
        ticks = sorted({row[key] for row in rows})
        axis.set(xscale="log", yscale="log", xlabel=key, ylabel="seconds")
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_ylim(top=30 * axis.get_ylim()[1])  # room for the legend
        axis.grid(alpha=0.25, which="both")
        axis.legend(frameon=False, fontsize=6.5, loc="upper left")
    # Without the version that matplotlib writes, the same numbers give the same file.
    figure.savefig(path, dpi=80, metadata={"Software": None})


def write_page(results: Path = common.RESULTS, docs: Path = DOCS) -> Path:
    """Write the page, its plot and the appendix; the page's path."""
    found = load(results)
    if not found:
        raise SystemExit(f"{results} holds no results; run python -m benchmarks first")
    (docs / "measured").mkdir(parents=True, exist_ok=True)
    draw(found, docs / "performance.png")
    (docs / "measured" / "performance.md").write_text(appendix(found), encoding="utf-8")
    path = docs / "performance.md"
    path.write_text(page(found), encoding="utf-8")
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page."""
    args = common.parser(__doc__).parse_args(argv)
    print(write_page(args.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
