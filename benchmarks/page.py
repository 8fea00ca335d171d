"""Write docs/performance.md and its plots from the JSON of the benchmarks.

    python -m benchmarks.page

Every number on the page comes from ``benchmarks/results``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import common, plots
from benchmarks.sections import SECTIONS, ratio, seconds, table

DOCS = common.ROOT / "docs"
PLOT = "![cost against tokens, phrases and megapixels](performance.png)"
WHY = {
    "an edit of 48 megapixels over one of 1": (
        "the miniature paints in about a second, so that what grows with the picture shows: it is "
        "shrunk for the models, the mask enlarged, the new pixels put in, and every other one "
        "compared. On SDXL's canvas the same is a smaller part of the whole"
    ),
    "a cold edit over": (
        "three fifths of what is left is importing torch, transformers and diffusers"
    ),
}
ON_GPU = {
    "rows_cuda": "attention rows of 7B and 13B models",
    "phrases_cuda": "phrase to map on LLaVA-1.5-7B against its floor",
    "masks_cuda": "SAM ViT-H",
    "sdxl_steps_cuda": "SDXL's step beside diffusers' best settings",
    "full_size_cuda": "SDXL in every memory mode",
}


def load(folder: Path) -> dict[str, dict[str, Any]]:
    """Every result there is, by topic."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        values = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(values, dict):
            found[path.stem] = values
    return found


def standing(found: Mapping[str, Mapping[str, Any]]) -> tuple[list[tuple[str, ...]], list[str]]:
    """Every target; and for each missed one by how much and why."""
    rows, notes = [], []
    for topic in (topic for topic in (*SECTIONS, "scaling") if topic in found):
        for one in found[topic].get("targets", ()):
            limit = f"{'≤' if one['most'] else '≥'} {one['limit']:g}"
            state = {True: "met", False: "**missed**", None: "not measured"}[one["met"]]
            value = "–" if one["value"] is None else f"{one['value']:g}"
            where = "GPU" if topic.endswith("_cuda") else "CPU"
            rows.append((one["what"], where, value, limit, state))
            if one["met"] is False:
                why = next((w for k, w in WHY.items() if one["what"].startswith(k)), None)
                by = one["value"] / one["limit"] if one["most"] else one["limit"] / one["value"]
                notes.append(
                    f"- {one['what']}: missed by a factor of {by:.2f}"
                    + (f": {why}." if why else f" ({topic}).")
                )
    return rows, notes


def unmeasured(found: Mapping[str, Any]) -> list[str]:
    """What needs a GPU and was not measured on one."""
    missing = [words for topic, words in ON_GPU.items() if topic not in found]
    missing += [f"rows of {model}" for model in found.get("rows_cuda", {}).get("not yet", ())]
    if not missing:
        return []
    return [
        f"Not measured, for want of a GPU: {'; '.join(missing)}. "
        "`python -m benchmarks --device cuda` measures them at full size with random weights "
        "and adds them here.",
        "",
    ]


def costs(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What one edit costs: presets beside the alternatives, and the miniature's start."""
    lines = ["## What one edit costs", ""]
    if parts := found.get("full_size_parts"):
        edits = [
            (r["models"], f"{r['find_s']:.0f}", f"{r['paint_s']:.0f}", f"{r['resident_gb']:.1f}")
            for r in parts["edits"]
        ]
        lines += [
            "Models of real size with random weights, in each preset's precision, CPU seconds of "
            f"one thread ({place(parts['machine'])}). An edit is the sum of its parts; memory is "
            "that of all of them held at once. Quality is not measured. "
            "`python -m benchmarks.full_size --device cpu` measures the parts.",
            "",
            *table(edits, ("edit with", "find, s", "paint, s", "memory, GB")),
        ]
    if changed := found.get("before_after"):
        rows = [
            (r["what"], f"{r['before']:.2f}", f"{r['after']:.2f}", f"{r['ratio']:.2f}")
            for r in changed["rows"]
        ]
        lines += [
            f"The miniature, this version beside commit {changed['base']}, taking turns; medians "
            f"of {changed['rounds']} ({place(changed['machine'])}):",
            "",
            *table(rows, ("", "before", "now", "ratio")),
        ]
    return lines


def ratios(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Finding beside detectors; how many targets are met, and why one is missed."""
    finds = {r["models"]: r["find_s"] for r in found.get("full_size_parts", {}).get("edits", ())}
    ours = finds.get("photo-light")
    beside = [
        f"{value / ours:.1f} times as long with {name.partition(',')[0]}"
        for name, value in finds.items()
        if ours and name not in ("photo-light", "photo")
    ]
    said = f"Finding takes {', '.join(beside)} as with photo-light. " if beside else ""
    rows, notes = standing(found)
    met = sum(row[-1] == "met" for row in rows)
    if rows:
        said += f"Of {len(rows)} [targets](measured/performance.md#targets) {met} are met"
        said += ":" if notes else "."
    return ["## Ratios", "", said, "", *notes, *([""] if notes else []), *unmeasured(found)]


def growth(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What an edit's cost grows with."""
    rows: list[tuple[Any, ...]] = []

    def add(
        topic: str, key: str, what: str, way: str, ends: tuple[int, int], floor_of: str = ""
    ) -> None:
        by = {(r["way"], r[key]): r for r in found.get(topic, {}).get("rows", ())}
        first, last = (by.get((way, end), {}) for end in ends)
        if not {"seconds"} <= set(first) & set(last):
            return
        floor = by.get((floor_of, ends[1]), {}).get("seconds")
        memory = (
            last["bytes"] / first["bytes"] if last.get("bytes") and first.get("bytes") else None
        )
        rows.append(
            (
                what,
                f"{ends[0]:,} to {ends[1]:,}",
                f"{seconds(first['seconds'])} to {seconds(last['seconds'])}",
                ratio(last["seconds"] / first["seconds"]),
                ratio(memory),
                ratio(floor and last["seconds"] / floor),
            )
        )

    add(
        "rows",
        "tokens",
        "tokens, every head's row",
        plots.ROW_WAYS[2],
        (600, 3000),
        plots.ROW_FLOOR,
    )
    add("rows", "tokens", "tokens, three heads' rows", plots.ROW_WAYS[3], (600, 3000))
    add("phrases", "phrases", "phrases of a picture", "ours, together", (1, 16), "floor")
    add("masks", "boxes", "boxes of a picture", "together", (1, 16))
    for way in ("by words", "in a box", "by words, on SDXL's canvas"):
        add("painting", "megapixels", f"megapixels, {way}", way, (1, 48))
    heads = ("cost with", "from, to", "seconds", "time", "memory", "over its floor")
    return ["## How cost grows", "", *table(rows, heads), *batches(found)]


def batches(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A phrase's own pass, rows and workers."""
    lines = []
    took = {
        (r["way"], r["phrases"]): r["seconds"] for r in found.get("phrases", {}).get("rows", ())
    }
    if own := took.get(("ours, picture read before", 1)):
        lines.append(
            f"- One phrase takes two passes, the picture's and its own. The second is "
            f"{own / took['ours, together', 1]:.0%} of the time, so one pass for both would save "
            "less than that; the picture's alone also serves further phrases, the presence "
            "question and the search for other matches."
        )
    if one := found.get("scaling"):
        lines.append(
            f"- Rows: {one['rows']:,} of the miniature's smallest edits in {one['seconds']:.0f} s "
            f"({60 * one['rows'] / one['seconds']:.0f} a minute), memory of the last quarter over "
            f"the second {one['targets'][0]['value']:.3f}."
        )
    if one := found.get("batch_scaling"):
        by = {w["way"]: w for w in one["ways"]}
        here, alone, two = (
            by[name]["row"]
            for name in (
                "this process, 1 thread",
                "one worker, 1 thread",
                "two workers, 1 thread each",
            )
        )
        lines.append(
            f"- Workers of Ray: a row costs {alone / here:.2f} times that of this process with one "
            f"worker, and {two / here:.2f} times with two; they start in "
            f"{by['one worker, 1 thread']['start']:.0f} s ({place(one['machine'])})."
        )
    return [*lines, *([""] if lines else [])]


def place(machine: Mapping[str, Any]) -> str:
    """Date and machine in a few words."""
    where = machine["gpu"]["name"] if machine.get("gpu") else machine["cpu"]
    return f"{machine['date'][:10]}, {where}, {machine['cores']} cores"


def page(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The page, in three screens."""
    run = f"Measured on {place(found['rows']['machine'])}. " if "rows" in found else ""
    drawn = any(topic in found for topic, *_ in plots.PANELS)
    lines = [
        "# Performance",
        "",
        "Written by `make bench` from `benchmarks/results`; every number comes from one run of a "
        "script there. Alternatives take turns in that run. On a CPU these are CPU seconds of one "
        "thread: read the ratios, and no difference below 5%. "
        f"{run}[All tables](measured/performance.md).",
        "",
        *costs(found),
        *ratios(found),
        *growth(found),
        *(["Dashed is the floor; dotted is computed from fewer.", "", PLOT] * drawn),
    ]
    return "\n".join(lines).rstrip() + "\n"


def appendix(found: Mapping[str, Mapping[str, Any]]) -> str:
    """All tables, the targets first."""
    lines = ["# Performance: all tables", "", "Written by `make bench`.", "", "## Targets", ""]
    lines += table(standing(found)[0], ("target", "on", "measured", "wanted", ""))
    for name, section in SECTIONS.items():
        if name in found:
            lines += section.show(name, found[name])
    return "\n".join(lines).rstrip() + "\n"


def write_page(results: Path = common.RESULTS, docs: Path = DOCS) -> Path:
    """Write the page, its plot and the appendix; the page's path."""
    found = load(results)
    if not found:
        raise SystemExit(f"{results} holds no results; run python -m benchmarks first")
    (docs / "measured").mkdir(parents=True, exist_ok=True)
    plots.growth(found, docs / "performance.png")
    (docs / "measured" / "performance.md").write_text(appendix(found), encoding="utf-8")
    path = docs / "performance.md"
    path.write_text(page(found), encoding="utf-8")
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page."""
    parser = common.parser(__doc__)
    parser.add_argument("--docs", type=Path, default=DOCS, help="directory of the page")
    args = parser.parse_args(argv)
    print(write_page(args.out, args.docs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
