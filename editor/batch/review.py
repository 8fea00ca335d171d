"""The review sheet: one HTML page with before, mask, after and status of each row.

It loads nothing from the network: a policy in the page forbids it, pictures lie beside it, and
every word of the manifest is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..files import atomic_write
from .results import STATUSES, RowResult

_STYLE, _SCRIPT = (
    "\n" + (files(__package__) / f"review.{kind}").read_text("utf-8") for kind in ("css", "js")
)
_POLICY = (
    "default-src 'none'; img-src 'self' file: data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
_PANELS = (("review_before", "before"), ("review_found", "found"), ("review_after", "after"))


def write_review(
    path: Path, title: str, results: Iterable[RowResult], counts: Mapping[str, int]
) -> None:
    """Write the sheet, row by row, so that a long one needs little memory.

    Links to pictures are relative to its folder; `counts` (rows by status) make the filters.
    """

    def write(file: Any) -> None:
        file.write(_head(title, counts).encode("utf-8", "replace"))
        for result in results:
            file.write(article(result).encode("utf-8", "replace"))
        file.write(f"</main><script>{_SCRIPT}</script></body></html>\n".encode())

    atomic_write(path, write)


def article(result: RowResult) -> str:
    """One row as HTML.

    >>> from groundbrush.editor.batch.rows import BatchRow
    >>> row = BatchRow(1, "a", "a.png", "ground", "<b>dog</b>")
    >>> "<b>" in article(RowResult.of(row, "absent"))
    False
    """
    status, named = result.status, result.files
    panels = "".join(
        f'<figure><a href="{_link(named, kind)}"><img loading="lazy" alt="{words}" '
        f'src="{_link(named, kind)}"></a><figcaption>{words}</figcaption></figure>'
        for kind, words in _PANELS
        if kind in named
    )
    links = " · ".join(
        f'<a href="{_link(named, kind)}">{escape(kind.replace("_", " "))}</a>'
        for kind in named
        if not kind.startswith("review_")
    )
    facts = "".join(f"<li>{escape(words)}</li>" for words in _facts(result))
    return (
        f'<article data-status="{status}" data-doubt="{int(result.doubtful)}">'
        f'<h2><span class="status {status}">{status}</span>{result.row}. '
        f"{escape(result.image)}: {escape(_request(result))}</h2>"
        f'<div class="panels">{panels}</div><ul>{facts}</ul><p>{links}</p></article>\n'
    )


def _head(title: str, counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    filters = [("all", f"all {total}")]
    filters += [(s, f"{s} {counts[s]}") for s in STATUSES if counts.get(s)]
    filters.append(("doubt", "check not passed"))
    buttons = "".join(
        f'<button type="button" data-filter="{name}">{words}</button>' for name, words in filters
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1><nav>{buttons}"
        '<input type="search" placeholder="words" aria-label="show rows that hold these words">'
        '<span id="shown"></span></nav><main>\n'
    )


def _request(result: RowResult) -> str:
    what = f"“{result.words}”" if result.words else "the marked place"
    words = f"{result.action} {what}"
    return words if result.paint is None else f"{words} → “{result.paint}”"


def _facts(result: RowResult) -> list[str]:
    """What the row came to, in words."""
    score = "" if result.score is None else f"{result.found}, score {result.score:.2f}"
    reason = result.reason or ""
    if reason.startswith("score "):  # it names the score itself
        score = str(result.found)
    facts = [": ".join(filter(None, (score, reason)))] if score or reason else []
    facts += [
        f"candidate {k}: box {', '.join(f'{v:g}' for v in c['box'])}, score {c['score']:.2f}"
        for k, c in enumerate(result.candidates)
    ]
    if result.checks:
        facts.append("checks: " + " · ".join(map(_check, result.checks.items())))
    facts += result.notes
    if result.status == "held":
        facts.append(
            'to continue, give this row "candidate": 0 (or another), "gate": "paint", or other '
            "words, "
            "and run it again with --resume"
        )
    return facts


def _check(named: tuple[str, Any]) -> str:
    name, value = named
    words = {True: "yes", False: "no", None: "not checked"}
    plain = words[value] if value is None or isinstance(value, bool) else str(value)
    return f"{name.replace('_', ' ')} {plain}"


def _link(named: Mapping[str, str], kind: str) -> str:
    return escape(quote(named[kind]))
