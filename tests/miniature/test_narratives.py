"""Composed scenes written as Panoptic Narrative Grounding has its pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from groundbrush.miniature.narratives import main, narratives, write_narratives
from groundbrush.multiobject.narratives import read_png, truth
from PIL import Image


def test_the_number_of_named_things_goes_round() -> None:
    made = list(narratives("validation", 6))
    assert [len(said.phrases) for _, said in made] == [2, 3, 4, 5, 6, 2]
    ((scene, said),) = narratives("validation", 1, start=3)
    assert said == made[3][1]
    assert (scene.image == made[3][0].image).all()


def test_the_reader_of_the_benchmark_reads_the_truth_back(tmp_path: Path) -> None:
    write_narratives(tmp_path, 5, "validation")
    made = list(narratives("validation", 5))
    told = list(read_png(tmp_path, "validation"))
    assert len(told) == 5
    for (scene, said), narrative in zip(made, told, strict=True):
        assert narrative.caption == said.text
        assert [(p.text, p.span) for p in narrative.phrases] == [
            (p.text, p.span) for p in said.phrases
        ]
        with Image.open(narrative.image_file) as picture:
            assert (np.asarray(picture) == scene.image).all()
        ids = narrative.ids()
        for phrase, meant in zip(narrative.phrases, said.phrases, strict=True):
            assert (truth(ids, phrase) == meant.mask(scene)).all()
            assert phrase.is_thing
            assert phrase.plural == (len(meant.indices) > 1)


def test_areas_and_boxes_are_those_of_the_masks(tmp_path: Path, capsys) -> None:
    main([str(tmp_path), "--count", "2", "--split", "validation"])
    assert capsys.readouterr().out.strip().endswith("png_coco_validation.json")
    panoptic = json.loads((tmp_path / "annotations" / "panoptic_validation.json").read_text())
    for annotation, narrative in zip(
        panoptic["annotations"], read_png(tmp_path, "validation"), strict=True
    ):
        for segment in annotation["segments_info"]:
            ys, xs = np.nonzero(narrative.ids() == segment["id"])
            x, y, width, height = segment["bbox"]
            assert segment["area"] == len(ys)
            assert (x, y) == (xs.min(), ys.min())
            assert (x + width, y + height) == (xs.max() + 1, ys.max() + 1)


def test_unknown_splits_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown split"):
        next(narratives("test", 1))
