"""Exports, read back: the areas are those that were painted."""

from __future__ import annotations

import io
import json
import sys
import types
from dataclasses import replace

import numpy as np
import pytest
from groundbrush.grounding.view import tight_box
from groundbrush.multiobject import Instance, MultiObjectError, PanopticGrounding, Segment
from groundbrush.multiobject.export.coco import coco_instances, coco_panoptic, id_to_rgb, rgb_to_id
from groundbrush.multiobject.export.labelme import to_labelme
from groundbrush.multiobject.export.rle import decode_rle, encode_rle
from groundbrush.multiobject.export.supervision import to_detections
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageDraw

SHAPE = (40, 60)


def disc(x: int, y: int, r: int) -> np.ndarray:
    ys, xs = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return (xs - x) ** 2 + (ys - y) ** 2 <= r * r


@pytest.fixture
def found() -> PanopticGrounding:
    """Two apples, the sky with a hole in it, and a dog that is not there."""
    apples = [disc(12, 25, 8), disc(45, 28, 6)]
    sky = np.zeros(SHAPE, bool)
    sky[:15] = True
    hole = disc(30, 7, 4)
    ids = np.zeros(SHAPE, np.int32)
    ids[sky & ~hole] = 300
    ids[apples[0]], ids[apples[1]] = 1, 2
    instances = tuple(
        Instance(mask, tight_box(mask), score, k)
        for k, (mask, score) in enumerate(zip(apples, (0.9, 0.7), strict=True), 1)
    )
    segments = (
        Segment(
            "two apples",
            (0, 10),
            "apple",
            True,
            True,
            apples[0] | apples[1],
            0.9,
            "found",
            "2 places",
            instances,
            (1, 2),
        ),
        Segment("the sky", (17, 24), "sky", False, False, sky, 0.6, "found", "here", (), (300,)),
        Segment(
            "the dog",
            (29, 36),
            "dog",
            True,
            False,
            np.zeros(SHAPE, bool),
            0.1,
            "absent",
            "the model answers that it is not there",
        ),
    )
    return PanopticGrounding("two apples under the sky and the dog", segments, ids)


# --- COCO panoptic ----------------------------------------------------------------------------


def test_the_panoptic_png_and_json_read_back_with_the_same_areas(found) -> None:
    made = coco_panoptic(found, file_name="photo.jpg", image_id=7)
    # as panopticapi.utils.rgb2id reads it
    rgb = np.array(Image.open(io.BytesIO(made.png())), dtype=np.uint32)
    ids = rgb[..., 0] + 256 * rgb[..., 1] + 256 * 256 * rgb[..., 2]
    assert (ids == found.id_map).all()
    (annotation,) = made.document["annotations"]
    assert annotation["file_name"] == "photo_panoptic.png"
    assert annotation["image_id"] == made.document["images"][0]["id"] == 7
    info = {s["id"]: s for s in annotation["segments_info"]}
    assert set(info) == set(np.unique(ids)) - {0} == {1, 2, 300}
    for number, one in info.items():
        assert one["area"] == (ids == number).sum()
        x, y, w, h = one["bbox"]
        assert (ids[y : y + h, x : x + w] == number).sum() == one["area"]
        assert one["iscrowd"] == 0
    names = {c["id"]: c for c in made.document["categories"]}
    assert [names[info[i]["category_id"]]["name"] for i in (1, 2, 300)] == ["apple", "apple", "sky"]
    assert [names[info[i]["category_id"]]["isthing"] for i in (1, 300)] == [1, 0]
    json.dumps(made.document)


def test_pycocotools_measures_the_panoptic_segments_as_they_are_told(found) -> None:
    tools = pytest.importorskip("pycocotools.mask")
    made = coco_panoptic(found, file_name="photo.jpg")
    ids = rgb_to_id(np.asarray(Image.open(io.BytesIO(made.png())).convert("RGB")))
    (annotation,) = made.document["annotations"]
    for one in annotation["segments_info"]:
        theirs = tools.encode(np.asfortranarray((ids == one["id"]).astype(np.uint8)))
        assert tools.area(theirs) == one["area"]
        assert tools.toBbox(theirs).tolist() == one["bbox"]


def test_what_is_not_there_is_listed_and_not_painted(found) -> None:
    (annotation,) = coco_panoptic(found).document["annotations"]
    (missing,) = annotation["not_found"]
    assert missing["phrase"] == "the dog"
    assert missing["status"] == "absent"


def test_given_categories_keep_their_numbers(found) -> None:
    coco = [{"id": 53, "name": "apple", "isthing": 1}, {"id": 18, "name": "dog", "isthing": 1}]
    document = coco_panoptic(found, categories=coco).document
    numbers = {c["name"]: c["id"] for c in document["categories"]}
    assert numbers.keys() == {"apple", "dog", "sky"}
    assert (numbers["apple"], numbers["dog"]) == (53, 18)
    assert numbers["sky"] > 200  # beyond COCO's own
    assert len(coco) == 2


def test_panopticapis_converters_find_the_png_and_the_colours(found, tmp_path) -> None:
    """Its rules: the PNG is `file_name` up to its first dot, and every category has a colour."""
    made = coco_panoptic(found, file_name="my.photo.jpg")
    (annotation,) = made.document["annotations"]
    (tmp_path / annotation["file_name"]).write_bytes(made.png())
    converted = "{}.png".format(annotation["file_name"].rsplit(".")[0])
    with Image.open(tmp_path / converted) as png:
        assert (rgb_to_id(np.asarray(png)) == found.id_map).all()
    for category in made.document["categories"]:
        assert len(category["color"]) == 3
        assert all(0 <= part <= 255 for part in category["color"])
    with pytest.raises(MultiObjectError, match="one dot, before png, such as 'photo_panoptic.png'"):
        coco_panoptic(found, file_name="photo.jpg", png_name="photo.panoptic.png")


def test_a_noun_has_one_number_and_colour_in_whatever_company(found) -> None:
    """Not by its place in the caption: other pictures name other things before it."""
    fewer = replace(
        found,
        segments=tuple(s for s in found.segments if s.name != "apple"),
        id_map=np.where(found.id_map == 300, found.id_map, 0),
    )
    assert [s.name for s in fewer.segments] == ["sky", "dog"]
    both = [
        {c["name"]: c for c in coco_panoptic(one).document["categories"]} for one in (found, fewer)
    ]
    assert both[0]["sky"] == both[1]["sky"]
    assert both[0]["apple"]["id"] != both[0]["sky"]["id"]


def test_documents_of_several_pictures_can_be_joined(found) -> None:
    for convert in (
        lambda **k: coco_panoptic(found, **k).document,
        lambda **k: coco_instances(found, **k),
    ):
        one, other = convert(file_name="a.jpg"), convert(file_name="b.jpg")
        assert one == convert(file_name="a.jpg")
        assert one["images"][0]["id"] != other["images"][0]["id"]
        assert one["categories"] == other["categories"]
        numbers = [a["id"] for d in (one, other) for a in d["annotations"] if "id" in a]
        assert len(set(numbers)) == len(numbers)
        ids = [a["image_id"] for d in (one, other) for a in d["annotations"]]
        assert set(ids) == {one["images"][0]["id"], other["images"][0]["id"]}
        assert max([*numbers, *ids]) < 2**53  # JSON readers keep them exactly


@given(hnp.arrays(np.int32, (3, 5), elements=st.integers(0, (1 << 24) - 1)))
def test_ids_and_colours_are_one_to_one(ids) -> None:
    assert (rgb_to_id(id_to_rgb(ids)) == ids).all()


# --- COCO instances ---------------------------------------------------------------------------


def test_run_lengths_by_hand() -> None:
    # down the columns: 1 zero, 2 ones, 1 zero
    assert encode_rle(np.array([[0, 1], [1, 0]], bool)) == {"size": [2, 2], "counts": "121"}
    assert encode_rle(np.ones((2, 2), bool))["counts"] == "04"
    assert decode_rle({"size": [2, 2], "counts": [1, 2, 1]}).tolist() == [
        [False, True],
        [True, False],
    ]


masks = hnp.arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))


@settings(max_examples=100, deadline=None)
@given(masks)
def test_run_lengths_come_back(mask) -> None:
    assert (decode_rle(encode_rle(mask)) == mask).all()


@settings(max_examples=60, deadline=None)
@given(masks)
def test_run_lengths_are_pycocotools_own(mask) -> None:
    tools = pytest.importorskip("pycocotools.mask")
    theirs = tools.encode(np.asfortranarray(mask.astype(np.uint8)))
    ours = encode_rle(mask)
    assert ours["counts"] == theirs["counts"].decode()
    assert (tools.decode({**ours, "counts": ours["counts"].encode()}) == mask).all()
    assert (decode_rle(theirs) == mask).all()
    assert tools.area(theirs) == mask.sum()


def test_long_runs_match_pycocotools() -> None:
    tools = pytest.importorskip("pycocotools.mask")
    mask = np.zeros((700, 900), bool)
    mask[100:600, 30:800] = True
    mask[300:310, 200:700] = False
    assert (
        encode_rle(mask)["counts"]
        == tools.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
    )


@pytest.mark.parametrize(
    "rle",
    [
        {"size": [2, 2], "counts": [1, 2]},
        {"size": [2, 2], "counts": [5, -1]},
        {"size": [2, 2], "counts": "~~"},
        {"size": [2, 2], "counts": "!!"},
        {"size": [2, 2], "counts": "12"},
        {"size": [2, 2], "counts": "PPPPPPPPPPPPPP"},
        {"size": [2], "counts": [4]},
        {"size": [2, 2]},
        {"size": [10**6, 10**6], "counts": [10**12]},
        {"size": [-2, -2], "counts": [4]},
    ],
)
def test_damaged_run_lengths_are_refused(rle) -> None:
    with pytest.raises(MultiObjectError, match="run lengths"):
        decode_rle(rle)


def test_instances_load_in_pycocotools(found, tmp_path) -> None:
    document = coco_instances(found)
    areas = [a["area"] for a in document["annotations"]]
    whole = [one.mask for one in found.segments[0].instances]  # no stuff
    assert areas == [int(m.sum()) for m in whole]
    decoded = [decode_rle(a["segmentation"]) for a in document["annotations"]]
    assert all((a == b).all() for a, b in zip(decoded, whole, strict=True))
    coco_module = pytest.importorskip("pycocotools.coco")
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(document))
    coco = coco_module.COCO(str(path))
    for annotation, mask in zip(coco.loadAnns(coco.getAnnIds()), whole, strict=True):
        assert (coco.annToMask(annotation) == mask).all()


# --- LabelMe ----------------------------------------------------------------------------------


def test_labelme_polygons_fill_to_the_mask_without_its_holes(found) -> None:
    document = to_labelme(found)
    assert [s["label"] for s in document["shapes"]] == ["apple", "apple", "sky"]
    for shape in document["shapes"]:
        canvas = Image.new("L", SHAPE[::-1])
        points = [tuple(p) for p in shape["points"]]
        ImageDraw.Draw(canvas).polygon(points, fill=1, outline=1)
        drawn = np.array(canvas, bool)
        mask = found.painted(shape["group_id"])
        filled = mask | disc(30, 7, 4) if shape["label"] == "sky" else mask
        assert (drawn ^ filled).sum() <= 0.02 * filled.sum()


def test_a_dot_is_a_polygon_of_three_points() -> None:
    mask = np.zeros(SHAPE, bool)
    mask[3, 4] = True
    dot = Segment(
        "a dot",
        (0, 5),
        "dot",
        True,
        False,
        mask,
        0.5,
        "found",
        "here",
        (Instance(mask, tight_box(mask), 0.5, 1),),
        (1,),
    )
    (shape,) = to_labelme(PanopticGrounding("a dot", (dot,), mask.astype(np.int32)))["shapes"]
    assert shape["points"] == [[4.0, 3.0]] * 3


# --- supervision ------------------------------------------------------------------------------


class _Detections:
    """What supervision's constructor takes; the real one is used where it is installed."""

    def __init__(self, xyxy, mask=None, confidence=None, class_id=None, data=None) -> None:
        self.xyxy, self.mask, self.confidence = xyxy, mask, confidence
        self.class_id, self.data = class_id, data

    @classmethod
    def empty(cls):
        return cls(np.empty((0, 4), np.float32))

    def __len__(self) -> int:
        return len(self.xyxy)


@pytest.fixture(params=["real", "fake"])
def detections(request, monkeypatch):
    if request.param == "fake":
        fake = types.SimpleNamespace(Detections=_Detections)
        monkeypatch.setitem(sys.modules, "supervision", fake)
    else:
        pytest.importorskip("supervision")
    return to_detections


def test_detections_hold_each_thing_and_stuff_once(found, detections) -> None:
    made = detections(found)
    assert len(made) == 3
    assert made.mask.shape == (3, *SHAPE)
    assert made.mask.sum((1, 2)).tolist() == [
        *(i.mask.sum() for i in found.segments[0].instances),
        found.segments[1].mask.sum(),
    ]
    assert made.class_id.tolist() == [0, 0, 1]
    assert made.data["class_name"].tolist() == ["apple", "apple", "sky"]
    assert made.xyxy[0].tolist() == list(found.segments[0].instances[0].box)


def test_nothing_found_is_no_detection(found, detections) -> None:
    empty = PanopticGrounding("the dog", found.segments[2:], np.zeros(SHAPE, np.int32))
    assert len(detections(empty)) == 0


def test_without_supervision_the_command_is_named(found, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(MultiObjectError, match=r"pip install 'groundbrush\[supervision\]'"):
        to_detections(found)
