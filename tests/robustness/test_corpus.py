"""Hundreds of bad inputs: each is read or refused in one line of ours; none crashes, hangs, leaks.

What is refused says what was given, what was expected and the remedy. Nothing is written.
"""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import corpus_pictures
import corpus_texts
import pytest
from groundbrush.editor.errors import GroundbrushError

SECONDS = 20  # of one case on a busy machine; most take a hundredth of one
MEGABYTES = 1_000  # of one case; the largest picture that is read has 600
pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs SIGALRM"),
    pytest.mark.filterwarnings("ignore::UserWarning:PIL"),  # about damaged metadata
]


def read_picture(path: Path) -> None:
    from groundbrush.editor.pictures.picture import open_picture

    picture = open_picture(path)
    assert picture.pixels.ndim == 3


def read_recipe(path: Path) -> None:
    from groundbrush.editor.request import read_request

    read_request(path)


def read_manifest(path: Path) -> None:
    from groundbrush.editor.batch.manifest import read_folder, read_manifest

    if os.path.isdir(path) and path.suffix == "":
        read_folder(path, {"find": "x"})
    else:
        read_manifest(path)


def read_preset(path: Path) -> None:
    from groundbrush.editor.models.models import Models
    from groundbrush.editor.models.presets import load_preset

    preset = load_preset(path)
    Models(preset, device="cpu", offline=True).grounder()


def read_inpainter(path: Path) -> None:
    from groundbrush.editor.models.models import Models
    from groundbrush.editor.models.presets import load_preset

    Models(load_preset(path), device="cpu", offline=True).inpainter()


def read_plan(path: Path) -> None:
    from groundbrush.editor.plan import Plan

    Plan.load(path)


def read_session(data: bytes) -> None:
    from groundbrush.app.session.session_file import read_session

    read_session(data)


def read_benchmark(name: str) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        from groundbrush.editor.evaluation.readers import benchmark, read_items

        for item in read_items(benchmark(name), path, None if name == "scenes" else "val"):
            if item.truth is not None:
                item.truth.draw((24, 18))

    return read


def read_journal(path: Path) -> None:
    from groundbrush.editor.evaluation.measurements import Measurements

    Measurements(path, {"what": "a test"})


READERS: dict[str, tuple[Callable[[], Iterator[tuple[str, Any]]], Callable[[Any], None]]] = {
    "picture": (lambda: iter(corpus_pictures.bad_pictures().items()), read_picture),
    "recipe of a picture": (lambda: iter(corpus_pictures.bad_pictures().items()), read_recipe),
    "manifest": (corpus_texts.bad_manifests, read_manifest),
    "preset": (corpus_texts.bad_presets, read_preset),
    "models": (corpus_texts.hostile_models, read_preset),
    "inpainter": (corpus_texts.hostile_models, read_inpainter),
    "recipe": (corpus_texts.bad_recipes, read_recipe),
    "plan": (corpus_texts.bad_plans, read_plan),
    "session": (corpus_texts.bad_sessions, read_session),
    "examples": (corpus_texts.bad_examples, read_benchmark("scenes")),
    "refcoco": (corpus_texts.bad_refcoco, read_benchmark("refcoco")),
    "reasonseg": (corpus_texts.bad_reasonseg, read_benchmark("reasonseg")),
    "journal": (corpus_texts.bad_journals, read_journal),
}

CASES = [
    pytest.param(make, read, id=f"{kind}: {name}".encode("ascii", "replace").decode())
    for kind, (cases, read) in READERS.items()
    for name, make in cases()
]


def test_there_are_many() -> None:
    assert len(CASES) >= 200
    assert len({case.id for case in CASES}) == len(CASES)


@pytest.mark.parametrize(("make", "read"), CASES)
def test_a_bad_input_is_read_or_refused_in_one_line_and_nothing_is_written(
    make: Any,
    read: Callable[[Any], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    if read in (read_preset, read_inpainter):  # what loading imports takes longer than a case may
        models = request.getfixturevalue("miniature").models
        models.grounder(), models.inpainter()
    folder = tmp_path / "given"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    given = make if isinstance(make, bytes) else make(folder)
    before, memory = snapshot(tmp_path), most_memory()
    with at_most(SECONDS):
        try:
            read(given)
        except GroundbrushError as error:
            check_words(error, tmp_path)
    assert snapshot(tmp_path) == before
    assert most_memory() - memory < MEGABYTES


def most_memory() -> float:
    """Megabytes that this process ever held at once."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.parametrize("name", corpus_pictures.good_files())
def test_half_a_picture_is_never_taken_for_a_whole_one(name: str, tmp_path: Path) -> None:
    content = corpus_pictures.good_files()[name]
    path = tmp_path / name
    path.write_bytes(content)
    read_picture(path)
    for share in (0.3, 0.5, 0.7):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(GroundbrushError, match=r"damaged or not fully copied|not a picture"):
            read_picture(path)


def check_words(error: GroundbrushError, folder: Path) -> None:
    """One line of bearable length with what was expected or a remedy."""
    from groundbrush.editor.batch.errors import ManifestError

    told = (
        [problem.words for problem in error.problems]
        if isinstance(error, ManifestError)
        else [str(error)]
    )
    for words in told:
        assert "\n" not in words
        assert len(words) < 3_000
        assert words.isprintable() or "\u20ac" in words
        plain = words.lower()
        assert "expected" in plain or ";" in plain, words
        assert "traceback" not in plain


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Fail what takes longer, such as a read that waits for ever."""

    def late(*_: object) -> None:
        raise TimeoutError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Every file below a folder, without following links or opening pipes."""
    found = {}
    for here, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            status = os.lstat(os.path.join(here, name))
            found[os.path.join(here, name)] = (status.st_mode, status.st_size, status.st_mtime_ns)
    return found


def test_a_batch_of_every_bad_picture_ends_with_a_word_on_each(memory: Path) -> None:
    from fake_editor import FakeEditor, results
    from groundbrush.editor.batch import BatchJob, ManifestError, read_manifest, run_batch

    lines, names = [], []
    for number, (name, make) in enumerate(corpus_pictures.bad_pictures().items()):
        if name in ("one pixel.png", "a line.png"):  # the editor without models needs more room
            continue
        folder = memory / "in" / str(number)
        folder.mkdir(parents=True)
        path = make(folder)
        names.append(name)
        lines.append(
            json.dumps(
                {
                    "image": str(path.relative_to(memory / "in")),
                    "find": "the cup",
                    "paint": "a vase",
                }
            )
        )
    manifest = memory / "in" / "m.jsonl"
    manifest.write_text("\n".join(lines))
    with pytest.raises(ManifestError) as refused:
        read_manifest(manifest)
    wrong = {problem.row for problem in refused.value.problems}
    named = {names[row - 1] for row in wrong if row}
    assert named >= {name for name, _ in corpus_pictures.places()}
    kept = [line for row, line in enumerate(lines, 1) if row not in wrong]
    manifest.write_text("\n".join(kept))
    before = snapshot(memory / "in")
    report = run_batch(BatchJob(read_manifest(manifest), memory / "out"), FakeEditor)
    assert snapshot(memory / "in") == before
    assert sum(report.counts.values()) == len(kept)
    assert set(report.counts) == {"done", "failed"}
    for row in results(memory / "out"):
        if row["status"] == "failed":
            assert row["error"]["kind"] == "GroundbrushError", row["error"]
            assert "\n" not in row["error"]["message"]


@pytest.mark.parametrize("name", ["xmp entities.jpg", "xmp file.jpg", "xmp file.webp"])
def test_no_entity_of_xmp_is_expanded(name: str, tmp_path: Path) -> None:
    from groundbrush.editor.pictures.picture import open_picture

    picture = open_picture(corpus_pictures.bad_pictures()[name](tmp_path))
    assert picture.xmp is None
    assert "unreadable XMP dropped" in picture.notes


def test_a_hostile_pickle_ran_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in corpus_texts.BAD_PICKLES.items():
        if "program" in name:
            folder = tmp_path / name.replace(" ", "-")
            folder.mkdir()
            with pytest.raises(GroundbrushError, match=r"names \w+.system"):
                read_benchmark("refcoco")(corpus_texts.refcoco(content, b"{}")(folder))
    assert not list(tmp_path.rglob("hostile-was-here"))
