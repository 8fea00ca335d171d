"""The preset `classic`: GrabCut and PatchMatch, with nothing to download and no words."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from groundbrush import Editor
from groundbrush.editor.cli.main import main
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.models.presets import load_preset
from groundbrush.grounding.errors import GroundingError
from groundbrush.grounding.sam.grabcut import GrabCut
from groundbrush.inpaint.painter.patchmatch import PatchMatch
from PIL import Image

BOX = (70, 50, 130, 110)


@pytest.fixture(scope="module")
def photo() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A grainy striped cloth with a red disc on it: the picture, the disc's mask, the cloth."""
    rng = np.random.default_rng(0)
    stripes = 110 + 60 * (np.arange(200) // 5 % 2)
    cloth = np.repeat(stripes[None, :, None], 160, 0) * np.array([0.6, 0.9, 1.0])
    cloth = np.clip(cloth + rng.normal(0, 4, (160, 200, 1)), 0, 255).astype(np.uint8)
    disc = np.zeros((160, 200), np.uint8)
    cv2.circle(disc, (100, 80), 24, 1, -1)
    picture = cloth.copy()
    picture[disc > 0] = (210, 40, 30)
    return picture, disc > 0, cloth


@pytest.fixture(scope="module")
def editor() -> Editor:
    return Editor.load("classic", offline=True)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize("prompt", [{"box": BOX}, {"points": [(100, 80)]}])
def test_grabcut_finds_what_a_box_or_a_click_marks(photo: tuple, prompt: dict) -> None:
    picture, disc, _ = photo
    model = GrabCut()
    found = model.predict(model.embed(picture), **prompt)
    assert iou(found.masks[found.best], disc) > 0.95
    again = model.predict(model.embed(picture), **prompt)
    assert (found.masks == again.masks).all()


def test_grabcut_takes_the_box_where_colours_do_not_tell(photo: tuple) -> None:
    cloth = photo[2]
    model = GrabCut()
    mask = model.predict(model.embed(cloth), box=(0, 0, 200, 160)).masks[0]
    assert mask.mean() > 0.05
    point = [(20, 20)]
    outside = model.predict(model.embed(photo[0]), box=BOX, points=point, labels=[0]).masks[0]
    assert not outside[20, 20]


def test_patchmatch_continues_a_pattern(photo: tuple) -> None:
    picture, disc, cloth = photo
    hole = cv2.dilate(disc.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    filled = PatchMatch().paint(picture, hole, "", seed=1)
    assert np.abs(filled.astype(int) - cloth)[hole].mean() < 12  # smooth filling: over 20
    assert (filled == picture)[~hole].all()


def test_nothing_to_copy_from_is_refused_not_called_done(editor: Editor, photo: tuple) -> None:
    whole = np.ones(photo[0].shape[:2], bool)
    with pytest.raises(GroundbrushError, match="expected surroundings to fill it from"):
        editor.remove(photo[0], mask=whole)


def test_grabcut_gets_no_picture_of_one_flat_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    cut, seen = cv2.grabCut, []
    monkeypatch.setattr(
        cv2, "grabCut", lambda small, *rest: (seen.append(small), cut(small, *rest))
    )
    model, flat = GrabCut(), np.full((30, 40, 3), 255, np.uint8)
    assert model.predict(model.embed(flat), box=(0, 0, 40, 30)).masks[0].all()
    assert len(np.unique(seen[0])) > 1  # OpenCV takes a minute where all are equal


@pytest.mark.parametrize("box", [(float("nan"), 0, 9, 9), (0, 0, float("inf"), 9)])
def test_grabcut_refuses_a_box_that_is_none(photo: tuple, box: tuple) -> None:
    model = GrabCut()
    with pytest.raises(GroundingError, match="box"):
        model.predict(model.embed(photo[0]), box=box)
    far = model.predict(model.embed(photo[0]), box=BOX, points=[(1e12, -1e12)], labels=[0])
    assert iou(far.masks[0], photo[1]) > 0.95


@pytest.mark.parametrize("benchmark", ["scenes", "png"])
def test_an_evaluation_without_words_is_refused_once(
    benchmark: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    given = ["evaluate", benchmark, "--preset", "classic", "--limit", "1", "--data", str(tmp_path)]
    assert main([*given, "--out", str(tmp_path / "out")]) == 1
    message = capsys.readouterr().err
    assert message.count("understands no words") == 1
    assert "Traceback" not in message
    assert not (tmp_path / "out").exists()


def test_a_snapped_box_is_removed_and_nothing_else(
    editor: Editor, photo: tuple, tmp_path: Path
) -> None:
    picture, disc, cloth = photo
    edit = editor.remove(picture, box=[BOX], snap=True, seed=3)
    assert edit.done
    assert (edit.support | ~disc).all()
    assert (edit.image == picture)[~edit.support].all()
    assert np.abs(edit.image.astype(int) - cloth)[disc].mean() < 12
    assert any(note.startswith("not checked: preset 'classic'") for note in edit.notes)
    assert "gone" not in edit.checks

    edit.save(tmp_path / "gone.png")
    rerun = editor.run(tmp_path / "gone.png", picture)
    assert (rerun.image == edit.image).all()


def test_the_command_removes_what_is_clicked(photo: tuple, tmp_path: Path, capsys) -> None:
    picture, disc, _ = photo
    path = tmp_path / "disc.png"
    Image.fromarray(picture).save(path)
    command = ["remove", str(path), "--click", "100,80", "--preset", "classic", "--quiet", "--json"]
    assert main([*command, "--out", str(tmp_path)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert not any("too small" in note for note in result["notes"])
    after = np.asarray(Image.open(tmp_path / "disc.edited.png").convert("RGB"))
    changed = (after != picture).any(2)
    assert changed[disc].all()  # the rim, too: what a click finds is dilated
    assert changed[~disc].mean() < 0.05
    again = [
        "edit",
        str(path),
        "--recipe",
        str(tmp_path / "disc.recipe.json"),
        "--preset",
        "classic",
    ]
    assert main([*again, "--quiet", "--out", str(tmp_path / "again")]) == 0
    assert (np.asarray(Image.open(tmp_path / "again" / "disc.edited.png")) == after).all()
    assert main([*command[:2], "--click", "900,3", *command[4:]]) == 1
    assert "the point (900, 3) lies outside the picture of 200x160" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["remove", str(path), "--click", "100", "--preset", "classic"])
    assert "--click '100' given; expected x,y in pixels, e.g. 120,80" in capsys.readouterr().err


def test_a_folder_is_no_preset_and_classic_needs_no_download(tmp_path: Path, capsys) -> None:
    with pytest.raises(GroundbrushError, match=r"is a directory; expected a preset's \.json file"):
        load_preset(tmp_path)
    assert main(["fetch", "classic", "--offline"]) == 0
    assert capsys.readouterr().out == "preset 'classic' needs no download\n"


def test_a_large_window_is_filled_on_a_smaller_canvas(editor: Editor, photo: tuple) -> None:
    large = cv2.resize(photo[0], (2000, 1600), interpolation=cv2.INTER_NEAREST)
    mask = np.zeros(large.shape[:2], bool)
    mask[500:1100, 700:1300] = True
    edit = editor.remove(large, mask=mask, settings={"size": 256})
    assert (edit.image == large)[~edit.support].all()
    assert edit.image[800, 1000, 0] < 150  # cloth, no longer the red disc


@pytest.mark.parametrize(
    "work",
    [
        lambda editor, picture: editor.ground(picture, "the disc"),
        lambda editor, picture: editor.remove(picture, "the disc"),
        lambda editor, picture: editor.ground_all(picture, "a disc and a cloth"),
        lambda editor, picture: editor.apply(picture, "remove the disc"),
        lambda editor, picture: editor.edit(picture, paint="a pear", box=[BOX]),
    ],
)
def test_words_are_answered_with_presets_that_understand_them(
    editor: Editor, photo: tuple, work
) -> None:
    with pytest.raises(GroundbrushError, match="understands no words.*photo-light"):
        work(editor, photo[0])
