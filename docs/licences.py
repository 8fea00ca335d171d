"""Write docs/licences.md, and docs/reference/packages.md: every package that Groundbrush runs on.

It reads what is installed, without network, and fails on a licence that is unknown or not allowed
here, so that a copyleft package cannot come in unseen. ``--check`` writes nothing.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "licences.md"
PACKAGES = ROOT / "docs" / "reference" / "packages.md"
EXTRAS = ("serve", "ray")
"""Extras of the product; the others are for those who work on it."""
PERMISSIVE = {
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSD",
    "BSL-1.0",
    "CC0-1.0",
    "CNRI-Python",
    "HPND",
    "ISC",
    "MIT",
    "MIT-CMU",
    "MIT-0",
    "PSF-2.0",
    "Python-2.0",
    "Unlicense",
    "Zlib",
}
FILE_COPYLEFT = {"MPL-2.0"}
"""Changes to their own files must be published; using them requires nothing."""
EXCEPTIONS = {
    "opencv-python": "its wheels hold FFmpeg and Qt, which are LGPL and linked dynamically",
    "numpy": "its wheels hold GCC's runtime libraries, GPL with the runtime exception",
    "scipy": "its wheels hold GCC's runtime libraries, GPL with the runtime exception",
    "setuptools": "it holds a copy of autocommand, LGPL, which nothing here uses",
    "torch": "the GPL is that of a test in a library's sources; the wheel holds none of its code",
}
"""Packages with a GNU licence among their licence files, and why that requires nothing of users."""
USUAL = ", Apache-2.0 (SAM), CreativeML OpenRAIL++-M (SDXL)"
"""The end of most presets' licences."""
PROPRIETARY = ("nvidia-",)
"""NVIDIA's CUDA libraries come with torch on Linux unless its CPU build is installed."""
_NAMES = {
    "apache": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache 2.0 license": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "bsd license": "BSD",
    "bsd": "BSD",
    "3-clause bsd license": "BSD-3-Clause",
    "freebsd": "BSD-2-Clause",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
}
# a GNU licence's own title, or words that put something under it; not a mere mention
_GNU = re.compile(
    r"^\s*GNU (LESSER |LIBRARY |AFFERO )?GENERAL PUBLIC LICENSE\s*$"
    r"|under the\s+terms of the\s+GNU",
    re.M,
)


@dataclass(frozen=True)
class Package:
    """One installed package."""

    name: str
    version: str
    licence: str
    direct: bool
    note: str = ""


def licence_of(fields: Mapping[str, Any], classifiers: Iterable[str]) -> str:
    """A package's licence in SPDX's words, or ``unknown``.

    Examples
    --------
    >>> licence_of({"License-Expression": "MIT"}, [])
    'MIT'
    >>> licence_of({"License": "Apache 2.0"}, []), licence_of({}, [])
    ('Apache-2.0', 'unknown')
    """
    expression = fields.get("License-Expression")
    if expression:
        return str(expression)
    said = [line.rsplit(" :: ", 1)[-1] for line in classifiers if line.startswith("License ::")]
    said = [line for line in said if line != "OSI Approved"]
    text = str(fields.get("License") or "").strip()
    if text and len(text) < 60 and "\n" not in text:  # some put the whole text there
        said = [text] if len(said) != 1 else said
    found = sorted({_NAMES.get(line.lower(), line) for line in said})
    return " AND ".join(found) or "unknown"


def verdict(name: str, licence: str) -> str | None:
    """What is wrong with a licence, or None."""
    if name.startswith(PROPRIETARY):
        return None
    for choice in licence.split(" OR "):  # one that is allowed is enough
        parts = [part.strip("() ") for part in choice.split(" AND ")]
        if all(part in PERMISSIVE | FILE_COPYLEFT for part in parts):
            return None
    return f"{name}: licence {licence!r} is not one that is allowed here; see docs/licences.py"


def installed() -> tuple[list[Package], list[str]]:
    """Everything that the product and its extras need here, and what is wrong with it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines = [
        line.partition("#")[0].strip()
        for line in (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    ]
    wanted = [line for line in lines if line]
    optional = [r for e in EXTRAS for r in project["optional-dependencies"][e]]
    direct = {_key(Requirement(line).name) for line in (*wanted, *optional)}
    packages, wrong = [], []
    for key, found in sorted(_closure([*wanted, *optional]).items()):
        licence = licence_of(found.metadata, found.metadata.get_all("Classifier") or [])
        note = EXCEPTIONS.get(key, "")
        if problem := verdict(key, licence):
            wrong.append(problem)
        if not note and _holds_gnu(found):
            wrong.append(
                f"{key}: its licence files hold a GNU licence; look at them and say why "
                "that is well in EXCEPTIONS"
            )
        packages.append(Package(key, found.version.partition("+")[0], licence, key in direct, note))
    return packages, wrong


def _closure(lines: Iterable[str]) -> dict[str, Distribution]:
    """What the requirements bring along, extras' markers heeded; what is not installed is left."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    todo = [(line, "") for line in lines]
    while todo:
        line, extra = todo.pop()
        wanted = Requirement(line)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        key = _key(wanted.name)
        for more in wanted.extras | {""}:
            if (key, more) in seen:
                continue
            seen.add((key, more))
            try:
                found[key] = distribution(wanted.name)
            except PackageNotFoundError:
                continue
            todo += [(line, more) for line in found[key].requires or []]
    return found


def _holds_gnu(found: Distribution) -> bool:
    """Whether a licence file of a package's own has the heading of a GNU licence."""
    for file in found.files or []:
        name = file.name.lower()
        if ".dist-info" in str(file) and ("licen" in name or "copying" in name):
            try:
                text = file.read_text("utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            if _GNU.search(text or ""):
                return True
    return False


def _key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def packages_page(packages: Iterable[Package]) -> str:
    """The list of packages."""
    rows = list(packages)
    lines, extras = [], " and ".join(f"`{extra}`" for extra in EXTRAS)
    for licence in sorted({p.licence for p in rows}):
        under = [p for p in rows if p.licence == licence]
        named = ", ".join(f"**{p.name}** {p.version}" if p.direct else p.name for p in under)
        lines.append(f"- *{licence}*: {named}")
    lines += ["", *(f"- {p.name}: {p.note}." for p in rows if p.note)]
    return f"""# Packages and their licences

Written by `make audit` from what is installed; it fails on a licence that is unknown or not
permissive. Packages in bold are direct dependencies (in
requirements.txt, and the extras {extras}); the others come with them.

{chr(10).join(lines)}

On Linux with CUDA, torch also brings NVIDIA's libraries (`nvidia-*`), which have NVIDIA's own
terms.
"""


def page() -> str:
    """The page: Groundbrush, its packages in a word, and the presets' models."""
    sys.path.insert(0, str(ROOT))
    from groundbrush.editor.models.presets import load_preset, preset_names

    names: dict[str, list[str]] = {}
    for preset in map(load_preset, preset_names()):
        own = preset.licence.removesuffix(USUAL)
        licence = own if USUAL in preset.licence else f"all of it {own}"
        names.setdefault(licence, []).append(f"`{preset.name}`")
    lines = [f"- {licence}: {', '.join(presets)}" for licence, presets in names.items()]
    return f"""# Licences

Groundbrush is MIT. The [packages](reference/packages.md) that it runs on have permissive licences;
`make audit` fails on another one.

## Models that the presets name

Their weights are not part of Groundbrush; they are loaded from where you have them. \
Unless stated, the
segmenter and the inpainter are under {USUAL[2:]}.

{chr(10).join(lines)}
"""


def main(argv: list[str] | None = None) -> int:
    """Write the page; 1 where a licence is not allowed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    args = parser.parse_args(argv)
    packages, wrong = installed()
    if not args.check:
        PAGE.write_text(page(), "utf-8")
        PACKAGES.write_text(packages_page(packages), "utf-8")
        print(f"{PACKAGES.relative_to(ROOT)}: {len(packages)} packages")
    for words in wrong:
        print(words, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
