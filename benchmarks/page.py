"""Write docs/performance.md and its plots from the JSON of the benchmarks.

    python -m benchmarks.page

Every number on the page comes from ``benchmarks/results``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import common, plots

DOCS = common.ROOT / "docs"
_ALONE = (
    "phrases of one picture share its reading; with one phrase a picture both ways read it once, "
    "and only the attentions that eager keeps and the loop over heads are saved"
)
WHY = {
    "an edit of 48 megapixels over one of 1: by words, on": (
        "the thing's own pixels are put in at the picture's resolution"
    ),
    "an edit of 48 megapixels over one of 1: in a box": (
        "what is left grows with the picture alone: a copy of it and the proof that nothing "
        "outside the support changed; the miniature paints in about a second"
    ),
    "an edit of 48 megapixels over one of 1: by words": (
        "the miniature paints in about a second, so that it shows what must be done at the "
        "picture's own resolution: shrink it for the models, enlarge the mask, put the new pixels "
        "in, and prove that no other changed. It is also searched on a copy of 1,536 pixels where "
        "one of 1 megapixel has 1,000. On SDXL's canvas the same is a smaller part of the whole"
    ),
    "whole discovery, 72 heads, 1": _ALONE,
    "whole discovery, 1,024 heads, 1": _ALONE,
    "whole discovery, 72 heads, 4": (
        "the miniature has 72 heads, so the loop over heads is a small part of it, and a forward "
        "pass of each picture is left; in LLaVA-1.5-7B the loop has 1,024"
    ),
    "memory over": "see the curve",
    "rows at 3,000 tokens, scaled language model: eager over ours (every head), time": (
        "reading every head's row costs next to nothing beyond a whole forward under SDPA, as the "
        "last target of rows shows, and eager's own forward is no more than that slower than SDPA's"
    ),
}
ON_GPU = {
    "rows_cuda": "rows of LLaVA-1.5-7B and -13B and Qwen2.5-VL-7B",
    "phrases_cuda": "phrase to map on LLaVA-1.5-7B against its floor",
    "masks_cuda": "SAM ViT-H",
    "sdxl_steps_cuda": "SDXL's step beside diffusers' best settings",
    "sdxl_edits_cuda": "SDXL on large pictures, in batches and few steps",
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


def table(rows: Iterable[Sequence[Any]], heads: Sequence[str]) -> list[str]:
    """Markdown lines."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return [*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows), ""]


def seconds(value: float | None, computed: bool = False) -> str:
    """Seconds as text; those that were computed in brackets."""
    if value is None:
        return "–"
    text = f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:.0f}"
    return f"({text})" if computed else text


def megabytes(value: float | None) -> str:
    """Bytes as text."""
    return "–" if value is None else f"{value / 1e6:,.0f}"


def ratio(value: float | None) -> str:
    """A ratio as text."""
    return "–" if value is None else f"{value:.2f}×" if value < 10 else f"{value:.0f}×"


def standing(found: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Every target, and for a missed one by how much and why."""
    rows, notes = [], []
    ranks = {name: number for number, name in enumerate(SECTIONS)}
    order = sorted(found, key=lambda topic: ranks.get(topic, len(ranks)))
    for topic, result in ((topic, found[topic]) for topic in order):
        for one in result.get("targets", ()):
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
    heads = ("target", "on", "measured", "wanted", "")
    return [*table(rows, heads), *notes, *([""] if notes else [])]


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


def about(machine: Mapping[str, Any]) -> str:
    """A line on where something was measured."""
    versions = ", ".join(f"{k} {v}" for k, v in machine["packages"].items() if v)
    where = machine["gpu"]["name"] if machine.get("gpu") else machine["cpu"]
    return (
        f"{machine['date']}, {where}, {machine['cores']} cores, {machine['memory_gb']:.0f} GB, "
        f"{machine['threads']} thread, {machine['system']}, Python {machine['python']}, "
        f"{versions}"
    )


def crosstab(rows: Sequence[Mapping[str, Any]], by: str, unit: str) -> list[str]:
    """Seconds by way (down) and by a number such as "phrases" (across)."""
    counts = sorted({r[by] for r in rows})
    cells = {(r["way"], r[by]): seconds(r["seconds"], r.get("computed", False)) for r in rows}
    ways = dict.fromkeys(r["way"] for r in rows)
    lines = [(way, *(cells.get((way, n), "–") for n in counts)) for way in ways]
    plural = "es" if unit.endswith("x") else "s"
    names = [f"{n:g} {unit}{plural if n != 1 and unit != 'MP' else ''}" for n in counts]
    return table(lines, ("", *names))


def rows_section(result: Mapping[str, Any]) -> list[str]:
    """Attention rows."""
    by = {(r["model"], r["tokens"], r["way"]): r for r in result["rows"]}
    lines = []
    for one in result["ratios"]:
        at = one["model"], one["tokens"]
        cells = [by.get((*at, way), {}) for way in plots.ROW_WAYS]
        fresh = not all("times" in cell for cell in cells if "seconds" in cell)
        timed = [
            c.get("failed") or f"{seconds(c.get('seconds'), fresh)} / {megabytes(c.get('bytes'))}"
            for c in cells
        ]
        gains = [
            f"{'–' if fresh else ratio(one[f'eager/{ours} time'])} / "
            f"{ratio(one[f'eager/{ours} memory'])}"
            for ours in ("every", "three")
        ]
        least = seconds(by.get((*at, plots.ROW_FLOOR), {}).get("seconds"))
        last = "–" if fresh else ratio(one["every/sdpa time"])
        lines.append((one["model"], f"{one['tokens']:,}", *timed, least, *gains, last))
    gains = ("eager over every head", "eager over three heads", "every head over sdpa")
    return [
        "Seconds / megabytes beyond the model; ratios of both. Seconds in brackets, and hollow "
        "in the plot, have fresh memory in them, so no ratio is taken.",
        "",
        *table(lines, ("model", "tokens", *plots.ROW_WAYS, "floor", *gains)),
    ]


def phrases_section(result: Mapping[str, Any]) -> list[str]:
    """Phrases, and pictures in batches."""
    batches = [
        (r["pictures"], seconds(r["one by one"]), seconds(r["batch"]), ratio(r["one by one/batch"]))
        for r in result["pictures"]
    ]
    return [
        "Seconds from the picture's pixels to all maps; in brackets: so many times one.",
        "",
        *crosstab(result["rows"], "phrases", "phrase"),
        "Several pictures with a phrase each, one forward after the other or in one batch:",
        "",
        *table(batches, ("pictures", "one by one", "batch", "gain")),
    ]


def several_section(result: Mapping[str, Any]) -> list[str]:
    """The miniature's own phrases."""
    lines = [
        (
            r["phrases"],
            *(seconds(r[way]) for way in ("anew", "one by one", "packed")),
            *(ratio(r[name]) for name in ("anew/packed", "against one")),
        )
        for r in result["rows"]
    ]
    heads = (
        "phrases|read anew for each|read once, one by one|packed|anew / packed|packed / one phrase"
    )
    return [
        "Phrases of one scene, from its pixels to all maps, in seconds.",
        "",
        *table(lines, heads.split("|")),
    ]


def discovery_section(result: Mapping[str, Any]) -> list[str]:
    """Head discovery."""
    one, memory = result["criteria"], result["memory"]
    runs = [
        (
            r["model"],
            f"{r['heads']:,}",
            r["phrases a picture"],
            seconds(1 / r["ours"]),
            seconds(1 / r["loop"]),
            ratio(r["loop/ours"]),
        )
        for r in result["whole"]
    ]
    heads = ("model", "heads", "phrases a picture", "seconds a picture, ours", "loop", "gain")
    return [
        f"The criteria of {one['shape'][0] * one['shape'][1]:,} heads in one sample: "
        f"{1000 * one['ours']:.1f} ms, the loop {1000 * one['loop']:.0f} ms "
        f"({ratio(one['loop/ours'])}); they differ by at most "
        f"{one['largest difference']:.0e}.",
        "",
        *table(runs, heads),
        f"{memory['pairs']:,} pairs took {memory['seconds']:.0f} s "
        f"({memory['pairs'] / memory['seconds']:.0f} a second, four phrases a picture); memory "
        f"went from {megabytes(memory['start'])} to {megabytes(memory['memory'][-1][1])} MB "
        "(the curve is below, with the batch's).",
        "",
    ]


def painting_section(result: Mapping[str, Any]) -> list[str]:
    """Painting on the CPU."""
    return [
        "Seconds of a whole edit; in brackets: computed from a few steps.",
        "",
        *crosstab(result["rows"], "megapixels", "MP"),
        "Paintings a minute of CPU time on a picture of 256 by 256, finding included:",
        "",
        *table([(r["way"], r["pictures a minute"]) for r in result["ways"]], ("", "a minute")),
    ]


def steps_section(result: Mapping[str, Any]) -> list[str]:
    """A step of denoising."""
    lines = [(r["way"], f"{1000 * r['step']:.1f}", seconds(r["painting"])) for r in result["rows"]]
    steps = result["rows"][0]["steps"]
    return table(lines, ("", "milliseconds a step", f"seconds of {steps} steps"))


def gpu_painting_section(result: Mapping[str, Any]) -> list[str]:
    """SDXL on large pictures, in batches and few steps."""
    lines = [
        (r["way"], f"{r['megapixels']:g}", seconds(r["seconds"]), megabytes(r["bytes"]))
        for r in result["rows"]
    ]
    many = [(r["way"], r["pictures a minute"]) for r in result["ways"]]
    return [
        *table(lines, ("", "megapixels", "seconds", "megabytes beyond the weights")),
        *table(many, ("", "pictures of a megapixel a minute")),
    ]


def modes_section(result: Mapping[str, Any]) -> list[str]:
    """SDXL in every memory mode."""
    lines = [
        (
            r["mode"],
            f"{r['peak_gb']:.1f}",
            f"{r['place_s']:.1f}",
            seconds(r["step_s"]),
            seconds(r["turn_s"]),
        )
        for r in result["modes"]
    ]
    return table(lines, ("mode", "peak, GB", "placing, s", "a step, s", "a turn, s"))


def startup_section(result: Mapping[str, Any]) -> list[str]:
    """Start-up."""
    return table([(r["what"], seconds(r["seconds"])) for r in result["rows"]], ("", "CPU seconds"))


def scaling_section(result: Mapping[str, Any]) -> list[str]:
    """A long batch."""
    return [
        f"{result['rows']:,} rows in {result['seconds']:.0f} s "
        f"({60 * result['rows'] / result['seconds']:.0f} a minute).",
        "",
        *_shown("performance_memory.png", "memory over a long batch"),
    ]


def workers_section(result: Mapping[str, Any]) -> list[str]:
    """A batch with workers."""
    slowest = {name: 60 / max(r["row"] for r in runs) for name, runs in result["rounds"].items()}
    lines = [
        (
            w["way"],
            f"{w['rows a minute']:.0f} ({slowest[w['way']]:.0f})",
            ratio(w["gain"]),
            f"{w['start']:.0f}",
            f"{w['pause']:.1f}",
            f"{w['not given']:.0f}",
        )
        for w in result["ways"]
    ]
    model = result["model"]
    gains = ", ".join(f"{m['workers']}: {m['gain']:.1f}×" for m in result["modelled"])
    return [
        f"{result['rows']} rows, after the start (`python -m benchmarks.batch_scaling`, seven "
        "minutes, not part of `make bench`), the faster of two rounds and the slower in "
        "brackets:",
        "",
        *table(lines, ("", "rows a minute", "gain", "start, s", "pause, s", "not given, s")),
        "Pictures of as many threads are the same "
        f"{'bytes' if result['equal'] else '**no more**'}; of one thread and of two they are "
        f"apart by at most {result['threads apart']} of 255.",
        "",
        f"Computed: {model['fixed']:.0f} s to start, {model['alone']:.3f} s of a row that no "
        f"worker shares, {model['shared']:.3f} s that they do; workers and gain over one in "
        f"{result['modelled rows']:,} rows: {gains}.",
        "",
    ]


def waiting_section(result: Mapping[str, Any]) -> list[str]:
    """Threads beside other programs."""
    by = {(r["way"], r["programs"]): r for r in result["rows"]}
    counts = [one["programs"] for one in result["gains"]]
    lines = [
        (way, *(f"{seconds(by[way, n]['median'])} / {seconds(by[way, n]['most'])}" for n in counts))
        for way in dict.fromkeys(r["way"] for r in result["rows"])
    ]
    gains = (f"{ratio(g['median'])} / {ratio(g['most'])}" for g in result["gains"])
    lines.append(("libgomp's over a worker's", *gains))
    return [
        "Wall-clock seconds, median and most of eight edits (`python -m benchmarks.waiting`, "
        "not part of `make bench`):",
        "",
        *table(lines, ("", *("alone" if not n else f"beside {n}" for n in counts))),
    ]


def _shown(picture: str, words: str) -> list[str]:
    return [f"![{words}]({picture})", ""]


class Section(NamedTuple):
    """How a result is shown: its heading, what is said before the tables, the plot, the tables."""

    heading: str
    tables: Callable[[Any], list[str]]
    said: str = "doc"  # "doc": the script's docstring; "machine": where; or both
    plot: str = ""
    words: str = ""
    before: str = ""

    def show(self, topic: str, result: Mapping[str, Any]) -> list[str]:
        """The section as Markdown lines."""
        lines = [self.heading, ""]
        if "machine" in self.said:
            lines += [about(result["machine"]), ""]
        if "doc" in self.said:
            text = (
                import_module(f"benchmarks.{topic.removesuffix('_cuda')}").__doc__ or ""
            ).strip()
            parts = [p for p in text.split("\n\n")[1:] if not p.lstrip().startswith("python -m")]
            lines += [line for part in parts for line in (" ".join(part.split()), "")]
        lines += [self.before, ""] if self.before else []
        lines += _shown(f"performance_{self.plot}.png", self.words) if self.plot else []
        return [*lines, *self.tables(result)]


_TOKENS, _PHRASES = "time and memory against tokens", "time against phrases, with the floor"
SECTIONS: dict[str, Section] = {
    "rows": Section("## Attention rows", rows_section, plot="rows", words=_TOKENS),
    "rows_cuda": Section(
        "## Attention rows on a GPU", rows_section, "machine", "rows_cuda", _TOKENS
    ),
    "phrases": Section("## Finding phrases", phrases_section, plot="phrases", words=_PHRASES),
    "several_phrases": Section("### With the miniature's language model", several_section, said=""),
    "phrases_cuda": Section(
        "## Finding phrases on a GPU", phrases_section, "machine", "phrases_cuda", _PHRASES
    ),
    "discovery": Section("## Finding localization heads", discovery_section),
    "masks": Section("## Masks from boxes", lambda r: crosstab(r["rows"], "boxes", "box")),
    "masks_cuda": Section(
        "## Masks from boxes on a GPU", lambda r: crosstab(r["rows"], "boxes", "box"), "machine"
    ),
    "painting": Section(
        "## Painting", painting_section, plot="megapixels", words="time against megapixels"
    ),
    "sdxl_steps": Section(
        "## A step beside diffusers' settings",
        steps_section,
        "machine, doc",
        before="`python -m benchmarks.sdxl_steps`, three minutes, not part of `make bench`:",
    ),
    "sdxl_edits_cuda": Section(
        "## Painting with SDXL on a GPU",
        gpu_painting_section,
        "machine, doc",
        "megapixels_cuda",
        "time and memory against megapixels",
    ),
    "sdxl_steps_cuda": Section("## A step of SDXL on a GPU", steps_section, "machine, doc"),
    "full_size_cuda": Section("### SDXL in every memory mode", modes_section, "machine"),
    "startup": Section("## Start-up", startup_section),
    "scaling": Section("## Long batches", scaling_section),
    "batch_scaling": Section("## Batches with workers", workers_section, "machine, doc"),
    "waiting": Section("## Beside other programs", waiting_section, "machine, doc"),
}
"""How each result is shown, in the page's order."""


def edits_section(result: Mapping[str, Any]) -> list[str]:
    """What an edit costs with each choice of models, and the parts that this was computed from."""
    edits = [
        (r["models"], f"{r['find_s']:.0f}", f"{r['paint_s']:.0f}", f"{r['resident_gb']:.1f}")
        for r in result["edits"]
    ]
    parts = [
        (
            r["part"],
            r["does"],
            f"{r['parameters'] / 1e6:,.0f} M" if "parameters" in r else "–",
            seconds(r.get("seconds")) if "seconds" in r else r["failed"],
            seconds(r.get("floor_s")),
            f"{r['peak_gb']:.1f}" if "peak_gb" in r else "–",
        )
        for r in result["parts"]
    ]
    return [
        "## What one edit costs on a CPU",
        "",
        "Real shapes with random weights in the presets' precision, CPU seconds of one thread "
        f"({about(result['machine'])}). `python -m benchmarks.full_size --device cpu`; each part "
        "ran in a process of its own. Edits are sums of parts (steps as in the presets); their "
        "memory is that of all parts held at once; one with unmeasured parts is left "
        "out. Quality is not measured. The floor is the part's operations at the rate of a large "
        "matrix product. Other programs ran beside; CPU seconds suffer least from that.",
        "",
        *table(edits, ("edit with", "find, s", "paint, s", "memory, GB")),
        *table(parts, ("part", "does", "parameters", "s", "floor, s", "peak, GB")),
    ]


def changes_section(result: Mapping[str, Any]) -> list[str]:
    """What was made faster, in CPU seconds before and after."""
    rows = [
        (
            r["what"],
            f"{r['before']:.2f}",
            f"{r['after']:.2f}",
            f"{r['after'] / r['before']:.2f}",
            r["n"],
        )
        for r in result["rows"]
    ]
    return [
        "## Before and after",
        "",
        f"CPU seconds, taken by hand ({result['machine']}).",
        "",
        *table(rows, ("what", "before", "after", "ratio", "n")),
        *(f"- {note}" for note in result["notes"]),
        "",
    ]


def page(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole page."""
    first = next(iter(found.values()))
    lines = [
        "# Performance",
        "",
        "Written by `make bench` (`python -m benchmarks`) from `benchmarks/results/*.json`. Every "
        "number comes from one run of a script there; alternatives are timed in turn, and the "
        "least of their times is given. On a CPU these are CPU seconds of one thread: read the "
        "ratios, not the seconds, and no difference below some 5%, since few runs were made.",
        "",
        about(found.get("rows", first)["machine"]),
        "",
        *(edits_section(found["full_size_parts"]) if "full_size_parts" in found else ()),
        *(changes_section(found["before_after"]) if "before_after" in found else ()),
        "## Targets",
        "",
        *standing(found),
        *unmeasured(found),
    ]
    for name, section in SECTIONS.items():
        if name in found:
            lines += section.show(name, found[name])
    return "\n".join(lines).rstrip() + "\n"


def write_page(results: Path = common.RESULTS, docs: Path = DOCS) -> Path:
    """Write the page and its plots; the page's path."""
    found = load(results)
    if not found:
        raise SystemExit(f"{results} holds no results; run python -m benchmarks first")
    docs.mkdir(parents=True, exist_ok=True)
    plots.draw_all(found, docs)
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
