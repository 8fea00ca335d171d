"""Fuzzed readers: whatever bytes or values come in, they are read or refused with our error.

A few seconds by default; GROUNDBRUSH_FUZZ=1000 runs that many times as many examples.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import corpus_pictures
import corpus_texts
import pytest
from groundbrush.editor.errors import GroundbrushError, translate
from groundbrush.grounding.errors import GroundingError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MORE = int(os.environ.get("GROUNDBRUSH_FUZZ", "1"))
GOOD = corpus_pictures.good_files()


def fuzz(examples: int) -> Callable[[Any], Any]:
    """So many examples, or MORE times that."""
    return settings(
        max_examples=examples * MORE,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def ours(read: Callable[[], Any]) -> Any:
    """What was read, or None where it was refused as it should be: any other error is a fault."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Pillow's, about damaged metadata
        try:
            return read()
        except GroundbrushError as error:
            assert str(error)
            return None


@st.composite
def spoiled(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes with some overwritten, some cut out, some put in, perhaps an end missing."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        how = draw(st.sampled_from(["write", "cut", "insert", "end", "repeat"]))
        some = draw(st.binary(min_size=1, max_size=8))
        if how == "write":
            data[at : at + len(some)] = some
        elif how == "cut":
            del data[at : at + draw(st.integers(1, 64))]
        elif how == "insert":
            data[at:at] = some
        elif how == "end":
            del data[at:]
        else:
            data[at:at] = data[at : at + 16]
    return bytes(data)


numbers = st.one_of(
    st.integers(-3, 40),
    st.sampled_from([2**31, 2**63, -(2**63), 10**30, 10**400, 10**4200]),
    st.floats(),
    st.booleans(),
    st.none(),
)
words = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            "a.png",
            "the cup",
            "..",
            "/",
            "~",
            "a\0b",
            "\ud800",
            "x" * 3_000,
            "bundled:",
            "edit",
            "val",
            "target",
            "left",
        ]
    ),
    st.text(max_size=8),
)
values = st.recursive(
    numbers | words,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def changed(draw: st.DrawFn, good: Any) -> Any:
    """A good value with one or two places changed, dropped or added to."""
    value = json.loads(json.dumps(good))
    for _ in range(draw(st.integers(1, 2))):
        place, parent = value, None
        for _ in range(draw(st.integers(0, 5))):
            keys = (
                list(place)
                if isinstance(place, dict)
                else range(len(place))
                if isinstance(place, list)
                else []
            )
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            parent, place = (place, key), place[key]
        if parent is None:
            if isinstance(value, dict):
                value[draw(words)] = draw(values)
            continue
        holder, key = parent
        if draw(st.booleans()) and isinstance(holder, dict):
            del holder[key]
        else:
            holder[key] = draw(values)
    return value


def text_of(value: Any) -> bytes:
    """JSON as other programs may write it."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


def in_folder(name: str, content: bytes, read: Callable[[Path], Any]) -> Any:
    """What reading a file gives."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as at:
        (Path(at) / "a.png").write_bytes(corpus_texts.PICTURE)
        path = Path(at) / name
        path.write_bytes(content)
        return ours(lambda: read(path))


# -------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("name", GOOD)
@fuzz(25)
@given(data=st.data())
def test_spoiled_pictures(name: str, data: st.DataObject) -> None:
    from groundbrush.editor.pictures.picture import open_picture

    content = data.draw(spoiled(GOOD[name]))
    picture = in_folder(name, content, lambda path: open_picture(path, max_pixels=10_000_000))
    if picture is not None:
        assert picture.pixels.shape[2] == 3
        assert picture.alpha is None or picture.alpha.shape == picture.pixels.shape[:2]


@fuzz(100)
@given(
    block=st.binary(max_size=80),
    start=st.sampled_from([b"", b"Exif\0\0", b"Exif\0\0MM\0*", b"II*\0\x08\0\0\0"]),
)
def test_any_exif(block: bytes, start: bytes) -> None:
    from groundbrush.editor.pictures.metadata import upright_exif
    from groundbrush.editor.pictures.picture import open_picture

    try:
        whole = upright_exif(start + block)
        assert upright_exif(whole) == whole
    except ValueError:
        pass
    content = corpus_pictures.encoded("PNG", exif=start + block) if start + block else GOOD["png"]
    picture = in_folder("a.png", content, open_picture)
    assert picture is not None, "damaged EXIF must not cost the picture"


@fuzz(60)
@given(profile=st.binary(max_size=300), mode=st.sampled_from(["RGB", "CMYK", "L"]))
def test_any_profile(profile: bytes, mode: str) -> None:
    from groundbrush.editor.pictures.picture import open_picture

    profile = profile[:36] + b"acsp" + profile[40:]
    content = corpus_pictures.encoded("TIFF", corpus_pictures.scene(mode), icc_profile=profile)
    assert in_folder("a.tif", content, open_picture) is not None


@fuzz(60)
@given(
    name=st.binary(min_size=1, max_size=8),
    text=st.binary(max_size=40),
    kind=st.sampled_from([b"tEXt", b"zTXt", b"iTXt"]),
)
def test_any_text_of_a_png_is_saved_again_or_left_behind(
    name: bytes, text: bytes, kind: bytes
) -> None:
    from groundbrush.editor.pictures.picture import open_picture
    from groundbrush.editor.pictures.saving import save_picture
    from PIL.PngImagePlugin import PngInfo

    told = PngInfo()
    told.add(kind, name + b"\0" * (1 if kind == b"tEXt" else 2) + text)
    picture = in_folder("a.png", corpus_pictures.encoded("PNG", pnginfo=told), open_picture)
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".png", ".jpg", ".webp") if picture else ():
            save_picture(Path(folder) / f"b{suffix}", picture.pixels, like=picture)
        if picture:
            assert open_picture(Path(folder) / "b.png").texts == picture.texts


@fuzz(60)
@given(text=st.text(max_size=60) | values.map(lambda v: json.dumps(v)))
def test_any_recipe_in_a_picture(text: str) -> None:
    from groundbrush.editor.pictures.metadata import wrap_xmp
    from groundbrush.editor.request import read_request
    from PIL.PngImagePlugin import PngInfo

    told = PngInfo()
    told.add_itxt("groundbrush", text.encode("utf-8", "replace").decode())
    in_folder("r.png", corpus_pictures.encoded("PNG", pnginfo=told), read_request)
    packet = wrap_xmp(text.encode("ascii", "replace").decode())
    in_folder("r.jpg", corpus_pictures.encoded("JPEG", xmp=packet), read_request)


# ----------------------------------------------------------------------------------------- texts


def _manifest(path: Path) -> Any:
    from groundbrush.editor.batch.manifest import read_manifest, row_picture

    manifest = read_manifest(path)
    for row in manifest.rows:
        assert row_picture(manifest.root, row).is_relative_to(path.parent.resolve())
        assert not set(row.name) & set("/\\\0.")
    return manifest


def _preset(path: Path) -> Any:
    from groundbrush.editor.models.presets import load_preset

    return load_preset(path)


def _recipe(path: Path) -> Any:
    from groundbrush.editor.request import read_request

    return read_request(path)


def _plan(path: Path) -> Any:
    from groundbrush.editor.plan import Plan

    return Plan.load(path)


def _items(name: str) -> Callable[[Path], Any]:
    def read(path: Path) -> Any:
        from groundbrush.editor.evaluation.readers import benchmark, read_items

        found = read_items(benchmark(name), path, None if name == "scenes" else "val")
        for item in found:
            if item.truth is not None:
                assert item.truth.draw((24, 18)).shape == (18, 24)
        return found

    return read


MASK = {"size": [24, 18], "bits": "eNpjYIAC/g8MaABTBA4ARg4B/w=="}
ROW = {
    **corpus_texts.EDIT,
    "id": "a",
    "seed": 3,
    "variants": 2,
    "settings": {"steps": 3},
    "check": True,
    "retries": 1,
    "draft": False,
    "gate": "hold",
}
RECIPE = corpus_texts.recipe(
    seed=3,
    variants=2,
    settings={"steps": 2},
    boxes=[[1, 2, 3, 4]],
    snap=True,
    operations=[
        {"op": "dilate", "pixels": 2},
        {"op": "points", "points": [[1, 2]]},
        {"op": "brush", "strokes": [[[1, 2], [3, 4]]], "radius": 2},
    ],
    check=True,
    preset="miniature",
    image={"path": "a", "sha256": "b"},
)
PLAN = {
    "groundbrush_plan": 1,
    "sentence": "replace x with y",
    "steps": [{**corpus_texts.STEP, "count": 1, "at": None, "span": [0, 3], "note": ""}],
    "unread": [{"span": [1, 2], "words": "x", "reason": "y", "readings": [[corpus_texts.STEP]]}],
    "notes": ["a"],
}
EXAMPLE = {
    **corpus_texts.EXAMPLE,
    "kind": "name",
    "box": [1, 2, 3, 4],
    "id": "a",
    "mask": {"size": [18, 24], "counts": [400, 32]},
}
POLYGON = {**corpus_texts.EXAMPLE, "bbox": [1, 2, 3, 4], "mask": [[0, 0, 5, 0, 5, 5]]}


@pytest.mark.parametrize(
    ("good", "name", "read"),
    [
        (ROW, "m.jsonl", _manifest),
        ({**corpus_texts.PRESET, "grounding": {"sigma": 1.0}, "size_gb": 2.5}, "p.json", _preset),
        (RECIPE, "r.json", _recipe),
        (PLAN, "plan.json", _plan),
        (EXAMPLE, "e.jsonl", _items("scenes")),
        (POLYGON, "e.jsonl", _items("scenes")),
    ],
    ids=["manifest", "preset", "recipe", "plan", "examples", "polygons"],
)
@fuzz(70)
@given(data=st.data())
def test_changed_and_spoiled_texts(
    good: Any, name: str, read: Callable[[Path], Any], data: st.DataObject
) -> None:
    in_folder(name, text_of(data.draw(changed(good))), read)
    in_folder(name, data.draw(spoiled(text_of(good))), read)


def test_what_is_fuzzed_is_good() -> None:
    for good, name, read in [
        (ROW, "m.jsonl", _manifest),
        (RECIPE, "r.json", _recipe),
        (PLAN, "p.json", _plan),
        (EXAMPLE, "e.jsonl", _items("scenes")),
        (POLYGON, "e.jsonl", _items("scenes")),
    ]:
        assert in_folder(name, text_of(good), read) is not None, name


@fuzz(70)
@given(data=st.data())
def test_changed_tables(data: st.DataObject) -> None:
    good = b'image,find,paint,seed\na.png,the cup,a vase,3\r\na.png,"the, cup","a ""vase",\n'
    in_folder("m.csv", data.draw(spoiled(good)), _manifest)
    cells = data.draw(st.lists(st.lists(words, min_size=1, max_size=5), min_size=1, max_size=4))
    text = "\n".join(",".join(row) for row in [["image", "find", "paint", "settings"], *cells])
    in_folder("m.csv", text.encode("utf-8", "replace"), _manifest)


# ------------------------------------------------------------------------- sessions, benchmarks


@fuzz(70)
@given(data=st.data())
def test_changed_and_spoiled_sessions(data: st.DataObject) -> None:
    from groundbrush.app.session.session_file import read_session

    told = {
        **corpus_texts.TOLD,
        "changes": [corpus_texts.CHANGE],
        "kept": 1,
        "mask": {"base": MASK, "operations": [{"op": "dilate", "pixels": 2}], "undone": []},
    }
    parts = {
        "session.json": text_of(told),
        "original.png": corpus_texts.PICTURE,
        "change-0.png": corpus_texts.PICTURE,
    }
    assert ours(lambda: read_session(corpus_texts.archive(parts))) is not None
    ours(lambda: read_session(data.draw(spoiled(corpus_texts.archive(parts)))))
    parts["session.json"] = text_of(data.draw(changed(told)))
    ours(lambda: read_session(corpus_texts.archive(parts, zipfile.ZIP_STORED)))


REFS = pickle.dumps([corpus_texts.REF], 2)


@fuzz(150)
@given(data=st.data())
def test_any_pickle_is_plain_or_refused(data: st.DataObject) -> None:
    from groundbrush.editor.evaluation.plain_pickle import PLAIN, load_plain_pickle

    content = data.draw(
        spoiled(REFS)
        | spoiled(corpus_texts.BAD_PICKLES["a program"])
        | st.binary(max_size=60)
        | st.lists(st.sampled_from([bytes([op]) for op in range(256)]), max_size=30).map(b"".join)
    )
    value = in_folder("refs.p", content, load_plain_pickle)
    waiting, seen = [value], set()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        assert type(one) in (*PLAIN, list, tuple, dict)
        if isinstance(one, dict):
            waiting += [*one, *one.values()]
        elif isinstance(one, list | tuple):
            waiting += one


@fuzz(60)
@given(data=st.data())
def test_changed_references_and_instances(data: st.DataObject) -> None:
    which = data.draw(st.sampled_from(["refs", "instances"]))
    refs, instances = [corpus_texts.REF], corpus_texts.INSTANCES
    if which == "refs":
        refs = data.draw(changed(refs))
    else:
        instances = data.draw(changed(instances))
    with tempfile.TemporaryDirectory() as folder:
        root = corpus_texts.refcoco(pickle.dumps(refs, 2), text_of(instances))(Path(folder))
        ours(lambda: _items("refcoco")(root))


@fuzz(60)
@given(data=st.data())
def test_changed_shapes(data: st.DataObject) -> None:
    content = data.draw(changed(corpus_texts.SHAPES))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "val").mkdir()
        (Path(folder) / "val" / "a.json").write_bytes(text_of(content))
        ours(lambda: _items("reasonseg")(Path(folder)))


@fuzz(100)
@given(
    size=st.lists(numbers, max_size=3),
    counts=st.lists(numbers, max_size=6)
    | st.text(max_size=12)
    | st.text("0123456789PQRSTUVWXYZ`abcdefgho", max_size=300),
)
def test_any_run_lengths(size: list, counts: Any) -> None:
    from groundbrush.editor.errors import translate
    from groundbrush.multiobject import MultiObjectError
    from groundbrush.multiobject.export.rle import decode_rle

    def read(rle: dict[str, Any]) -> Any:
        with translate(MultiObjectError):
            return decode_rle(rle)

    ours(lambda: read({"size": size, "counts": counts}))
    assert ours(lambda: read({"size": [2, 2], "counts": "121"})).tolist() == [[0, 1], [1, 0]]


@fuzz(60)
@given(bits=st.binary(max_size=40), width=numbers, height=numbers)
def test_any_mask_of_a_recipe(bits: bytes, width: Any, height: Any) -> None:
    import base64

    from groundbrush.editor.masks.source import decode_mask

    mask = ours(
        lambda: decode_mask({"size": [width, height], "bits": base64.b64encode(bits).decode()})
    )
    assert mask is None or mask.shape == (int(height), int(width))


# ------------------------------------------------------------------------- what we wrote before


@fuzz(60)
@given(data=st.data())
def test_spoiled_journals_of_evaluations_and_locks(data: st.DataObject) -> None:
    from groundbrush.editor.batch.lock import FolderLock
    from groundbrush.editor.evaluation.measurements import Measurements
    from groundbrush.editor.journal import encode

    lines = encode({"what": "a test"}), encode({"arm": "a", "item": "b", "error": "c"})
    measured = partial(Measurements, header={"what": "a test"})
    assert in_folder("j.jsonl", b"".join(lines), lambda path: len(measured(path).records)) == 1
    in_folder("j.jsonl", data.draw(spoiled(b"".join(lines))), measured)

    def lock(path: Path) -> None:
        with FolderLock(path.with_name("lock")):
            pass

    good = b'{"pid": 1, "host": "here", "since": "2026"}'
    in_folder("owner.json", good, lock)
    spoiled_owner = spoiled(good) | changed(json.loads(good)).map(text_of)
    in_folder("owner.json", data.draw(spoiled_owner), lock)


@fuzz(40)
@given(data=st.data())
def test_spoiled_measurements(data: st.DataObject) -> None:
    from groundbrush.grounding.heads.measured_pairs import load_measured

    good = {"what": "x", "layers": 2, "heads": 2}
    with tempfile.TemporaryDirectory() as folder:
        header = data.draw(changed(good).map(text_of) | spoiled(text_of(good)))
        (Path(folder) / "measurements.json").write_bytes(header)
        (Path(folder) / "measurements.bin").write_bytes(data.draw(st.binary(max_size=400)))
        ours(translate(GroundingError)(lambda: load_measured(Path(folder))))


def test_good_measurements_are_read(tmp_path: Path) -> None:
    from groundbrush.grounding.heads.measured_pairs import MeasurementStore, load_measured

    ones = {name: [[1.0, 1.0]] * 2 for name in ("sums", "entropies", "ious")}
    MeasurementStore(tmp_path, {"what": "x"}, 2, 2).add(0, ones)
    assert len(load_measured(tmp_path)) == 1


def test_a_zip_is_one() -> None:
    assert zipfile.is_zipfile(io.BytesIO(corpus_texts.session()))
