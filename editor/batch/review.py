"""The review sheet: one HTML page with before, mask, after and status of each row.

It loads nothing from the network: a policy in the page forbids it, pictures lie beside it, and
every word of the manifest is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..files import atomic_write
from .results import STATUSES, RowResult

_STYLE = """
:root{color-scheme:light dark;font:15px/1.45 system-ui,sans-serif;--line:#8884}
body{margin:0 auto;max-width:1600px;padding:1rem}
h1{font-size:1.3rem;margin:.2rem 0}
nav{position:sticky;top:0;background:Canvas;padding:.6rem 0;border-bottom:1px solid var(--line);
 display:flex;gap:.5rem;flex-wrap:wrap;align-items:center;z-index:1}
nav button,nav input{font:inherit;padding:.25rem .7rem;border:1px solid var(--line);
 border-radius:1rem;background:transparent;color:inherit}
nav button{cursor:pointer}
nav button[aria-pressed=true]{background:CanvasText;color:Canvas}
#shown{opacity:.75;font-size:.85rem}
article{border-bottom:1px solid var(--line);padding:.9rem 0;content-visibility:auto;
 contain-intrinsic-size:auto 320px;display:flex;flex-wrap:wrap;gap:.4rem 1.4rem}
h2{font-size:1rem;margin:0;flex:0 0 100%;overflow-wrap:anywhere}
.status{display:inline-block;min-width:4.2rem;text-align:center;border-radius:.3rem;
 padding:0 .4rem;margin-right:.4rem;color:#fff;background:#666}
.done{background:#1b7f3b}.failed{background:#b3261e}.held{background:#a15c00}
.skipped,.absent{background:#4a5a78}
.panels{display:flex;gap:.6rem;flex-wrap:wrap}
figure{margin:0}figcaption{font-size:.8rem;opacity:.75}
img{display:block;max-width:min(384px,29vw);height:auto;background:#8882;border-radius:.3rem}
p,ul{margin:0;overflow-wrap:anywhere}ul{padding-left:1.2rem;flex:1 1 22rem}
p{flex:0 0 100%;font-size:.85rem}
[hidden]{display:none!important}
@media(max-width:48rem){img{max-width:42vw}ul{flex-basis:100%}}
@media print{nav{display:none}article{content-visibility:visible;break-inside:avoid}}
"""
_SCRIPT = """
"use strict";
const rows=[...document.querySelectorAll("article")],box=document.querySelector("input"),
 buttons=[...document.querySelectorAll("nav button")],shown=document.getElementById("shown");
let status="all";
function show(){const words=box.value.toLowerCase();let n=0;
 for(const row of rows){const on=(status==="all"||row.dataset.status===status||
   (status==="doubt"&&row.dataset.doubt==="1"))&&row.textContent.toLowerCase().includes(words);
  row.hidden=!on;n+=on}
 shown.textContent=n+" shown";
 for(const b of buttons)b.setAttribute("aria-pressed",b.dataset.filter===status)}
const doubts=rows.filter(row=>row.dataset.doubt==="1").length,
 doubt=buttons.find(b=>b.dataset.filter==="doubt");
doubt.textContent+=" "+doubts;doubt.hidden=!doubts;
for(const b of buttons)b.addEventListener("click",()=>{status=b.dataset.filter;show()});
box.addEventListener("input",show);show();
"""
_POLICY = (
    "default-src 'none'; img-src 'self' file: data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
_PANELS = (("review_before", "before"), ("review_found", "found"), ("review_after", "after"))


def write_review(
    path: Path, title: str, results: Iterable[RowResult], counts: Mapping[str, int]
) -> None:
    """Write the sheet, row by row, so that a long one needs little memory.

    Parameters
    ----------
    path
        In the output folder: links to pictures are relative to it.
    title
        The manifest's name.
    results
        In the order they are shown.
    counts
        Rows by status, for the filters.
    """

    def write(file: Any) -> None:
        file.write(_head(title, counts).encode("utf-8", "replace"))
        for result in results:
            file.write(article(result).encode("utf-8", "replace"))
        file.write(f"</main><script>{_SCRIPT}</script></body></html>\n".encode())

    atomic_write(path, write)


def article(result: RowResult) -> str:
    """One row as HTML.

    Examples
    --------
    >>> from groundbrush.editor.batch.rows import BatchRow
    >>> row = BatchRow(1, "a", "a.png", "ground", "<b>dog</b>")
    >>> "<b>" in article(RowResult.of(row, "absent"))
    False
    """
    status, files = result.status, result.files
    panels = "".join(
        f'<figure><a href="{_link(files, kind)}"><img loading="lazy" alt="{words}" '
        f'src="{_link(files, kind)}"></a><figcaption>{words}</figcaption></figure>'
        for kind, words in _PANELS
        if kind in files
    )
    links = " · ".join(
        f'<a href="{_link(files, kind)}">{escape(kind.replace("_", " "))}</a>'
        for kind in files
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
            'to go on, give this row "candidate": 0 (or another), "gate": "paint", or other words, '
            "and run it again with --resume"
        )
    return facts


def _check(named: tuple[str, Any]) -> str:
    name, value = named
    words = {True: "yes", False: "no", None: "not asked"}
    plain = words[value] if value is None or isinstance(value, bool) else str(value)
    return f"{name.replace('_', ' ')} {plain}"


def _link(files: Mapping[str, str], kind: str) -> str:
    return escape(quote(files[kind]))
