"""Bad manifests, presets, recipes, plans, sessions and benchmarks: name -> what writes them."""

from __future__ import annotations

import io
import json
import os
import pickle
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from corpus_pictures import Make, encoded, file_of
from PIL.PngImagePlugin import PngInfo

DEEP = "[" * 100_000
HUGE = "9" * 1_000  # a whole number that no float holds
ENDLESS = "9" * 10_000  # more digits than Python reads
PICTURE = encoded("PNG")
ODD_TEXTS: dict[str, bytes] = {
    "empty": b"",
    "blank": b"\n  \n\t\n",
    "no json": b"this is no JSON",
    "half": b'{"a": ',
    "single quotes": b"{'image': 'a.png'}",
    "a trailing comma": b'{"image": "a.png", "find": "x",}',
    "a comment": b'// hello\n{"image": "a.png", "find": "x"}',
    "null": b"null",
    "a number": b"3",
    "a text": b'"a.png"',
    "a list": b"[1, 2]",
    "deep": DEEP.encode(),
    "deep objects": b'{"a":' * 50_000,
    "latin-1": '{"image": "a.png", "find": "caf\u00e9"}'.encode("latin-1"),
    "utf-16": '{"image": "a.png", "find": "x"}'.encode("utf-16"),
    "utf-16 without a mark": '{"image": "a.png"}'.encode("utf-16-le"),
    "utf-32": '{"image": "a.png"}'.encode("utf-32"),
    "cut utf-8": b'{"image": "a.png", "find": "\xe2\x82',
    "overlong utf-8": b'{"image": "a.png", "find": "\xc0\x80"}',
    "zeros": bytes(100),
    "a picture": PICTURE,
    "nan": b'{"image": "a.png", "find": "x", "paint": "y", "seed": NaN}',
    "infinity": b'{"image": "a.png", "find": "x", "paint": "y", "seed": -Infinity}',
    "an endless number": b'{"seed": %s}' % ENDLESS.encode(),
}
"""What may be wrong with any text."""


def texts(suffix: str) -> Iterator[tuple[str, Make]]:
    """Files of every odd text, and no files."""
    for name, content in ODD_TEXTS.items():
        yield name, file_of(f"odd.{suffix}", content)

    def pipe(folder: Path) -> Path:
        os.mkfifo(folder / f"pipe.{suffix}")
        return folder / f"pipe.{suffix}"

    def directory(folder: Path) -> Path:
        (folder / f"folder.{suffix}").mkdir()
        return folder / f"folder.{suffix}"

    def endless(folder: Path) -> Path:
        (folder / f"zero.{suffix}").symlink_to("/dev/zero")
        return folder / f"zero.{suffix}"

    yield "a pipe", pipe
    yield "a directory", directory
    yield "an endless device", endless
    yield "not there", lambda folder: folder / f"missing.{suffix}"
    yield "a null in the name", lambda folder: folder / f"a\0.{suffix}"
    yield "a long name", lambda folder: folder / f"{'a' * 300}.{suffix}"


# ------------------------------------------------------------------------------------ manifests

EDIT = {"image": "a.png", "find": "the cup", "paint": "a vase"}
BAD_ROWS: dict[str, Any] = {
    "unknown column": {**EDIT, "fnd": "x"},
    "no words": {"image": "a.png"},
    "no image": {"find": "x"},
    "image is a number": {**EDIT, "image": 3},
    "image is a list": {**EDIT, "image": ["a.png"]},
    "image is blank": {**EDIT, "image": "  "},
    "image is not there": {**EDIT, "image": "b.png"},
    "image is a folder": {**EDIT, "image": "."},
    "image above": {**EDIT, "image": "../outside.png"},
    "image far above": {**EDIT, "image": "a/../../../../../../etc/passwd"},
    "image is absolute": {**EDIT, "image": "/etc/passwd"},
    "image of a user": {**EDIT, "image": "~/a.png"},
    "image through a link": {**EDIT, "image": "out-link/outside.png"},
    "image is a link outside": {**EDIT, "image": "link.png"},
    "image in a loop": {**EDIT, "image": "loop.png"},
    "image is a pipe": {**EDIT, "image": "pipe.png"},
    "image is an address": {**EDIT, "image": "https://example.org/a.png"},
    "image is a file address": {**EDIT, "image": "file:///etc/passwd"},
    "image of Windows": {**EDIT, "image": "..\\outside.png"},
    "image of a share": {**EDIT, "image": "\\\\host\\share\\a.png"},
    "image with a null": {**EDIT, "image": "a\0.png"},
    "image with half a letter": {**EDIT, "image": "a\ud800.png"},
    "image with a very long name": {**EDIT, "image": "a" * 5_000},
    "image with a long name": {**EDIT, "image": "a" * 1_500},
    "find is a number": {**EDIT, "find": 3},
    "find is blank": {**EDIT, "find": " \t"},
    "find is true": {**EDIT, "find": True},
    "find is an object": {**EDIT, "find": {}},
    "find with a bell": {**EDIT, "find": "a\x07"},
    "find is a book": {**EDIT, "find": "word " * 5_000},
    "paint alone": {"image": "a.png", "paint": "x"},
    "paint is a list": {**EDIT, "paint": []},
    "everything at once": {**EDIT, "remove": "x", "apply": "y"},
    "remove true alone": {"image": "a.png", "remove": True},
    "wrong action": {**EDIT, "action": "edits"},
    "action is a list": {**EDIT, "action": ["edit"]},
    "seed is text": {**EDIT, "seed": "7"},
    "seed is a half": {**EDIT, "seed": 0.5},
    "seed is negative": {**EDIT, "seed": -1},
    "seed is huge": {**EDIT, "seed": int(HUGE)},
    "seed is true": {**EDIT, "seed": True},
    "no variants": {**EDIT, "variants": 0},
    "too many variants": {**EDIT, "variants": 10**9},
    "candidate is text": {**EDIT, "candidate": "first"},
    "settings is text": {**EDIT, "settings": "steps=3"},
    "settings is a list": {**EDIT, "settings": [3]},
    "check is a list": {**EDIT, "check": [1]},
    "retries is huge": {**EDIT, "retries": 10**6},
    "draft is text": {**EDIT, "draft": "yes"},
    "gate is wrong": {**EDIT, "gate": "stop"},
    "gate is a list": {**EDIT, "gate": ["hold"]},
    "id is true": {**EDIT, "id": True},
    "id is an object": {**EDIT, "id": {"a": 1}},
    "id with a null": {**EDIT, "id": "a\0"},
    "options where none belong": {"image": "a.png", "find": "x", "variants": 3},
    "deep settings": {**EDIT, "settings": json.loads("[" * 500 + "]" * 500)},
}
RAW_LINES: dict[str, str] = {
    "seed beyond a float": '{"image": "a.png", "find": "x", "paint": "y", "seed": 1e999}',
    "a name twice": '{"image": "a.png", "find": "x", "find": "y"}',
    "one id twice": '{"image":"a.png","find":"x","id":"K"}\n{"image":"a.png","find":"x","id":"k"}',
    "one id in two spellings": '{"image":"a.png","find":"x","id":"a.b"}\n'
    '{"image":"a.png","find":"x","id":"a-b"}',
    "a long line": '{"image": "a.png", "find": "' + "x" * 1_500_000 + '"}',
    "two objects": '{"image": "a.png"} {"image": "a.png"}',
    "many problems": '{"fnd": 1}\n' * 3_000,
    "a bell between": '{"image": "a.png",\x07 "find": "x"}',
    "an object over two lines": '{"image": "a.png",\n "find": "x"}',
}
BAD_TABLES: dict[str, str] = {
    "no headings": "a.png,the cup,a vase\n",
    "headings alone": "image,find\n",
    "a wrong heading": "image,fnid\na.png,x\n",
    "a heading twice": "image,find,find\na.png,x,y\n",
    "an empty heading": "image,,find\na.png,x,y\n",
    "no image": "find,paint\nx,y\n",
    "too many cells": "image,find\na.png,the cup, the one\n",
    "an open quote": 'image,find\na.png,"the cup\n' + "x\n" * 50,
    "a quote in the middle": 'image,find\na.png,"the" cup\n',
    "a null": "image,find\na.png,the\0cup\n",
    "a very long cell": "image,find\na.png," + "x" * 200_000 + "\n",
    "seed is text": "image,find,paint,seed\na.png,x,y,seven\n",
    "seed in another script": "image,find,paint,seed\na.png,x,y,\u0667\n",
    "seed with many digits": f"image,find,paint,seed\na.png,x,y,{ENDLESS}\n",
    "settings no json": "image,find,paint,settings\na.png,x,y,{steps}\n",
    "settings deep": f"image,find,paint,settings\na.png,x,y,{'[' * 5_000}\n",
    "draft is a word": "image,find,paint,draft\na.png,x,y,perhaps\n",
    "returns alone": "image,find\ra.png,\r",
    "above": "image,find\n../outside.png,x\n",
    "tabs and commas": "image\tfind,paint\na.png\tx,y\n",
    "a thousand columns": ",".join(f"c{k}" for k in range(1_000)) + "\n",
}


def beside(write: Make) -> Make:
    """The same with what rows point to: a picture, one outside, and ways out of the folder."""

    def make(folder: Path) -> Path:
        inner = folder / "inner"
        inner.mkdir()
        (inner / "a.png").write_bytes(PICTURE)
        (folder / "outside.png").write_bytes(PICTURE)
        (inner / "out-link").symlink_to(folder)
        (inner / "link.png").symlink_to(folder / "outside.png")
        (inner / "loop.png").symlink_to("loop.png")
        os.mkfifo(inner / "pipe.png")
        return write(inner)

    return make


def bad_manifests() -> Iterator[tuple[str, Make]]:
    """Manifests that no batch may begin with."""
    for name, make in texts("jsonl"):
        yield f"jsonl, {name}", beside(make)
    for name, make in texts("csv"):
        yield f"csv, {name}", beside(make)
    for name, row in BAD_ROWS.items():
        yield f"row, {name}", beside(file_of("m.jsonl", json.dumps(row).encode()))
    for name, text in RAW_LINES.items():
        yield f"line, {name}", beside(file_of("m.jsonl", text.encode()))
    for name, text in BAD_TABLES.items():
        yield f"table, {name}", beside(file_of("m.csv", text.encode()))
    yield "another name", beside(file_of("m.txt", b"{}"))
    yield "a folder without pictures", beside(lambda folder: folder / "out-link")


# -------------------------------------------------------------- presets, recipes, plans, words

PRESET: dict[str, Any] = {
    "name": "mine",
    "lvlm": {"path": "./a"},
    "segmenter": {"path": "./b"},
    "inpainter": {"path": "./c"},
}


def bad_presets() -> Iterator[tuple[str, Make]]:
    """Preset files that name no models."""
    for name, make in texts("json"):
        yield name, make
    for name, changes in {
        "unknown name": {"lvm": {}},
        "lvlm is a text": {"lvlm": "a"},
        "lvlm is null": {"lvlm": None},
        "no path": {"lvlm": {}},
        "path is a number": {"segmenter": {"path": 3}},
        "path is a list": {"inpainter": {"path": ["a"]}},
        "name is a list": {"name": ["a"]},
        "name is null": {"name": None},
        "name leads away": {"name": "../../etc"},
        "grounding is a list": {"grounding": [1]},
        "grounding is a text": {"grounding": "sigma"},
        "size is a text": {"size_gb": "large"},
        "size is beyond": {"size_gb": 1e999},
        "vocabulary is a number": {"vocabulary": 3},
        "source is given": {"source": "/etc/passwd"},
        "about is a list": {"about": [1]},
    }.items():
        yield name, file_of("p.json", json.dumps({**PRESET, **changes}).encode())
    yield "a part missing", file_of("p.json", b'{"name": "a", "lvlm": {"path": "b"}}')


ACTS = "import pathlib; pathlib.Path('hostile-was-here').write_text('x')"
REMOTE = {
    "auto_map": {
        name: f"hostile.{name}"
        for name in ("AutoConfig", "AutoModel", "AutoProcessor", "AutoModelForImageTextToText")
    }
}


def hostile_models() -> Iterator[tuple[str, Make]]:
    """Presets of folders that hold pickles, programs, links and absurd numbers."""
    bin_name = "pytorch_model.bin"
    llava = json.dumps({"model_type": "llava", "architectures": ["LlavaForConditionalGeneration"]})
    sam = json.dumps({"model_type": "sam"})
    index = json.dumps(
        {"_class_name": "StableDiffusionXLInpaintPipeline", "unet": ["diffusers", "X"]}
    )
    folders: dict[str, dict[str, bytes]] = {
        "weights that are a pickle": {
            "config.json": llava.encode(),
            bin_name: pickle.dumps(Hostile()),
            "model.safetensors": pickle.dumps(Hostile()),
            "sam.pth": pickle.dumps(Hostile()),
        },
        "a segmenter of pickles": {"config.json": sam.encode(), bin_name: pickle.dumps(Hostile())},
        "code of its own": {
            "config.json": json.dumps({"model_type": "hostile", **REMOTE}).encode(),
            "preprocessor_config.json": json.dumps(REMOTE).encode(),
            "tokenizer_config.json": json.dumps(REMOTE).encode(),
            "hostile.py": ACTS.encode(),
            "model.safetensors": b"",
        },
        "a pipeline with code": {
            "model_index.json": json.dumps(
                {"_class_name": ["hostile", "Pipeline"], "unet": ["hostile", "Net"]}
            ).encode(),
            "hostile.py": ACTS.encode(),
            "pipeline.py": ACTS.encode(),
            "unet/hostile.py": ACTS.encode(),
        },
        "a pipeline of pickles": {
            "model_index.json": index.encode(),
            "unet/config.json": b"{}",
            "unet/diffusion_pytorch_model.bin": pickle.dumps(Hostile()),
        },
        "a class that leads away": {
            "model_index.json": b'{"_class_name": "../../os", "unet": ["os", "system"]}'
        },
        "giant numbers": {"config.json": b'{"model_type": "llava", "image_seq_length": 1e999}'},
        "deep json": {"config.json": DEEP.encode(), "model_index.json": DEEP.encode()},
    }

    def make_folder(files: dict[str, bytes]) -> Make:
        def make(folder: Path) -> Path:
            for name, content in files.items():
                (folder / "model" / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / "model" / name).write_bytes(content)
            return write_preset(folder)

        return make

    def write_preset(folder: Path) -> Path:
        part = {"path": str(folder / "model")}
        lvlm = {**part, "family": "llava", "heads": [[0, 0]]}
        told = {"name": "mine", "lvlm": lvlm, "segmenter": part, "inpainter": part}
        return file_of("p.json", json.dumps(told).encode())(folder)

    for name, files in folders.items():
        yield name, make_folder(files)
    for name, target in {"itself": "model", "the root": "/", "a device": "/dev/zero"}.items():

        def link(folder: Path, target: str = target) -> Path:
            (folder / "model").symlink_to(target)
            return write_preset(folder)

        yield f"a link to {name}", link


def recipe(**changes: Any) -> dict[str, Any]:
    """A recipe with something wrong."""
    return {"groundbrush": 1, "action": "edit", "find": "x", "paint": "y", **changes}


BAD_RECIPES: dict[str, Any] = {
    "version 2": recipe(groundbrush=2),
    "version of a text": recipe(groundbrush="1"),
    "version true": recipe(groundbrush=[1]),
    "unknown name": recipe(fnd="x"),
    "action unknown": recipe(action="erase"),
    "action is a list": recipe(action=["edit"]),
    "find is a number": recipe(find=3),
    "paint is null": recipe(paint=None),
    "no words and no place": recipe(find=None),
    "seed is a text": recipe(seed="7"),
    "seed is huge": recipe(seed=10**30),
    "variants is huge": recipe(variants=10**30),
    "candidate is text": recipe(candidate="a"),
    "settings is a list": recipe(settings=[1]),
    "image is a text": recipe(image="a.png"),
    "mask is a text": recipe(mask="a"),
    "mask of no size": recipe(mask={"bits": ""}),
    "mask of size 0": recipe(mask={"size": [0, 0], "bits": ""}),
    "mask of a terapixel": recipe(mask={"size": [10**6, 10**6], "bits": ""}),
    "mask of a size beyond": recipe(mask={"size": [float("1e999"), 1], "bits": ""}),
    "mask of words": recipe(mask={"size": ["a", "b"], "bits": ""}),
    "mask not base 64": recipe(mask={"size": [4, 4], "bits": "\u20ac"}),
    "mask not deflated": recipe(mask={"size": [4, 4], "bits": "aaaa"}),
    "mask with bits of a list": recipe(mask={"size": [4, 4], "bits": [1]}),
    "a box of three": recipe(boxes=[1, 2, 3]),
    "a box of words": recipe(boxes=["a", "b", "c", "d"]),
    "a box of a word": recipe(boxes="left"),
    "a box inside out": recipe(boxes=[9, 9, 1, 1]),
    "a box beyond": recipe(boxes=[0, 0, float("1e999"), 1]),
    "a box of huge numbers": recipe(boxes=[0, 0, int(HUGE), 1]),
    "boxes of nothing": recipe(boxes=[]),
    "boxes of boxes of boxes": recipe(boxes=[[[1, 2, 3, 4]]]),
    "mask and boxes": recipe(boxes=[0, 0, 1, 1], mask={"size": [1, 1], "bits": ""}),
    "operations is a text": recipe(operations="dilate"),
    "operations is a number": recipe(operations=3),
    "an operation of a number": recipe(operations=[3]),
    "a picture elsewhere": recipe(image={"path": "/dev/zero"}),
    "a picture that is no text": recipe(image={"path": ["a"]}),
    "a path of a null": recipe(image={"path": "a\0b"}),
    "before that holds itself": recipe(before=[recipe(before=[recipe()])]),
    "before of a thousand": recipe(before=[recipe()] * 1_000),
    "an unknown operation": recipe(operations=[{"op": "explode"}]),
    "an operation with more": recipe(operations=[{"op": "dilate", "pixels": 3, "much": 4}]),
    "an operation with less": recipe(operations=[{"op": "dilate"}]),
    "an operation beyond": recipe(operations=[{"op": "dilate", "pixels": 10**9}]),
    "a brush of words": recipe(operations=[{"op": "brush", "strokes": "x", "radius": 3}]),
    "clicks of huge numbers": recipe(operations=[{"op": "points", "points": [[int(HUGE), 1]]}]),
    "extend of nothing": recipe(action="extend", extend={}),
    "extend of words": recipe(action="extend", extend={"left": "far"}),
    "extend beyond": recipe(action="extend", extend={"left": 10**9}),
    "extend elsewhere": recipe(action="extend", extend={"middle": 3}),
    "check is a list": recipe(check=[1]),
    "retries is huge": recipe(retries=10**9),
    "preset is a list": recipe(preset=["a"], seed=-1),
}


def dumped(values: Any) -> bytes:
    """JSON with what Python writes for infinity in a form that other programs write."""
    return json.dumps(values).replace("Infinity", "1e999").encode()


def bad_recipes() -> Iterator[tuple[str, Make]]:
    """Recipes beside a picture and inside one."""
    for name, make in texts("json"):
        yield name, make
    for name, values in BAD_RECIPES.items():
        yield name, file_of("r.json", dumped(values))
    inside = {
        **{name: text.decode("latin-1") for name, text in ODD_TEXTS.items() if b"\0" not in text},
        "too long": json.dumps({"groundbrush": 1, "find": "x" * 2_000_000}),
    }
    for name, text in inside.items():
        told = PngInfo()
        told.add_itxt("groundbrush", text)
        yield f"inside a png: {name}", file_of("r.png", encoded("PNG", pnginfo=told))
    for name, text in {
        "no end": "<groundbrush:recipe>{}",
        "half": "<groundbrush:recipe>{</groundbrush:recipe>",
        "deep": f"<groundbrush:recipe>{DEEP[:60_000]}</groundbrush:recipe>",
        "of entities": '<!DOCTYPE x [<!ENTITY a "&a;&a;">]><groundbrush:recipe>&a;'
        "</groundbrush:recipe>",
    }.items():
        yield f"inside a jpeg: {name}", file_of("r.jpg", encoded("JPEG", xmp=text.encode()))
    yield "a picture without one", file_of("r.png", PICTURE)
    yield "half a picture", file_of("r.png", PICTURE[:60])


STEP = {"action": "edit", "find": "x", "paint": "y"}
BAD_PLANS: dict[str, Any] = {
    "version 9": {"groundbrush_plan": 9},
    "unknown name": {"groundbrush_plan": 1, "stepz": []},
    "steps is a text": {"groundbrush_plan": 1, "steps": "x"},
    "a step of a number": {"groundbrush_plan": 1, "steps": [3]},
    "a step without find": {"groundbrush_plan": 1, "steps": [{"action": "edit"}]},
    "a step with more": {"groundbrush_plan": 1, "steps": [{**STEP, "x": 1}]},
    "action is a list": {"groundbrush_plan": 1, "steps": [{**STEP, "action": []}]},
    "find is a list": {"groundbrush_plan": 1, "steps": [{**STEP, "find": []}]},
    "count is huge": {"groundbrush_plan": 1, "steps": [{**STEP, "count": 10**30}]},
    "count is text": {"groundbrush_plan": 1, "steps": [{**STEP, "count": "two"}]},
    "at is a text": {"groundbrush_plan": 1, "steps": [{**STEP, "at": "here"}]},
    "span is backwards": {"groundbrush_plan": 1, "steps": [{**STEP, "span": [3, 1]}]},
    "span is a text": {"groundbrush_plan": 1, "steps": [{**STEP, "span": "abc"}]},
    "note is a number": {"groundbrush_plan": 1, "steps": [{**STEP, "note": 3}]},
    "unread of a number": {"groundbrush_plan": 1, "unread": [3]},
    "unread without a reason": {"groundbrush_plan": 1, "unread": [{"span": [0, 1]}]},
    "notes of numbers": {"groundbrush_plan": 1, "notes": [3]},
    "sentence is a list": {"groundbrush_plan": 1, "sentence": [], "steps": [STEP]},
    "nothing in it": {"groundbrush_plan": 1},
}


def bad_plans() -> Iterator[tuple[str, Make]]:
    """Plan files."""
    for name, make in texts("json"):
        yield name, make
    for name, values in BAD_PLANS.items():
        yield name, file_of("plan.json", dumped(values))


# -------------------------------------------------------------------------------------- sessions


def archive(
    parts: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, link: str | None = None
) -> bytes:
    """A zip, one member of which may be a symbolic link to /etc/passwd."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, content in parts.items():
            if name == link:
                member = zipfile.ZipInfo(name)
                member.create_system, member.external_attr = 3, 0o120777 << 16
                file.writestr(member, b"/etc/passwd")
            else:
                file.writestr(name, content)
    return buffer.getvalue()


def doubled(parts: dict[str, bytes]) -> bytes:
    """A zip with a list that names its session twice, the second time with a bomb."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        warnings.simplefilter("ignore")
        for name, content in [*parts.items(), ("session.json", bytes(100_000_000))]:
            file.writestr(name, content)
    return buffer.getvalue()


TOLD: dict[str, Any] = {
    "groundbrush_session": 1,
    "name": "a.png",
    "find": "",
    "candidate": None,
    "drawn": False,
    "mask": None,
    "changes": [],
    "kept": 0,
}
CHANGE = {"window": [0, 0, 24, 18], "request": recipe()}


def session(more: dict[str, bytes] | None = None, **changes: Any) -> bytes:
    """A session with something wrong."""
    parts = {"session.json": dumped({**TOLD, **changes}), "original.png": PICTURE}
    return archive({**parts, **(more or {})})


def bad_sessions() -> Iterator[tuple[str, bytes]]:
    """Session files that were never saved by us."""
    good = session()
    yield from ODD_TEXTS.items()
    for at in (1, 10, 30, len(good) // 2, len(good) - 30, len(good) - 1):
        yield f"cut at {at}", good[:at]
    for at in (14, 40, len(good) // 2, len(good) - 40):
        spoiled = bytearray(good)
        spoiled[at : at + 6] = b"\xff" * 6
        yield f"overwritten at {at}", bytes(spoiled)
    whole = {"session.json": dumped(TOLD), "original.png": PICTURE}
    mask = {"base": {"size": [24, 18], "bits": "aaaa"}, "operations": [], "undone": []}
    yield "no members", archive({})
    yield "no session.json", archive({"original.png": PICTURE})
    yield "no picture", archive({"session.json": dumped(TOLD)})
    yield "a member above", archive({**whole, "../../evil.png": PICTURE})
    yield "an absolute member", archive({**whole, "/tmp/evil.png": PICTURE})
    yield "a folder", archive({**whole, "folder/": b""})
    yield "a thousand members", archive({**whole, **{f"{k}.png": b"" for k in range(1_000)}})
    yield "a change that is not told of", session({"change-0.png": PICTURE})
    yield "a change that is not there", session(changes=[CHANGE], kept=1)
    yield "a bomb", archive({**whole, "session.json": bytes(100_000_000)})
    yield "a bomb of another name", archive({**whole, "bomb": bytes(450_000_000)})
    yield "a text for a picture", archive({**whole, "original.png": b"hello"})
    yield "half a picture", archive({**whole, "original.png": PICTURE[:100]})
    yield "a member that is a link", archive(whole, link="original.png")
    yield "a member twice", good + good[good.index(b"PK\1\2") :]
    yield "a member twice in the list", doubled(whole)
    yield "deep JSON", archive({**whole, "session.json": DEEP.encode()})
    yield "endless numbers", archive({**whole, "session.json": b'{"kept": %s}' % ENDLESS.encode()})
    yield "a name of controls", session(name="\x1b[2J\u202egnp.exe", kept=9)
    yield "packed another way", archive(whole, zipfile.ZIP_LZMA)[:-5]
    yield (
        "encrypted",
        good.replace(b"PK\x03\x04\x14\0\0\0", b"PK\x03\x04\x14\0\1\0").replace(
            b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\1\0"
        ),
    )
    for name, changes in {
        "version 2": {"groundbrush_session": 2},
        "version of a list": {"groundbrush_session": [1]},
        "an unknown name": {"extra": 1},
        "name is a number": {"name": 3},
        "find is a number": {"find": 3},
        "find is a book": {"find": "x" * 20_000},
        "drawn is a number": {"drawn": 1},
        "candidate is huge": {"candidate": 10**9},
        "candidate is true": {"candidate": True},
        "kept is beyond": {"kept": 3},
        "kept is negative": {"kept": -1},
        "changes is an object": {"changes": {}},
        "mask is a list": {"mask": []},
        "mask of nothing": {"mask": {}},
        "mask of another size": {"mask": {**mask, "base": {"size": [3, 3], "bits": ""}}},
        "mask not deflated": {"mask": mask},
        "mask with operations of a number": {"mask": {**mask, "operations": 3}},
        "mask with very many operations": {"mask": {**mask, "operations": [{}] * 5_000}},
    }.items():
        yield name, session(**changes)
    for name, change in {
        "a number": 3,
        "a window of words": {**CHANGE, "window": ["a"] * 4},
        "a window of halves": {**CHANGE, "window": [0.5, 0, 24, 18]},
        "a window outside": {**CHANGE, "window": [10, 10, 34, 28]},
        "a window of huge numbers": {**CHANGE, "window": [0, 0, 10**30, 1]},
        "a window of another size": {**CHANGE, "window": [0, 0, 4, 4]},
        "a request of a list": {**CHANGE, "request": []},
        "a request of another version": {**CHANGE, "request": recipe(groundbrush=9)},
        "more than is known": {**CHANGE, "x": 1},
    }.items():
        yield f"a change of {name}", session({"change-0.png": PICTURE}, changes=[change], kept=1)


# ------------------------------------------------------------------------------------ benchmarks

EXAMPLE = {"image": "a.png", "phrase": "the cup"}
BAD_EXAMPLES: dict[str, Any] = {
    "no phrase": {"image": "a.png"},
    "no image": {"phrase": "x"},
    "phrase is a number": {**EXAMPLE, "phrase": 3},
    "phrase is blank": {**EXAMPLE, "phrase": "  "},
    "image above": {**EXAMPLE, "image": "../../outside.png"},
    "image is absolute": {**EXAMPLE, "image": "/etc/passwd"},
    "image with a null": {**EXAMPLE, "image": "a\0.png"},
    "image in a loop": {**EXAMPLE, "image": "loop.png"},
    "image with a long name": {**EXAMPLE, "image": "a" * 3_000},
    "image with half a letter": {**EXAMPLE, "image": "\ud800.png"},
    "kind is unknown": {**EXAMPLE, "kind": "sort"},
    "kind is a list": {**EXAMPLE, "kind": [1]},
    "a box of three": {**EXAMPLE, "box": [1, 2, 3]},
    "a box of words": {**EXAMPLE, "box": list("abcd")},
    "a box inside out": {**EXAMPLE, "box": [9, 9, 1, 1]},
    "a box of nothing known": {**EXAMPLE, "box": [0, 0, float("nan"), 1]},
    "a box of huge numbers": {**EXAMPLE, "bbox": [0, 0, int(HUGE), 1]},
    "a mask of a number": {**EXAMPLE, "mask": 3},
    "a mask that is not there": {**EXAMPLE, "mask": "m.png"},
    "a mask above": {**EXAMPLE, "mask": "../../m.png"},
    "runs without a size": {**EXAMPLE, "mask": {"counts": [1]}},
    "runs of a size beyond": {**EXAMPLE, "mask": {"size": [float("1e999"), 1], "counts": [1]}},
    "runs of huge numbers": {**EXAMPLE, "mask": {"size": [int(HUGE), 1], "counts": [1]}},
    "runs of words": {**EXAMPLE, "mask": {"size": [1, 1], "counts": ["a"]}},
    "polygons of words": {**EXAMPLE, "mask": [["a"] * 6]},
    "a polygon beyond": {**EXAMPLE, "mask": [[0, 0, float("1e999"), 0, 5, 5]]},
    "a polygon of huge numbers": {**EXAMPLE, "mask": [[0, 0, int(HUGE), 0, 5, 5]]},
    "a polygon across the world": {**EXAMPLE, "mask": [[0, 0, 1e15, 0, 5, 5]]},
    "an odd polygon": {**EXAMPLE, "mask": [[0, 0, 5, 0, 5, 5, 1]]},
}


def bad_examples() -> Iterator[tuple[str, Make]]:
    """Pictures with phrases, one a line."""
    for name, make in texts("jsonl"):
        yield name, beside(make)
    for name, values in BAD_EXAMPLES.items():
        yield name, beside(file_of("e.jsonl", dumped(values)))
    twice = json.dumps({**EXAMPLE, "id": 1}).encode()
    yield "one id twice", beside(file_of("e.jsonl", twice + b"\n" + twice))


class Hostile:
    """A pickle of it would run a program."""

    def __reduce__(self) -> Any:
        return os.system, ("touch hostile-was-here",)


def laughs(depth: int = 60) -> list[Any]:
    """A list that holds itself twice, over and over: small in a file, endless in words."""
    value: list[Any] = ["ha"]
    for _ in range(depth):
        value = [value, value]
    return value


REF: dict[str, Any] = {
    "ann_id": 1,
    "image_id": 1,
    "split": "val",
    "sentences": [{"sent": "the cup", "sent_id": 1}],
}
INSTANCES: dict[str, Any] = {
    "annotations": [{"id": 1, "bbox": [0, 0, 4, 4], "segmentation": [[0, 0, 4, 0, 4, 4]]}],
    "images": [{"id": 1, "width": 24, "height": 18, "file_name": "a.png"}],
}
BAD_PICKLES: dict[str, bytes] = {
    "a program": pickle.dumps([Hostile()], 2),
    "a program of protocol 0": b"cos\nsystem\n(S'touch hostile-was-here'\ntR.",
    "a program of protocol 4": pickle.dumps([Hostile()], 4),
    "a class": pickle.dumps([Path("a")], 2),
    "a set": pickle.dumps([{1, 2}], 4),
    "an outside object": b"\x80\x02U\x01aQ.",
    "an extension": b"\x80\x02\x82\x01.",
    "a memory of two billion": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "a memory of four billion": b"\x80\x02Np4294967290\n.",
    "a text of four gigabytes": b"\x80\x02X\xff\xff\xff\xffabc.",
    "a text of many exabytes": b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
    "a frame of many exabytes": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7fN.",
    "cut": pickle.dumps([REF], 2)[:-10],
    "nothing but an end": b".",
    "a wrong protocol": b"\x80\xff.",
    "deep lists": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "deep tuples": b"\x80\x02)" + b"\x85" * 100_000 + b".",
    "no list": pickle.dumps({"a": 1}, 2),
    "a list of numbers": pickle.dumps([1], 2),
    "an empty list": pickle.dumps([], 2),
    "references without anything": pickle.dumps([{}], 2),
    "laughs": pickle.dumps([laughs()], 2),
    "laughs for a split": pickle.dumps([{**REF, "split": laughs()}], 2),
    "laughs for a sentence": pickle.dumps([{**REF, "sentences": [{"sent": laughs()}]}], 2),
    "laughs for an annotation": pickle.dumps([{**REF, "ann_id": laughs()}], 2),
    "laughs for a name": pickle.dumps(
        [{**REF, "sentences": [{"sent": "x", "sent_id": laughs()}]}], 2
    ),
    "tuples that laugh as a key": b"\x80\x02})" + b"2\x86" * 60 + b"Ns.",
    "another split": pickle.dumps([{**REF, "split": "train"}], 2),
    "no annotation": pickle.dumps([{**REF, "ann_id": 9}], 2),
    "annotation of a list": pickle.dumps([{**REF, "ann_id": [1]}], 2),
    "annotation of nothing": pickle.dumps([{**REF, "ann_id": float("nan")}], 2),
    "annotation of infinity": pickle.dumps([{**REF, "ann_id": float("inf")}], 2),
    "sentences of a number": pickle.dumps([{**REF, "sentences": 3}], 2),
    "sentences of texts": pickle.dumps([{**REF, "sentences": ["x"]}], 2),
}
BAD_INSTANCES: dict[str, Any] = {
    "a list of a number": [1],
    "no images": {"annotations": []},
    "annotations of numbers": {"annotations": [1], "images": []},
    "an id of a word": {"annotations": [{"id": "x"}], "images": []},
    "an id beyond": {"annotations": [{"id": float("1e999")}], "images": []},
    "no box": {**INSTANCES, "annotations": [{"id": 1, "segmentation": []}]},
    "a box of words": {
        **INSTANCES,
        "annotations": [{**INSTANCES["annotations"][0], "bbox": list("abcd")}],
    },
    "a box of huge numbers": {
        **INSTANCES,
        "annotations": [{**INSTANCES["annotations"][0], "bbox": [0, 0, int(HUGE), 1]}],
    },
    "no outline": {**INSTANCES, "annotations": [{"id": 1, "bbox": [0, 0, 1, 1]}]},
    "an outline beyond": {
        **INSTANCES,
        "annotations": [{**INSTANCES["annotations"][0], "segmentation": [[0, 0, 1e300, 0, 4, 4]]}],
    },
    "an outline of a number": {
        **INSTANCES,
        "annotations": [{**INSTANCES["annotations"][0], "segmentation": 3}],
    },
    "a width of a word": {**INSTANCES, "images": [{**INSTANCES["images"][0], "width": "x"}]},
    "a width beyond": {
        **INSTANCES,
        "images": [{**INSTANCES["images"][0], "width": float("1e999")}],
    },
    "images of texts": {**INSTANCES, "images": ["a"]},
}


def refcoco(refs: bytes, instances: bytes) -> Make:
    """What writes a RefCOCO folder."""

    def make(folder: Path) -> Path:
        (folder / "refcoco").mkdir()
        (folder / "images").mkdir()
        (folder / "refcoco" / "refs(unc).p").write_bytes(refs)
        (folder / "refcoco" / "instances.json").write_bytes(instances)
        return folder

    return make


def bad_refcoco() -> Iterator[tuple[str, Make]]:
    """Folders of RefCOCO with something wrong."""
    whole, refs = dumped(INSTANCES), pickle.dumps([REF], 2)
    for name, content in BAD_PICKLES.items():
        yield f"references: {name}", refcoco(content, whole)
    for name, text in ODD_TEXTS.items():
        yield f"instances: {name}", refcoco(refs, text)
        yield f"references: {name}", refcoco(text, whole)
    for name, values in BAD_INSTANCES.items():
        yield f"instances: {name}", refcoco(refs, dumped(values))
    yield "nothing", lambda folder: folder
    yield "not there", lambda folder: folder / "missing"


SHAPES: dict[str, Any] = {
    "text": ["the cup that is left"],
    "is_sentence": False,
    "shapes": [{"label": "target", "points": [[0, 0], [9, 0], [9, 9]]}],
}


def bad_reasonseg() -> Iterator[tuple[str, Make]]:
    """ReasonSeg folders with something wrong."""

    def folder_of(content: bytes) -> Make:
        def make(folder: Path) -> Path:
            (folder / "val").mkdir()
            (folder / "val" / "a.json").write_bytes(content)
            (folder / "val" / "a.jpg").write_bytes(encoded("JPEG"))
            return folder

        return make

    for name, text in ODD_TEXTS.items():
        yield name, folder_of(text)
    for name, changes in {
        "no text": {"text": []},
        "text of a number": {"text": 3},
        "text is blank": {"text": [" "]},
        "shapes of a number": {"shapes": 3},
        "a shape without points": {"shapes": [{"label": "x"}]},
        "a shape of no points": {"shapes": [{"label": "x", "points": []}]},
        "points of words": {"shapes": [{"label": "x", "points": [["a", "b"]]}]},
        "points of three": {"shapes": [{"label": "x", "points": [[1, 2, 3]]}]},
        "points beyond": {"shapes": [{"label": "x", "points": [[1e999, 0], [1, 1], [2, 2]]}]},
        "points far away": {"shapes": [{"label": "x", "points": [[1e300, 0], [1, 1], [2, 2]]}]},
        "points of huge numbers": {"shapes": [{"label": "x", "points": [[int(HUGE), 0]]}]},
    }.items():
        yield name, folder_of(dumped({**SHAPES, **changes}))
    yield "an empty split", lambda folder: (folder / "val").mkdir() or folder  # type: ignore[func-returns-value]


def bad_journals() -> Iterator[tuple[str, Make]]:
    """Journals of evaluations that hold something else."""
    from groundbrush.editor.journal import encode

    head, good = encode({"what": "a test"}), encode({"arm": "a", "item": "b"})
    for name, text in {
        **ODD_TEXTS,
        "a record without names": head + encode({"item": "a"}),
        "a record of a list": head + b"[1]\n" + good,
        "a record of deep lists": head + DEEP.encode() + b"\n" + good,
        "another header": encode({"what": "other"}),
        "no checksums": b'{"what": "a test"}\n{"arm": "a", "item": "b"}\n',
    }.items():
        if text:
            yield name, file_of("j.jsonl", text if text.endswith(b"\n") else text + b"\n")
