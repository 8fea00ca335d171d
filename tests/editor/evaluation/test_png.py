"""Panoptic Narrative Grounding: the public files' layout, scored to numbers worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from groundbrush.editor.cli import evaluate as evaluate_png
from groundbrush.editor.cli.main import main
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.evaluation.measurements import Measurements
from groundbrush.editor.evaluation.png import (
    ARMS,
    PngJob,
    average_recall,
    measure_narratives,
    read_narratives,
    recall_table,
    run_png,
)
from groundbrush.editor.models.presets import load_preset
from groundbrush.grounding import GroundingSettings, ProposalSettings
from groundbrush.grounding.attention.reading import Reading
from groundbrush.grounding.families import ImageTokens
from groundbrush.grounding.pipeline import Grounder
from groundbrush.grounding.sam.coordinates import SquareFrame
from groundbrush.multiobject.export.coco import id_to_rgb
from groundbrush.multiobject.export.rle import decode_rle
from groundbrush.multiobject.narrative_benchmark import GROUPS
from PIL import Image

SIDE, CELLS = 64, 8
Cells = tuple[int, int, int, int]  # x0, y0, x1, y1 in cells of 8 pixels

# segment id -> where it is
SEGMENTS: dict[int, Cells] = {
    11: (0, 0, 4, 4),
    21: (5, 0, 7, 2),
    22: (5, 3, 7, 5),
    70_000: (0, 6, 8, 8),
    5: (0, 0, 8, 4),
}
# What the heads look at: half of the dog, both cups, half of the sky, not the wall at all.
ASKED: dict[str, Sequence[Cells]] = {
    "the dog": [(0, 0, 2, 4)],
    "two cups": [SEGMENTS[21], SEGMENTS[22]],
    "the sky": [(0, 6, 4, 8)],
    "the wall": [(0, 6, 8, 8)],
}
# In the caption the dog's words look at all of it.
READ = {**ASKED, "A dog": [SEGMENTS[11]]}
RECALL = {
    "phrases": {"all": 0.5, "things": 0.75, "stuff": 0.25, "singulars": 1 / 3, "plurals": 1.0},
    "caption": {"all": 0.625, "things": 1.0, "stuff": 0.25, "singulars": 0.5, "plurals": 1.0},
    "oracle": dict.fromkeys(("all", "things", "stuff", "singulars", "plurals"), 1.0),
}


class ToldLVLM:
    """Every head attends evenly to the cells given for its phrase."""

    heads = ((0, 0),)
    presence_settings = None

    def __init__(self) -> None:
        self.asked: list[str] = []

    def unknown_words(self, phrase: str) -> tuple[str, ...]:
        return () if phrase in ASKED else (phrase,)

    def encode(self, image: np.ndarray) -> Mapping:
        from types import SimpleNamespace

        size = image.shape[1::-1]
        tokens = ImageTokens(0, (CELLS, CELLS), (0.0, 0.0, float(size[0]), float(size[1])))
        return SimpleNamespace(size_wh=size, tokens=tokens, layers=1)

    def read(self, encoded, phrases: Sequence[str], heads=None) -> list[Reading]:
        self.asked += phrases
        return [Reading(_rows(ASKED[phrase]), None) for phrase in phrases]

    def token_rows(self, encoded, text: str, spans, heads=None) -> list[np.ndarray]:
        return [_rows(READ[text[a:b]])[None] for a, b in spans]


def _rows(cells: Sequence[Cells]) -> np.ndarray:
    one = np.full((1, CELLS, CELLS), 0.001, np.float32)
    for x0, y0, x1, y1 in cells:
        one[0, y0:y1, x0:x1] = 0.02
    return one


class BoxSegmenter:
    """Returns the box of the prompt as a mask, to the pixel."""

    mask_side = SIDE

    def embed(self, image: np.ndarray):
        from types import SimpleNamespace

        size = image.shape[1::-1]
        return SimpleNamespace(frame=SquareFrame(size, SIDE, SIDE), size_wh=size)

    def prompt_logits(self, embedding, *, boxes=None, points=None, mask=None, multimask=True):
        shape = len(boxes), 3 if multimask else 1
        logits = np.full((*shape, SIDE, SIDE), -10, np.float32)
        for one, (x0, y0, x1, y1) in zip(logits, np.rint(boxes).astype(int), strict=True):
            one[:, y0:y1, x0:x1] = 10
        return logits, np.ones(shape, np.float32)

    def full_masks(self, embedding, logits, size_wh=None):
        return embedding.frame.masks(logits, size_wh)


def told_grounder() -> Grounder:
    settings = GroundingSettings(
        sigma=0,
        refine=False,
        proposals=ProposalSettings(mode="paper", prompts=("box", "component")),
    )
    return Grounder(ToldLVLM(), BoxSegmenter(), settings)


def utterance(words: str, *ids: int, plural: bool = False) -> dict:
    return {
        "utterance": words,
        "segment_ids": [str(i) for i in ids],
        "noun": bool(ids),
        "plural": plural,
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The benchmark as its page says to unpack it: two pictures, four phrases."""
    root = tmp_path / "panoptic_narrative_grounding"
    masks = root / "annotations" / "panoptic_segmentation" / "val2017"
    images = root / "images" / "val2017"
    masks.mkdir(parents=True)
    images.mkdir(parents=True)
    category = {11: 18, 21: 47, 22: 47, 70_000: 187, 5: 199}
    annotations = []
    for number, present in ((139, (11, 21, 22, 70_000)), (285, (5,))):
        ids = np.zeros((SIDE, SIDE), np.int32)
        for i in present:
            x0, y0, x1, y1 = (8 * v for v in SEGMENTS[i])
            ids[y0:y1, x0:x1] = i
        Image.fromarray(id_to_rgb(ids)).save(masks / f"{number:012}.png")
        pixels = np.random.default_rng(number).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{number:012}.jpg")
        annotations.append(
            {
                "image_id": number,
                "file_name": f"{number:012}.png",
                "segments_info": [
                    {"id": i, "category_id": category[i], "iscrowd": 0} for i in present
                ],
            }
        )
    panoptic = {
        "images": [
            {"id": n, "file_name": f"{n:012}.jpg", "width": SIDE, "height": SIDE}
            for n in (139, 285)
        ],
        "categories": [
            {"id": 18, "name": "dog", "isthing": 1},
            {"id": 47, "name": "cup", "isthing": 1},
            {"id": 187, "name": "sky-other-merged", "isthing": 0},
            {"id": 199, "name": "wall-other-merged", "isthing": 0},
        ],
        "annotations": annotations,
    }
    narratives = [
        {
            "image_id": "139",
            "caption": "A dog and two cups under the sky.",
            "segments": [
                utterance("A dog", 11),
                utterance("and"),
                utterance("two cups", 21, 22, plural=True),
                utterance("under"),
                utterance("the sky", 70_000),
                utterance("."),
            ],
        },
        {
            "image_id": "285",
            "caption": "We can see the wall.",
            "segments": [utterance("We can see"), utterance("the wall", 5), utterance(".")],
        },
    ]
    (root / "annotations" / "panoptic_val2017.json").write_text(json.dumps(panoptic))
    (root / "annotations" / "png_coco_val2017.json").write_text(json.dumps(narratives))
    return root


def measured(root: Path, journal: Path, arms: Sequence[str] = tuple(ARMS), load=told_grounder):
    told = read_narratives(root, "val2017")
    return told, measure_narratives(load, told, arms, Measurements(journal, {"of": "png"}))


def test_average_recall_is_exact(root: Path, tmp_path: Path) -> None:
    told, records = measured(root, tmp_path / "j.jsonl")
    phrases = [p for one in told for p in one.narrative.phrases]
    for arm in ARMS:
        own = [r for r in records if r["arm"] == arm]
        found = average_recall(own)
        assert {g: s.value for g, s in found.items()} == pytest.approx(RECALL[arm])
        assert found["all"].low <= found["all"].value <= found["all"].high
        assert all(r["iou"] == r["shared"] / r["union"] for r in own)
        things = np.array([p.is_thing for p in phrases])
        plural = np.array([p.plural for p in phrases])
        for group, chosen in zip(GROUPS, (..., things, ~things, ~plural, plural), strict=True):
            # the sum over thresholds of the benchmark's own code
            ious = np.array([r["iou"] for r in own])[chosen]
            steps = np.arange(0, 1, 1e-4)
            area = sum(float((ious >= t).mean()) * 1e-4 for t in steps)
            assert area == pytest.approx(RECALL[arm][group], abs=2e-4)


def test_masks_are_in_the_journal_and_not_in_memory(root: Path, tmp_path: Path) -> None:
    told, records = measured(root, tmp_path / "j.jsonl")
    assert not any("mask" in r for r in records)
    journal = Measurements(tmp_path / "j.jsonl", {"of": "png"})
    (cups,) = journal.whole(
        [r for r in records if (r["arm"], r["phrase"]) == ("phrases", "two cups")]
    )
    truth = told[0].items[1].truth.draw((SIDE, SIDE)) == 1
    assert truth.sum() == 2 * 16 * 16
    assert (decode_rle(cups["mask"]) == truth).all()
    assert cups["places"] == 2


def test_an_interrupted_run_goes_on_and_repeats_nothing(root: Path, tmp_path: Path) -> None:
    journal = tmp_path / "j.jsonl"
    _, whole = measured(root, journal)
    lines = journal.read_bytes().splitlines(keepends=True)
    # the header and the first picture's nine answers, then killed in the middle of a line
    journal.write_bytes(b"".join(lines[:10]) + lines[10][:30])
    grounders = []

    def load() -> Grounder:
        grounders.append(told_grounder())
        return grounders[-1]

    _, again = measured(root, journal, load=load)
    assert grounders[0].lvlm.asked == ["the wall"]
    assert [{**r, "seconds": 0} for r in again] == [{**r, "seconds": 0} for r in whole]
    measured(root, journal, load=lambda: pytest.fail("nothing is left to measure"))


def test_what_cannot_be_measured_is_told_and_tried_again(root: Path, tmp_path: Path) -> None:
    picture = root / "images" / "val2017" / "000000000285.jpg"
    pixels = picture.read_bytes()
    picture.unlink()
    _, records = measured(root, tmp_path / "j.jsonl", ["phrases"])
    failed = [r for r in records if "error" in r]
    assert [r["phrase"] for r in failed] == ["the wall"]
    assert "000000000285.jpg" in failed[0]["error"]
    assert average_recall(records)["all"].value == pytest.approx(2 / 3)
    picture.write_bytes(pixels)
    _, records = measured(root, tmp_path / "j.jsonl", ["phrases"])
    assert {g: s.value for g, s in average_recall(records).items()} == pytest.approx(
        RECALL["phrases"]
    )


def test_the_table_leaves_out_groups_without_phrases(root: Path, tmp_path: Path) -> None:
    _, records = measured(root, tmp_path / "j.jsonl", ["phrases", "oracle"])
    by_arm = {
        a: average_recall([r for r in records if r["arm"] == a and r["thing"]])
        for a in ("phrases", "oracle")
    }
    table = recall_table(by_arm, {"all": 2, "things": 2, "stuff": 0, "plurals": 1})
    assert [line.split("|")[1].strip() for line in table.splitlines()] == [
        "average recall",
        "---",
        "all",
        "things",
        "plurals",
    ]
    assert "| things | 2 | 75.0 [" in table


def test_wrong_jobs_and_folders_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(GroundbrushError, match="expected some of caption, phrases, oracle"):
        PngJob(data=root, out=tmp_path, arms=("words",))
    with pytest.raises(GroundbrushError, match="limit 0 given"):
        PngJob(data=root, out=tmp_path, limit=0)
    with pytest.raises(GroundbrushError, match="does not exist; expected the folder"):
        read_narratives(root / "none", "val2017")
    with pytest.raises(GroundbrushError, match="png_coco_train2017.json is not in"):
        read_narratives(root, "train2017")
    drawn = PngJob(data=root, out=tmp_path, limit=1, seed=1).draw(read_narratives(root, "val2017"))
    assert [len(one.items) for one in drawn] in ([3], [1])


def test_the_command_scores_composed_scenes_without_data(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("GROUNDBRUSH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(evaluate_png, "HELD_OUT_CAPTIONS", 3)
    out = tmp_path / "out"
    asked = ["evaluate", "png", "--offline", "--device", "cpu", "--out", str(out), "--json"]
    assert main(asked) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["counts"]["all"] == 2 + 3 + 4
    recall = {arm: row["all"]["value"] for arm, row in found["arms"].items()}
    assert 0 <= recall["caption"] <= 1
    assert 0.5 < recall["phrases"] <= recall["oracle"] + 0.1 <= 1.1
    page = Path(found["files"]["page"]).read_text()
    assert "3 of heldout, 2 to 4 phrases each" in page
    assert "| caption | phrases | oracle |" in page
    # a second run measures nothing again and finds the same
    assert main(asked) == 0
    assert json.loads(capsys.readouterr().out)["arms"] == found["arms"]


def test_options_of_other_benchmarks_are_refused(capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "png", "--ablate"])
    assert stop.value.code == 2
    assert "--ablate cannot be given here" in capsys.readouterr().err


def test_a_preset_without_heads_reads_no_caption(root: Path, tmp_path: Path) -> None:
    import dataclasses

    preset = load_preset("miniature")
    backend = dataclasses.replace(preset, lvlm={}, find={"backend": "sam3", "path": "nowhere"})
    with pytest.raises(GroundbrushError, match="has no language model to read"):
        run_png(PngJob(data=root, out=tmp_path), backend)
