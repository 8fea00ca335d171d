"""Panoptic Narrative Grounding: the measure against its definition, the public files' layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from groundbrush import Editor
from groundbrush.grounding.metrics import mask_iou
from groundbrush.miniature.scenes import compose
from groundbrush.multiobject import MultiObjectError
from groundbrush.multiobject.export.coco import id_to_rgb
from groundbrush.multiobject.narrative_benchmark import PngPhrase, ground_narrative, read_png, truth
from PIL import Image

DOG = PngPhrase("a dog", (0, 5), (1,), False, True)
SKY = PngPhrase("the sky", (6, 13), (2,), False, False)
CARS = PngPhrase("cars", (14, 18), (3, 4), True, True)
TREES = PngPhrase("trees", (19, 24), (5,), True, False)


@pytest.fixture
def data(tmp_path):
    """The public layout with one narrative."""
    ids = np.zeros((8, 10), np.int32)
    ids[:3], ids[3:6, 2:4], ids[3:6, 6:9], ids[6:] = 70_000, 11, 12, 5
    folder = tmp_path / "annotations" / "panoptic_segmentation" / "val2017"
    folder.mkdir(parents=True)
    Image.fromarray(id_to_rgb(ids)).save(folder / "000000000139.png")
    panoptic = {
        "images": [{"id": 139, "file_name": "000000000139.jpg"}],
        "categories": [
            {"id": 1, "name": "person", "isthing": 1},
            {"id": 187, "name": "sky", "isthing": 0},
        ],
        "annotations": [
            {
                "image_id": 139,
                "file_name": "000000000139.png",
                "segments_info": [
                    {"id": 70_000, "category_id": 187},
                    {"id": 11, "category_id": 1},
                    {"id": 12, "category_id": 1},
                    {"id": 5, "category_id": 187},
                ],
            }
        ],
    }
    narratives = [
        {
            "image_id": "139",
            "caption": "There are people under the sky.",
            "segments": [
                {"utterance": "There are", "segment_ids": [], "noun": False, "plural": False},
                {"utterance": "people", "segment_ids": ["11", "12"], "noun": True, "plural": True},
                {"utterance": "under", "segment_ids": [], "noun": False, "plural": False},
                {"utterance": "the sky", "segment_ids": ["70000"], "noun": True, "plural": False},
                {"utterance": ".", "segment_ids": [], "noun": False, "plural": False},
            ],
        }
    ]
    (tmp_path / "annotations" / "panoptic_val2017.json").write_text(json.dumps(panoptic))
    (tmp_path / "png_coco_val2017.json").write_text(json.dumps(narratives))
    return tmp_path, ids


def test_the_public_layout_is_read(data) -> None:
    root, ids = data
    (narrative,) = read_png(root)
    assert narrative.image_id == 139
    assert narrative.image_file == root / "val2017" / "000000000139.jpg"
    assert [(p.text, p.plural, p.is_thing) for p in narrative.phrases] == [
        ("people", True, True),
        ("the sky", False, False),
    ]
    for phrase in narrative.phrases:
        assert narrative.caption[slice(*phrase.span)] == phrase.text
    assert (narrative.ids() == ids).all()
    people = truth(narrative.ids(), narrative.phrases[0])
    assert (people == np.isin(ids, [11, 12])).all()


@pytest.mark.parametrize("folder", ["panoptic_val2017", "panoptic_val2017/panoptic_val2017"])
def test_files_where_cocos_archives_put_them_are_found_too(data, folder) -> None:
    root, ids = data
    (root / folder).parent.mkdir(exist_ok=True)
    (root / "annotations" / "panoptic_segmentation" / "val2017").rename(root / folder)
    (root / "images" / "val2017").mkdir(parents=True)
    (narrative,) = read_png(root)
    assert (narrative.ids() == ids).all()
    assert narrative.image_file == root / "images" / "val2017" / "000000000139.jpg"


def test_plurals_are_told_from_segments_and_things_from_the_last_one(data) -> None:
    root, _ = data
    path = root / "png_coco_val2017.json"
    (given,) = json.loads(path.read_text())
    given["segments"][1] |= {"segment_ids": ["70000", "11"], "plural": False}
    given["segments"][3] |= {"segment_ids": ["12"], "plural": True}
    path.write_text(json.dumps([given]))
    (narrative,) = read_png(root)
    assert [(p.plural, p.is_thing) for p in narrative.phrases] == [(True, True), (False, True)]


def test_utterances_that_are_not_in_the_caption_are_put_together(data) -> None:
    root, _ = data
    path = root / "png_coco_val2017.json"
    (given,) = json.loads(path.read_text())
    path.write_text(json.dumps([{**given, "caption": "another one"}]))
    (narrative,) = read_png(root)
    assert narrative.caption == "There are people under the sky."
    assert [narrative.caption[slice(*p.span)] for p in narrative.phrases] == ["people", "the sky"]


def test_what_is_missing_or_damaged_is_named(data) -> None:
    root, _ = data
    with pytest.raises(MultiObjectError, match=r"png_coco_train2017.json is not in"):
        list(read_png(root, "train2017"))
    folder = root / "annotations" / "panoptic_segmentation" / "val2017"
    (folder / "000000000139.png").write_bytes(b"no")
    with pytest.raises(MultiObjectError, match=r"000000000139.png cannot be read"):
        next(read_png(root)).ids()
    (root / "png_coco_val2017.json").write_text('[{"image_id": "140"}]')
    with pytest.raises(MultiObjectError, match="narrative 0: KeyError 140"):
        list(read_png(root))
    (root / "png_coco_val2017.json").write_text("{")
    with pytest.raises(MultiObjectError, match="cannot be read as JSON"):
        list(read_png(root))


def test_a_narrative_of_a_scene_is_scored(miniature: Editor, tmp_path) -> None:
    scene = compose("heldout", 6)
    ids = np.zeros(scene.image.shape[:2], np.int32)
    for k in range(len(scene.objects)):
        ids[scene.mask(k)] = k + 1
    Image.fromarray(id_to_rgb(ids)).save(tmp_path / "scene.png")
    from groundbrush.multiobject.narrative_benchmark import Narrative

    caption, phrases = "", []
    for k, thing in enumerate(scene.objects):
        caption += " and " if caption else ""
        text = f"the {thing.noun}"
        span = (len(caption), len(caption) + len(text))
        caption += text
        phrases.append(PngPhrase(text, span, (k + 1,), False, True))
    narrative = Narrative(1, Path("scene.png"), tmp_path / "scene.png", caption, tuple(phrases))
    grounder = miniature.models.grounder()
    view = grounder.look(scene.image)
    found = ground_narrative(grounder, view, narrative, mode="phrases")
    pairs = zip(found.segments, narrative.phrases, strict=True)
    ious = [mask_iou(segment.mask, truth(narrative.ids(), one)) for segment, one in pairs]
    alone = [grounder.ground(view, phrase.text) for phrase in phrases]
    wanted = [mask_iou(a.mask, ids == k) for k, a in enumerate(alone, 1)]
    assert ious == pytest.approx(wanted, abs=0.02)
