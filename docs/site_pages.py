"""Hooks of the documentation site: pages that live outside docs/ join it under their own paths."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = ("SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "CODE_OF_CONDUCT.md")
SUFFIXES = (".md", ".webp", ".png", ".jsonl")
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s]+)(?=\))")


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Add the README as the first page, and what the pages link to outside docs/."""
    files.append(
        File.generated(config, "index.md", content=(ROOT / "README.md").read_text("utf-8"))
    )
    others = [ROOT / name for name in OUTSIDE]
    others += [p for p in (ROOT / "miniature").rglob("*") if p.suffix in (".md", ".webp")]
    others += [ROOT / "examples" / "batch.jsonl"]
    for path in others:
        if "sprites" not in path.parts and path.suffix in SUFFIXES:
            place = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Rewrite links: in the site, docs/ is the root of every page."""
    depth = page.file.src_uri.count("/")

    def moved(match: re.Match[str]) -> str:
        target = match.group(1)
        if page.file.generated_by:
            return target.replace("docs/", "", 1)
        return target.replace("../", "", 1) if target.startswith("../" * (depth + 1)) else target

    return LINK.sub(moved, markdown)
