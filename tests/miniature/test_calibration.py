"""The calibration set: balanced, repeatable from anywhere, true, and readable by other tools."""

from __future__ import annotations

import doctest
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from groundbrush.miniature import calibration
from groundbrush.miniature.calibration import (
    KINDS,
    CalibrationSample,
    calibration_samples,
    main,
    write_calibration,
)
from groundbrush.miniature.phrases import expressions
from groundbrush.miniature.scenes import CROWDED, compose
from groundbrush.multiobject.export.rle import decode_rle
from PIL import Image


@pytest.fixture(scope="module")
def samples() -> list[CalibrationSample]:
    return list(calibration_samples(2 * len(KINDS)))


def test_every_kind_has_its_turn(samples: list[CalibrationSample]) -> None:
    assert Counter(s.kind for s in samples) == dict.fromkeys(KINDS, 2)
    assert [s.name for s in samples] == [f"validation-{k}" for k in range(16)]


def test_masks_boxes_and_pictures_fit_together(samples: list[CalibrationSample]) -> None:
    for s in samples:
        assert s.image.shape == (256, 256, 3)
        ys, xs = np.nonzero(s.mask)
        assert s.box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


def test_phrases_are_true_of_one_object_of_a_scene_that_can_be_composed_again() -> None:
    for drawn in calibration_samples(8, "heldout", seed=3):
        again = compose("heldout", drawn.seed, drawn.settings)
        assert (again.image == drawn.scene.image).all()
        fits = [
            i
            for i in range(len(again.objects))
            if drawn.phrase in {e.text for e in expressions(again, i)}
        ]
        assert [again.objects[i].box for i in fits] == [drawn.box]
        assert (again.mask(fits[0]) == drawn.mask).all()


def test_wide_samples_have_all_shapes_and_are_true() -> None:
    drawn = list(calibration_samples(16, "heldout", side=192, wide=True))
    assert [d.kind for d in drawn] == list(KINDS) * 2
    shapes = {d.scene.image.shape[:2] for d in drawn}
    assert sum(h != w for h, w in (d.scene.image.shape[:2] for d in drawn)) >= 8
    assert any(h > w for h, w in shapes) and any(w > h for h, w in shapes)
    for one in drawn[:4]:
        (target,) = [k for k, o in enumerate(one.scene.objects) if o.box == one.box]
        assert one.phrase in {e.text for e in expressions(one.scene, target)}


def test_rare_kinds_come_from_crowded_scenes() -> None:
    drawn = list(calibration_samples(4, kinds=("ordinal", "name")))
    assert [d.kind for d in drawn] == ["ordinal", "name", "ordinal", "name"]
    assert [d.settings == CROWDED for d in drawn] == [True, False, True, False]


def test_a_stream_can_start_anywhere(samples: list[CalibrationSample]) -> None:
    for early, late in zip(samples[5:8], calibration_samples(3, start=5), strict=True):
        assert (early.name, early.phrase, early.box) == (late.name, late.phrase, late.box)
        assert (early.image == late.image).all()


def test_splits_and_seeds_give_other_pictures(samples: list[CalibrationSample]) -> None:
    others = [next(calibration_samples(1, split)) for split in ("train", "heldout")]
    others.append(next(calibration_samples(1, seed=1)))
    pictures = [s.image.tobytes() for s in (samples[0], *others)]
    assert len(set(pictures)) == 4


def test_the_side_is_the_pictures() -> None:
    sample = next(calibration_samples(1, side=320))
    assert sample.image.shape == (320, 320, 3)
    assert sample.mask.shape == (320, 320)


def test_streaming_composes_only_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    whole = calibration.compose
    monkeypatch.setattr(calibration, "compose", lambda *a: calls.append(a) or whole(*a))
    stream = calibration_samples(10_000)
    assert calls == []
    next(stream)
    assert 0 < len(calls) < calibration.TRIES


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"split": "test"}, "unknown split 'test'; expected one of train, validation, heldout"),
        ({"count": -1}, "must not be negative, got -1, 0 and 0"),
        ({"kinds": ("shape",)}, r"kinds \('shape',\) must be some of name, colour"),
        ({"kinds": ()}, r"kinds \(\) must be some of name, colour"),
        ({"side": 8}, "side must be at least 64 pixels, got 8"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        next(calibration_samples(**{"count": 1, **arguments}))


def test_files_hold_what_the_stream_gives(tmp_path: Path, samples: list[CalibrationSample]) -> None:
    page = write_calibration(tmp_path / "set", 3)
    rows = [json.loads(line) for line in page.read_text().splitlines()]
    assert len(rows) == 3
    for row, sample in zip(rows, samples, strict=False):
        assert {"name", "image", "phrase", "kind", "box", "mask"} == set(row)
        assert (np.asarray(Image.open(page.parent / row["image"])) == sample.image).all()
        assert (row["phrase"], row["kind"]) == (sample.phrase, sample.kind)
        assert tuple(row["box"]) == sample.box
        assert (decode_rle(row["mask"]) == sample.mask).all()


def test_a_stopped_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = write_calibration(tmp_path / "whole", 4).read_bytes()
    folder = tmp_path / "stopped"
    page = write_calibration(folder, 2)
    with page.open("a") as out:
        out.write('{"name": "validation-2", "ima')  # killed in the middle of a line
    main([str(folder), "--count", "4"])
    assert page.read_bytes() == whole
    assert capsys.readouterr().out.strip() == str(page)
    assert len(list((folder / "images").glob("*.png"))) == 4


def test_a_folder_of_other_samples_is_left_alone(tmp_path: Path) -> None:
    page = write_calibration(tmp_path, 1)
    before = page.read_bytes()
    with pytest.raises(ValueError, match="holds 1 other samples; expected .* seed 9"):
        write_calibration(tmp_path, 2, seed=9)
    assert page.read_bytes() == before


def test_the_examples_in_the_docstrings_run() -> None:
    failed, tried = doctest.testmod(calibration)
    assert tried
    assert not failed
