"""Make the picture of docs/several.md and the tables of docs/measured/several.md.

    python docs/several.py picture    # docs/several.png
    python docs/several.py tables     # from out/evaluate and benchmarks/results

`tables` writes what was measured last, with machine and date, between the page's marks; measure
with ``groundbrush evaluate png``, ``python -m benchmarks.several_phrases``,
``python -m benchmarks.plurals`` and ``python -m benchmarks.ambiguity``.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from groundbrush.editor.evaluation.report import markdown

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

PAGE, PICTURE = ROOT / "docs" / "measured" / "several.md", ROOT / "docs" / "several.png"
RECALL = ROOT / "out" / "evaluate" / "miniature" / "png-heldout.json"
PHRASES = ROOT / "benchmarks" / "results" / "several_phrases.json"
PLURALS = ROOT / "benchmarks" / "results" / "plurals.json"
AMBIGUITY = ROOT / "benchmarks" / "results" / "ambiguity.json"
EXAMPLE = ROOT / "examples" / "cupcakes.png"
SENTENCE = "Three cupcakes, a house, the dog and a red balloon."


def picture() -> None:
    """One sentence, everything it names in the picture, and the legend."""
    from groundbrush import Editor
    from groundbrush.editor.pictures.panoptic_overlay import panoptic_sheet
    from groundbrush.editor.pictures.picture import open_picture

    image = open_picture(EXAMPLE)
    found = Editor.load("miniature", device="cpu", offline=True).ground_all(image, SENTENCE)
    sheet = panoptic_sheet(image.pixels, found)
    sheet.quantize(256, dither=0).save(PICTURE, optimize=True)
    for segment in found.segments:
        print(f"{segment.phrase}: {segment.status} {segment.ids}; {segment.reason}")
    print(PICTURE)


def tables() -> None:
    """Write the measured tables into the page."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = {
        "recall": recall_block(),
        "phrases": phrases_block(),
        "plurals": plurals_block(),
        "ambiguity": ambiguity_block(),
    }
    for name, made in blocks.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        text, count = re.subn(pattern, lambda m, made=made: m[1] + made + m[2], text, flags=re.S)
        if count != 1:
            raise SystemExit(f"{PAGE} has {count} places marked {name!r}; expected one")
    PAGE.write_text(text, encoding="utf-8")
    print(PAGE)


def recall_block() -> str:
    """Average recall on composed scenes, as ``groundbrush evaluate png`` measured it."""
    found = json.loads(RECALL.read_text(encoding="utf-8"))
    facts = found["facts"]
    told = f"{facts['pictures']}; {facts['intervals']}; measured {facts['measured']}."
    return f"{found['table']}\n\n{told[0].upper()}{told[1:]}\nRefusal is {facts['refusal']}.\n"


def phrases_block() -> str:
    """The cost of several phrases, as ``python -m benchmarks.several_phrases`` measured it."""
    found = json.loads(PHRASES.read_text(encoding="utf-8"))
    about = found["machine"]
    rows = [
        (
            row["phrases"],
            *(f"{1000 * row[way]:.0f} ms" for way in ("anew", "packed")),
            f"{row['anew/packed']:.1f}x",
            f"{row['against one']:.2f}x",
            f"at most {row['at most']:.1f}x",
        )
        for row in found["rows"]
    ]
    heads = "phrases|anew each|packed|anew / packed|against one phrase|target"
    made = markdown(heads.split("|"), rows)
    return f"{made}\n\nCPU time on one thread, {about['date']}, {about['cpu']}.\n"


def plurals_block() -> str:
    """How counted things are found, as ``python -m benchmarks.plurals`` measured it."""
    found = json.loads(PLURALS.read_text(encoding="utf-8"))
    names = ("right number", "things found", "average recall")
    rows = [(row["way"], *(f"{100 * row[name]:.0f}%" for name in names)) for row in found["rows"]]
    made = markdown((f"{found['rows'][0]['scenes']} scenes", *names), rows)
    return f"{made}\n\nHeld-out composed scenes, {found['machine']['date']}.\n"


def ambiguity_block() -> str:
    """Answers to phrases that fit several things, of ``python -m benchmarks.ambiguity``."""
    found = json.loads(AMBIGUITY.read_text(encoding="utf-8"))
    by = {(row["way"], row["fits"]): row for row in found["rows"]}
    several, one = (by["second look", fits] for fits in ("several things", "one thing"))
    rows = []
    for way in ("one look", "second look"):
        many, single = by[way, "several things"], by[way, "one thing"]
        cells = [f"{100 * v:.0f}%" for v in (many["told"], many["all places"])]
        search = {"one look": "map only", "second look": "with the search"}[way]
        rows.append((search, *cells, f"{100 * single['told']:.1f}%", f"{single['seconds']:.2f}"))
    heads = f"{several['phrases']} phrases fit several, {one['phrases']} one"
    heads += "|reported as ambiguous|all of them listed|false alarms|seconds"
    made = markdown(heads.split("|"), rows)
    kinds = [
        row
        for (way, fits), row in by.items()
        if way == "second look" and row is not one and "several" not in fits
    ]
    kinds.sort(key=lambda row: -row["told"])
    wrong = ", ".join(f"{row['fits']} {100 * row['told']:.0f}%" for row in kinds)
    return (
        f"{made}\n\nFalse alarms by kind of phrase: {wrong}. The mask of a phrase that fits "
        f"several is one whole thing in {100 * several['one whole']:.0f}%, and covers two in "
        f"{100 * several['join']:.0f}%.\nHeld-out composed scenes; CPU seconds of a phrase that "
        f"fits one thing, on one thread; {found['machine']['date']}, {found['machine']['cpu']}.\n"
    )


if __name__ == "__main__":
    wanted = sys.argv[1:]
    if not wanted or set(wanted) - {"picture", "tables"}:
        raise SystemExit((__doc__ or "").strip())
    for what in wanted:
        {"picture": picture, "tables": tables}[what]()
