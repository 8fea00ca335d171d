"""Check that a version can be released, and build its files in build/release.

    python docs/release.py --check                        # the checks only
    python docs/release.py --at https://HOST/OWNER/groundbrush

Version, changelog, CITATION.cff and tag must agree, and nothing may be uncommitted. Links and
pictures of the README become absolute addresses below ``--at``, as PyPI needs them.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "build" / "release"
PICTURES = (".png", ".webp", ".svg")
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s]+)(?=\))")


def problems(version: str, changelog: str, citation: str) -> list[str]:
    """What keeps a version from being released, by its own files."""
    found = []
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        found.append(f"version {version!r}: expected three numbers, such as 1.2.0")
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", changelog, re.M | re.S))
    if sections.get("Unreleased", "").strip():
        found.append(
            f"CHANGELOG.md: 'Unreleased' has entries; move them below '## {version} – DATE'"
        )
    dated = [title for title in sections if title.startswith(f"{version} – ")]
    if not dated or not re.search(r" – \d{4}-\d\d-\d\d$", dated[0]):
        found.append(f"CHANGELOG.md: no section '## {version} – YYYY-MM-DD'")
    elif not sections[dated[0]].strip():
        found.append(f"CHANGELOG.md: the section of {version} is empty")
    if f"\nversion: {version}\n" not in citation:
        found.append(f"CITATION.cff: expected a line 'version: {version}'")
    return found


def absolute_links(text: str, base: str, tag: str) -> str:
    """A page's relative links below `base`: pictures as raw files, others as pages, of `tag`."""

    def absolute(match: re.Match[str]) -> str:
        path = match[1]
        kind = "raw" if path.endswith(PICTURES) else "blob"
        return f"{base.rstrip('/')}/{kind}/{tag}/{path}"

    return LINK.sub(absolute, text)


def main(argv: list[str] | None = None) -> int:
    """Check; build unless only the checks are wanted; 1 if something is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="build nothing")
    parser.add_argument("--at", metavar="URL", help="the repository's public address")
    args = parser.parse_args(argv)
    version = _version()
    found = problems(
        version, *((ROOT / n).read_text("utf-8") for n in ("CHANGELOG.md", "CITATION.cff"))
    )
    if _git("status", "--porcelain"):
        found.append("uncommitted changes: commit or stash them")
    if _git("tag", "--list", f"v{version}"):
        found.append(f"tag v{version} exists: raise __version__ in editor/__init__.py")
    if not args.check and not args.at:
        found.append("--at: expected the repository's public address, for the README's pictures")
    for words in found:
        print(words, file=sys.stderr)
    if not found and not args.check:
        _build(args.at, f"v{version}")
    return 1 if found else 0


def _version() -> str:
    text = (ROOT / "editor" / "__init__.py").read_text("utf-8")
    return re.search(r'^__version__ = "(.+)"$', text, re.M)[1]  # type: ignore[index]


def _git(*arguments: str) -> str:
    return subprocess.check_output(["git", *arguments], cwd=ROOT, text=True).strip()


def _build(base: str, tag: str) -> None:
    """Build the wheel from what is committed, and say what is left to do."""
    shutil.rmtree(OUT, ignore_errors=True)
    source = OUT / "source"
    source.mkdir(parents=True)
    archive = subprocess.check_output(["git", "archive", "HEAD"], cwd=ROOT)
    subprocess.run(["tar", "x", "-C", source], input=archive, check=True)
    page = source / "README.md"
    page.write_text(absolute_links(page.read_text("utf-8"), base, tag), "utf-8")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", OUT, source]
    subprocess.run(pip, check=True)
    shutil.rmtree(source)
    print(*(path.relative_to(ROOT) for path in OUT.iterdir()))
    print(f"next: git tag {tag} && git push origin {tag}; twine upload build/release/*.whl")


if __name__ == "__main__":
    sys.exit(main())
