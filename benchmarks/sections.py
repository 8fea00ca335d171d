"""The sections of the performance pages: each result as a heading and its tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from benchmarks import plots


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
        timed = [
            c.get("failed") or f"{seconds(c.get('seconds'))} / {megabytes(c.get('bytes'))}"
            for c in cells
        ]
        gains = [
            f"{ratio(one[f'eager/{ours} time'])} / {ratio(one[f'eager/{ours} memory'])}"
            for ours in ("every", "three")
        ]
        least = seconds(by.get((*at, plots.ROW_FLOOR), {}).get("seconds"))
        last = ratio(one["every/sdpa time"])
        lines.append((one["model"], f"{one['tokens']:,}", *timed, least, *gains, last))
    gains = ("eager over every head", "eager over three heads", "every head over sdpa")
    return [
        "Seconds / megabytes beyond the model; ratios of both.",
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
        f"went from {megabytes(memory['start'])} to {megabytes(memory['memory'][-1][1])} MB.",
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


def parts_section(result: Mapping[str, Any]) -> list[str]:
    """The parts that an edit's cost is summed from."""
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
        "Each part ran in a process of its own, other programs beside. The floor is the part's "
        "operations at the rate of a large matrix product.",
        "",
        *table(parts, ("part", "does", "parameters", "s", "floor, s", "peak, GB")),
    ]


def changes_section(result: Mapping[str, Any]) -> list[str]:
    """Every time of both versions."""
    rows = [
        (r["what"], when, ", ".join(seconds(v) for v in every))
        for r in result["rows"]
        for when, every in r["all"].items()
    ]
    return table(rows, ("what", "when", "every time"))


class Section(NamedTuple):
    """How a result is shown: its heading, its tables, and whether its script's docstring is."""

    heading: str
    tables: Callable[[Any], list[str]]
    doc: bool = True

    def show(self, topic: str, result: Mapping[str, Any]) -> list[str]:
        """The section as Markdown lines."""
        lines = [self.heading, "", about(result["machine"]), ""]
        if self.doc:
            script = import_module(f"benchmarks.{topic.removesuffix('_cuda')}")
            parts = (script.__doc__ or "").strip().split("\n\n")[1:]
            kept = [p for p in parts if not p.lstrip().startswith("python -m")]
            lines += [line for part in kept for line in (" ".join(part.split()), "")]
        return [*lines, *self.tables(result)]


def _masks(result: Mapping[str, Any]) -> list[str]:
    return crosstab(result["rows"], "boxes", "box")


SECTIONS: dict[str, Section] = {
    "full_size_parts": Section("## Parts of an edit at full size", parts_section, doc=False),
    "before_after": Section("## Before and after", changes_section),
    "rows": Section("## Attention rows", rows_section),
    "rows_cuda": Section("## Attention rows on a GPU", rows_section, doc=False),
    "phrases": Section("## Finding phrases", phrases_section),
    "phrases_cuda": Section("## Finding phrases on a GPU", phrases_section, doc=False),
    "several_phrases": Section("## Phrases of the miniature", several_section, doc=False),
    "discovery": Section("## Finding localization heads", discovery_section),
    "masks": Section("## Masks from boxes", _masks),
    "masks_cuda": Section("## Masks from boxes on a GPU", _masks, doc=False),
    "painting": Section("## Painting", painting_section),
    "sdxl_steps": Section("## A step beside diffusers' settings", steps_section),
    "sdxl_steps_cuda": Section("## A step of SDXL on a GPU", steps_section, doc=False),
    "full_size_cuda": Section("## SDXL in every memory mode", modes_section, doc=False),
    "startup": Section("## Start-up", startup_section),
    "batch_scaling": Section("## Batches with workers", workers_section),
}
"""How each result is shown in the appendix, in its order."""
