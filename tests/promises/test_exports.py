"""Exports are read by the rules of the tools that they are written for, and join across pictures.

The readers below follow what panopticapi, LabelMe and COCO publish about their files.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from groundbrush.__main__ import main
from PIL import Image

pytestmark = pytest.mark.slow
SENTENCES = {
    "fruit": "the red apple, the banana and the car",
    "penguin": "a penguin and two apples",
}
FORMATS = ("coco-panoptic", "coco-instances", "labelme")


@pytest.fixture(scope="module")
def exported(tmp_path_factory, example) -> dict[str, Path]:
    """Two pictures exported by the command in every format: the folders of both."""
    root = tmp_path_factory.mktemp("work")
    photos, out = root / "photos", root / "out"
    photos.mkdir()
    for name, sentence in SENTENCES.items():
        picture = Path(shutil.copy(example(name).path, photos))
        words = ["ground-all", str(picture), sentence, "--out", str(out), "--quiet"]
        assert main([*words, *(w for kind in FORMATS for w in ("--export", kind))]) == 0
    return {"photos": photos, "out": out}


def panoptic(exported) -> dict[str, dict]:
    """The panoptic documents by picture."""
    files = sorted(exported["out"].glob("*panoptic*.json"))
    documents = [json.loads(file.read_text()) for file in files]
    return {Path(document["images"][0]["file_name"]).stem: document for document in documents}


def segmentation(folder: Path, annotation: dict) -> np.ndarray:
    """The ids of one annotation's PNG.

    Panopticapi's converters build the PNG's name from what stands before the *first* dot of the
    annotation's file name; a pixel's id is R + 256 G + 65536 B.
    """
    name = annotation["file_name"].split(".")[0] + ".png"
    rgb = np.asarray(Image.open(folder / name).convert("RGB")).astype(np.int64)
    return rgb[..., 0] + 256 * rgb[..., 1] + 256 * 256 * rgb[..., 2]


def test_panoptic_pngs_are_found_by_the_converters_rule(exported):
    documents = panoptic(exported)
    assert documents.keys() == SENTENCES.keys()
    for document in documents.values():
        (annotation,) = document["annotations"]
        ids = segmentation(exported["out"], annotation)
        areas = {s["id"]: s["area"] for s in annotation["segments_info"]}
        there, counts = np.unique(ids[ids > 0], return_counts=True)
        assert dict(zip(there.tolist(), counts.tolist(), strict=True)) == areas


def test_panoptic_segments_are_of_one_image_and_known_categories(exported):
    for document in panoptic(exported).values():
        (image,), (annotation,) = document["images"], document["annotations"]
        known = {category["id"] for category in document["categories"]}
        numbers = [segment["id"] for segment in annotation["segments_info"]]
        assert annotation["image_id"] == image["id"]
        assert len(set(numbers)) == len(numbers)
        assert {s["category_id"] for s in annotation["segments_info"]} <= known
        assert (exported["photos"] / image["file_name"]).is_file()


def test_panoptic_categories_have_what_the_converters_read(exported):
    for document in panoptic(exported).values():
        for category in document["categories"]:
            assert {"id", "name", "isthing", "color"} <= category.keys()
            assert len(category["color"]) == 3
            assert all(0 <= part <= 255 for part in category["color"])


def test_images_of_two_files_have_two_numbers(exported):
    documents = panoptic(exported).values()
    assert len({document["images"][0]["id"] for document in documents}) == len(SENTENCES)


def test_a_category_has_one_number_in_every_file(exported):
    numbers: dict[str, set[int]] = {}
    names: dict[int, set[str]] = {}
    for document in panoptic(exported).values():
        for category in document["categories"]:
            numbers.setdefault(category["name"], set()).add(category["id"])
            names.setdefault(category["id"], set()).add(category["name"])
    assert all(len(held) == 1 for held in numbers.values())
    assert all(len(held) == 1 for held in names.values())


def test_instances_are_read_by_pycocotools(exported):
    from pycocotools.coco import COCO

    for file in exported["out"].glob("*.instances.json"):
        coco = COCO(str(file))
        assert coco.getAnnIds()
        for one in coco.loadAnns(coco.getAnnIds()):
            assert coco.annToMask(one).sum() == one["area"]


def test_instances_of_two_files_join(exported):
    documents = [json.loads(f.read_text()) for f in exported["out"].glob("*.instances.json")]
    images = [image["id"] for document in documents for image in document["images"]]
    annotations = [one["id"] for document in documents for one in document["annotations"]]
    assert len(set(images)) == len(images)
    assert len(set(annotations)) == len(annotations)


@pytest.fixture(scope="module")
def joined(exported) -> tuple[Path, dict]:
    """The instances of both pictures in one file, joined as anybody would."""
    files = sorted(exported["out"].glob("*.instances.json"))
    documents = [json.loads(file.read_text()) for file in files]
    categories = {c["id"]: c for document in documents for c in document["categories"]}
    together = {
        "images": [image for document in documents for image in document["images"]],
        "annotations": [one for document in documents for one in document["annotations"]],
        "categories": list(categories.values()),
    }
    path = exported["out"].parent / "joined.json"
    path.write_text(json.dumps(together))
    return path, together


def test_joined_instances_are_read_by_pycocotools(joined):
    from pycocotools.coco import COCO

    path, together = joined
    coco = COCO(str(path))
    assert len(coco.getImgIds()) == len(SENTENCES)
    (apple,) = coco.getCatIds(catNms=["apple"])
    assert len(coco.getImgIds(catIds=[apple])) == len(SENTENCES)
    assert {one["id"] for one in together["annotations"]} == set(coco.getAnnIds())


def test_joined_instances_are_read_by_supervision(exported, joined):
    supervision = pytest.importorskip("supervision")
    path, together = joined
    photos = str(exported["photos"])
    read = supervision.DetectionDataset.from_coco(photos, str(path), force_masks=True)
    assert len(read) == len(SENTENCES)
    images = {image["file_name"]: image["id"] for image in together["images"]}
    names = {category["id"]: category["name"] for category in together["categories"]}
    for file, _, detections in read:
        mine = [a for a in together["annotations"] if a["image_id"] == images[Path(file).name]]
        assert detections.mask.sum((1, 2)).tolist() == [one["area"] for one in mine]
        classes = [read.classes[number] for number in detections.class_id]
        assert classes == [names[one["category_id"]] for one in mine]


def labelme_picture(file: Path) -> Path:
    """Where LabelMe looks for a document's picture: from the document's own folder."""
    return file.parent / json.loads(file.read_text())["imagePath"]


def test_labelme_documents_lead_to_their_picture(exported):
    for file in exported["out"].glob("*.labelme.json"):
        document = json.loads(file.read_text())
        assert labelme_picture(file).is_file()
        width, height = Image.open(labelme_picture(file)).size
        assert (document["imageWidth"], document["imageHeight"]) == (width, height)
        for shape in document["shapes"]:
            assert len(shape["points"]) >= 3


def test_a_labelme_pair_can_be_moved(exported, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(exported["out"].parent, moved)
    for file in (moved / "out").glob("*.labelme.json"):
        assert moved in labelme_picture(file).resolve().parents
        assert labelme_picture(file).is_file()
