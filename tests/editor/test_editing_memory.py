"""Batches in recipes, and how an editor's models share an accelerator."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from groundbrush import Editor, GroundbrushError
from groundbrush.editor.models.models import Models
from groundbrush.editor.models.presets import load_preset
from groundbrush.grounding.errors import GroundingError
from groundbrush.inpaint import InpaintSettings
from groundbrush.inpaint.device.sharing import DeviceSharing
from groundbrush.inpaint.errors import OutOfMemoryError

FEW = {"steps": 2, "guidance": 1.0, "strength": 1.0}


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor.load("miniature", device="cpu", offline=True)


@pytest.fixture
def picture() -> np.ndarray:
    pixels = np.full((48, 64, 3), 90, np.uint8)
    pixels[14:26, 20:36] = (220, 20, 30)
    return pixels


def options(**more) -> dict:
    return {"paint": "a green pear", "box": (14, 10, 44, 34), "settings": FEW, **more}


def test_variants_are_painted_together_and_the_recipe_says_so(editor, picture, tmp_path):
    """One of three, saved: its own file paints it again, to the same bytes."""
    steps = []
    edit = editor.edit(
        picture, seed=10, variants=3, on_step=lambda *s: steps.append(s), **options()
    )
    assert steps == [(1, 2), (2, 2)]
    assert edit.recipe()["batches"] == [[10, 3]]
    again = editor.run(json.loads(json.dumps(edit.recipe())), picture)
    assert [v.image.tobytes() for v in again.variants] == [v.image.tobytes() for v in edit.variants]
    edit.save(tmp_path / "a.png", 2)
    alone = editor.run(tmp_path / "a.png", picture)
    assert len(alone.variants) == 1 and alone.variants[0].seed == 12
    assert alone.image.tobytes() == edit.variants[2].image.tobytes()
    assert alone.recipe()["batches"] == [[10, 3]]
    alone.save(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_one_variant_needs_no_batch(editor, picture):
    assert "batches" not in editor.edit(picture, **options()).recipe()


class Painter:
    """Paints its seed, and fails where more are painted at once than it holds."""

    def __init__(self, holds: int = 16, side: int = 4096) -> None:
        self.holds, self.side, self.calls = holds, side, []

    def at_once(self, canvas, wanted) -> int:
        return min(wanted, 4)

    def paint(self, image, mask, prompt, *, seed, settings, **_):
        if settings.size > self.side:
            raise OutOfMemoryError("no")
        return self.paint_many(image, mask, prompt, seeds=(seed,), settings=settings)[0]

    def paint_many(self, image, mask, prompt, *, seeds, settings, **_):
        self.calls.append(tuple(seeds))
        if len(seeds) > self.holds:
            raise OutOfMemoryError("no")
        return [np.where(mask[..., None], np.uint8(s), image) for s in seeds]

    def cut_off(self, prompt) -> str:
        return ""


def editor_with(painter: Painter) -> Editor:
    models = Models(load_preset("miniature"), device="cpu")
    models.__dict__["_inpainter"] = painter
    return Editor(models)


def test_as_many_at_a_time_as_memory_holds(picture):
    painter = Painter()
    edit = editor_with(painter).edit(picture, seed=5, variants=6, **options())
    assert painter.calls == [(5, 6, 7, 8), (9, 10)]
    assert edit.recipe()["batches"] == [[5, 4], [9, 2]]
    assert [v.seed for v in edit.variants] == list(range(5, 11))
    one = {**edit.recipe(), "seed": 9, "variants": 1}
    again = Painter()
    assert editor_with(again).run(one, picture).variants[0].seed == 9
    assert again.calls == [(9, 10)]


def test_one_by_one_where_a_batch_does_not_fit_and_so_again(picture):
    painter = Painter(holds=1)
    edit = editor_with(painter).edit(picture, seed=5, variants=3, **options())
    assert painter.calls == [(5, 6, 7), (5,), (6,), (7,)]
    assert edit.recipe()["batches"] == []
    assert "painted one by one" in edit.notes[-1]
    larger = Painter()
    editor_with(larger).run(edit.recipe(), picture)
    assert larger.calls == [(5,), (6,), (7,)]


def test_a_smaller_size_goes_into_the_recipe(picture):
    edit = editor_with(Painter(side=96)).edit(picture, **options())
    assert (edit.settings["size"], edit.recipe()["settings"]) == (96, {**FEW, "size": 96})
    again = editor_with(Painter()).run(edit.recipe(), picture)
    assert again.settings["size"] == 96 and again.image.tobytes() == edit.image.tobytes()


@pytest.mark.parametrize("batches", ["all", [[1]], [[1, 1]], [[-1, 2]], [[0, 99]], [3]])
def test_batches_that_cannot_be_are_explained(picture, batches):
    edit = editor_with(Painter()).edit(picture, variants=2, **options())
    with pytest.raises(GroundbrushError, match="batch"):
        editor_with(Painter()).run({**edit.recipe(), "batches": batches}, picture)


class Grounderlike:
    """What a preset's finder is made of, as far as sharing goes."""

    def __init__(self, log: list) -> None:
        self._model = torch.nn.Linear(2, 2)
        self._model.to = lambda device: log.append(("looking", str(device)))


class Shared(Models):
    """Models on an accelerator that the CPU plays; the finder is a network of six numbers."""

    def __init__(self, memory=None, fails: int = 0) -> None:
        super().__init__(load_preset("miniature"), device="cpu", memory=memory)
        self.log: list = []
        self.fails = fails
        sharing = DeviceSharing(torch.device("cpu", 0))
        if self.memory not in ("auto", "resident"):
            sharing.share()
        self.__dict__["_sharing"] = sharing
        painter = SimpleNamespace(
            to=lambda device: self.log.append(("painting", str(device))), parameters=tuple
        )
        sharing.add("inpainter", [painter])

    def _load_grounder(self):
        if self.fails:
            self.fails -= 1
            raise GroundingError("could not load a model: CUDA out of memory. Tried to allocate")
        self.log.append("loads")
        return Grounderlike(self.log)


def test_where_all_fits_the_finder_stays_beside_the_painter():
    models = Shared()
    models.grounder()._model(torch.zeros(1, 2))
    assert models.log == ["loads"]


def test_swapped_models_alternate():
    models = Shared("swap")
    found = models.grounder()
    found._model(torch.zeros(1, 2))
    with models._sharing.use("inpainter"):
        pass
    found._model(torch.zeros(1, 2))
    assert models.log == [
        ("painting", "cpu"),
        "loads",
        ("looking", "cpu"),
        ("painting", "cpu:0"),
        ("painting", "cpu"),
        ("looking", "cpu:0"),
    ]


def test_a_finder_that_does_not_fit_beside_the_painter_makes_it_leave():
    models = Shared(fails=1)
    models.grounder()
    assert models.log == [("painting", "cpu"), "loads"]
    assert models._sharing.exclusive
    with pytest.raises(GroundbrushError, match="out of memory"):
        Shared(fails=2).grounder()


def test_the_memory_mode_comes_from_the_preset_and_the_caller(picture):
    preset = load_preset("miniature")
    frugal = dataclasses.replace(preset, inpainter={**preset.inpainter, "memory": "offload"})
    said: list[str] = []
    models = Models(frugal, device="cpu", on_load=said.append)
    assert models.memory == "offload"
    assert Models(frugal, device="cpu", memory="swap").memory == "swap"
    assert Models(preset, device="cpu").memory == "auto"
    models.inpainter()  # on the CPU there is nothing to offload from
    assert any("memory 'offload' is for accelerators" in words for words in said)
    with pytest.raises(GroundbrushError, match="memory 'swop' given; expected one of auto, resi"):
        Editor.load("miniature", memory="swop")


def test_the_command_line_names_the_memory_mode(capsys, tmp_path):
    from groundbrush.editor.cli.main import main

    picture = str(Path(__file__).parents[2] / "examples" / "fruit.png")
    assert main(["ground", picture, "the apple", "--memory", "all", "--out", str(tmp_path)]) == 1
    assert "memory 'all' given; expected one of auto" in capsys.readouterr().err


def test_a_preset_may_name_a_controlnet(tmp_path):
    """Its edges are those of the picture; for removal and new sides only of what lies around."""
    from groundbrush.editor.editing.pipeline import settings_for
    from groundbrush.editor.request import make_request

    preset = load_preset("miniature")
    entry = {"path": str(tmp_path), "conditioner": "depth"}
    asks = dataclasses.replace(preset, inpainter={**preset.inpainter, "controlnet": entry})
    with pytest.raises(GroundbrushError, match="conditioner: got 'depth'"):
        Models(asks, device="cpu", offline=True).inpainter()
    editor = Editor(Models(preset, device="cpu"))
    kinds = {
        "edit": {"find": "x", "paint": "y"},
        "remove": {"find": "x", "paint": None},
        "extend": {"find": None, "paint": None, "extend": {"right": 9}},
    }
    follows = {
        a: settings_for(editor.models, make_request(a, **k)).control for a, k in kinds.items()
    }
    assert follows == {"edit": "picture", "remove": "surroundings", "extend": "surroundings"}
    assert InpaintSettings().control == "picture"


class NoRoom:
    """Work that runs out of memory so many times."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __call__(self) -> str:
        self.times -= 1
        if self.times >= 0:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return "found"


def test_where_looking_runs_out_of_memory_the_painter_leaves():
    told = []
    models = Models(load_preset("miniature"), device="cpu", on_load=told.append)
    sharing = DeviceSharing(torch.device("cpu"))
    sharing.add("inpainter", [torch.nn.Linear(2, 2)])
    models.__dict__["_sharing"] = sharing
    assert models.with_room(NoRoom(1)) == "found"
    assert told == ["memory ran out: finder and inpainter now alternate on the accelerator"]
    assert sharing.exclusive and sharing.away("inpainter")
    with pytest.raises(GroundbrushError, match="out of memory looking at .*photo-light"):
        models.with_room(NoRoom(1))  # no model is left that could leave


def test_running_out_of_memory_while_looking_is_an_error_of_ours(editor, picture, monkeypatch):
    def encode(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(editor.models.grounder().lvlm, "encode", encode)
    for ask in (
        lambda: editor.ground(picture[::-1].copy(), "the apple"),
        lambda: editor.ground_all(picture[::-1].copy(), "the apple"),
    ):
        with pytest.raises(GroundbrushError, match="out of memory looking at the picture"):
            ask()
