"""Find backends: real classes saved and loaded again, their input, geometry and answers."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from groundbrush.grounding import Backend, GroundingError, backend_class
from groundbrush.grounding.detectors import Detections
from groundbrush.grounding.detectors.grounding_dino import (
    GroundingDino,
    caption,
    corners,
    input_size,
)
from groundbrush.grounding.detectors.sam3 import Sam3, SquareInput
from groundbrush.grounding.sam.coordinates import SquareFrame
from hypothesis import example, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1]))  # importlib mode does not look beside the tests
from tiny_backends import SIDE, build_sam3, save_dino, save_sam3

PICTURES = {"landscape": (60, 100), "portrait": (100, 60), "square": (80, 80)}  # (H, W)


class BoxSegmenter:
    """Returns the box of the prompt as a mask, to the pixel."""

    def embed(self, image: np.ndarray) -> SimpleNamespace:
        size = image.shape[1::-1]
        return SimpleNamespace(frame=SquareFrame(size, 128, 128), size_wh=size)

    def prompt_logits(self, embedding: Any, *, boxes: Any, multimask: bool) -> Any:
        assert not multimask
        scale = 128 / max(embedding.size_wh)
        logits = np.full((len(boxes), 1, 128, 128), -10, np.float32)
        for one, (x0, y0, x1, y1) in zip(logits, np.rint(boxes * scale).astype(int), strict=True):
            one[0, y0:y1, x0:x1] = 10
        return logits, np.ones((len(boxes), 1), np.float32)

    def full_masks(self, embedding: Any, logits: Any, size_wh: Any = None) -> np.ndarray:
        return embedding.frame.masks(logits, size_wh)


class Told(GroundingDino):
    """Detects the given boxes, in pixels of the searched copy."""

    def __init__(self, *told: tuple[tuple[float, ...], float], **values: Any) -> None:
        super(GroundingDino, self).__init__(
            BoxSegmenter(), self.settings_from({"refine": False, **values})
        )
        self.told = told

    def _read(self, proxy: np.ndarray) -> None:
        return None

    def _detect(self, seen: Any, phrase: str) -> Detections:
        boxes = np.array([box for box, _ in self.told], float).reshape(-1, 4)
        return Detections(boxes, np.array([score for _, score in self.told], float))


def blank(height: int = 100, width: int = 100) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def answer(finder: Backend, image: np.ndarray | None = None, phrase: str = "a cup") -> Any:
    return finder.ground(finder.look(blank() if image is None else image), phrase)


@pytest.fixture(scope="module")
def dino_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_dino(tmp_path_factory.mktemp("tiny-dino"))


@pytest.fixture(scope="module")
def sam3_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_sam3(tmp_path_factory.mktemp("tiny-sam3"))


@pytest.fixture(scope="module")
def dino(dino_folder: Path) -> GroundingDino:
    return GroundingDino.load(dino_folder, BoxSegmenter(), offline=True)


@pytest.fixture(scope="module")
def sam3(sam3_folder: Path) -> Sam3:
    return Sam3.load(sam3_folder, BoxSegmenter(), offline=True)


# ----------------------------------------------------------------- the real classes, reloaded


@pytest.mark.parametrize("shape", PICTURES.values(), ids=PICTURES)
def test_dino_answers_as_transformers_own_chain(dino: GroundingDino, shape: Any) -> None:
    """Its processor resizing, its forward with the backbone, its post-processing."""
    from transformers.models.grounding_dino.processing_grounding_dino import GroundingDinoProcessor

    image = noise(*shape)
    found = dino._detect(dino.look(image), "The red cup")
    words = dino._tokenizer("the red cup.", return_tensors="pt", return_token_type_ids=True)
    pixels = dino._processor(image, return_tensors="pt")
    with torch.inference_mode():
        output = dino._model(**pixels, **words)
    own = GroundingDinoProcessor.post_process_grounded_object_detection(
        SimpleNamespace(batch_decode=lambda ids: [""] * len(ids)),
        output,
        words["input_ids"],
        threshold=0.0,
        target_sizes=[shape],
    )[0]
    np.testing.assert_allclose(found.scores, own["scores"].numpy(), atol=1e-5)
    np.testing.assert_allclose(found.boxes, own["boxes"].numpy(), atol=1e-3)


def test_phrases_share_one_reading_and_leave_nothing_behind(dino: GroundingDino) -> None:
    first, second = noise(50, 70), blank(64, 64)
    fresh = {p: dino._detect(dino.look(first), p) for p in ("a cup", "two big dog on the chair")}
    seen, other = dino.look(first), dino.look(second)
    backbone = dino._model.model.backbone
    for phrase in reversed(fresh):
        dino._detect(other, phrase)
        again = dino._detect(seen, phrase)
        np.testing.assert_array_equal(again.scores, fresh[phrase].scores)
        np.testing.assert_array_equal(again.boxes, fresh[phrase].boxes)
    assert dino._model.model.backbone is backbone


def test_mm_grounding_dino_is_read_too(tmp_path: Path) -> None:
    finder = GroundingDino.load(
        save_dino(tmp_path, kind="MMGroundingDino"), BoxSegmenter(), offline=True
    )
    assert len(finder._detect(finder.look(noise(40, 60)), "a cup").scores) == 20


@pytest.mark.parametrize("shape", PICTURES.values(), ids=PICTURES)
def test_sam3_answers_as_a_plain_forward(sam3: Sam3, shape: Any) -> None:
    """Boxes, masks and scores times presence, as `post_process_instance_segmentation` has them."""
    image = noise(*shape)
    seen = sam3.look(image)
    found = sam3._detect(seen, "red cup")
    # <start> red cup <end>, padded to the text model's length
    ids = torch.tensor([[2, 6, 8, 3] + [0] * 8])
    with torch.inference_mode():
        output = sam3._model(
            pixel_values=torch.from_numpy(sam3._input.prepare(image)),
            input_ids=ids,
            attention_mask=(ids > 0).long(),
        )
        scores = output.pred_logits.sigmoid() * output.presence_logits.sigmoid()
        shares = torch.nn.functional.interpolate(
            output.pred_masks.sigmoid(), size=shape, mode="bilinear", align_corners=False
        )
    np.testing.assert_allclose(found.scores, scores[0], atol=1e-6)
    scale = np.tile(shape[::-1], 2)
    np.testing.assert_allclose(found.boxes, output.pred_boxes[0].numpy() * scale, atol=1e-3)
    draw = sam3._drawn(seen, found)
    for k in range(len(found.scores)):
        unlike = draw(k, shape[::-1]) != (shares[0, k].numpy() > 0.5)
        assert unlike.mean() < 0.002  # of pixels with a share of a half but for rounding


def test_the_published_sam3_layout_loads_the_same(sam3_folder: Path, tmp_path: Path) -> None:
    """A video model's config, the detector's weights under its name, the tracker's beside them."""
    from safetensors.torch import save_file
    from transformers import Sam3VideoConfig

    for file in sam3_folder.iterdir():
        if "tokenizer" in file.name or "processor" in file.name:
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "preprocessor_config.json").rename(tmp_path / "old.json")
    told = {"image_processor": json.loads((tmp_path / "old.json").read_text())}
    (tmp_path / "processor_config.json").write_text(json.dumps(told))
    model = build_sam3()
    Sam3VideoConfig(detector_config=model.config).save_pretrained(tmp_path)
    weights = {f"detector_model.{k}": v.clone() for k, v in model.state_dict().items()}
    weights["tracker_model.memory.weight"] = torch.zeros(2)
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    nested = Sam3.load(tmp_path, BoxSegmenter(), offline=True)
    plain = Sam3.load(sam3_folder, BoxSegmenter(), offline=True)
    image = noise(40, 70)
    one, other = (f._detect(f.look(image), "a dog") for f in (nested, plain))
    np.testing.assert_array_equal(one.scores, other.scores)
    np.testing.assert_array_equal(one.boxes, other.boxes)


# ------------------------------------------------------------------------------ the input


def test_dino_processor_has_the_documented_numbers() -> None:
    """GroundingDINO/demo: RandomResize([800], max_size=1333), ImageNet's mean and deviation."""
    from PIL import Image
    from transformers.models.grounding_dino.image_processing_pil_grounding_dino import (
        GroundingDinoImageProcessorPil,
    )

    own = GroundingDinoImageProcessorPil()
    assert (own.size["shortest_edge"], own.size["longest_edge"]) == (800, 1333)
    assert list(own.image_mean) == [0.485, 0.456, 0.406]
    assert list(own.image_std) == [0.229, 0.224, 0.225]
    assert own.resample == Image.Resampling.BILINEAR


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((640, 480), (1066, 800)),
        ((480, 640), (800, 1066)),
        ((2000, 1000), (1333, 666)),
        ((500, 500), (800, 800)),
        ((2, 2000), (32, 1333)),
    ],
)
def test_the_resize_rule(size: Any, wanted: Any) -> None:
    assert input_size(size, 800, 1333) == wanted


@given(st.integers(30, 3000), st.integers(30, 3000))
@example(32, 1313)
@settings(max_examples=60, deadline=None)
def test_the_resize_rule_is_transformers_own(width: int, height: int) -> None:
    from transformers.image_transforms import get_size_with_aspect_ratio

    high, wide = get_size_with_aspect_ratio((height, width), 800, 1333)
    if min(high, wide) >= 32:
        assert input_size((width, height), 800, 1333) == (wide, high)


@pytest.mark.parametrize("shape", PICTURES.values(), ids=PICTURES)
def test_dino_pixels_are_the_processors_own(dino: GroundingDino, shape: Any) -> None:
    image = noise(*shape)
    own = dino._processor(image, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(dino._read(image)["pixel_values"], own)


def test_a_caption_is_lower_case_with_one_full_stop(dino: GroundingDino) -> None:
    assert caption("A Cat") == "a cat."
    assert caption(" the St. Bernard  on the left? ") == "the st bernard on the left."
    ids = dino._tokenizer(caption("The st. bernard"))["input_ids"]
    # the one delimiter that the model splits at stands at the end
    assert ids[0] == 101 and ids[-2:] == [1012, 102] and ids.count(1012) == 1


def test_sam3_input_is_half_and_half_in_a_square() -> None:
    """Sam3ImageProcessor: 1008 x 1008, bilinear, mean and deviation 0.5."""
    plain = SquareInput()
    assert (plain.side, plain.mean, plain.std) == (1008, (0.5,) * 3, (0.5,) * 3)
    assert SquareInput.from_dict({}) == plain
    image = blank(20, 30)
    image[:, 15:] = 255
    made = plain.prepare(image)
    assert made.shape == (1, 3, 1008, 1008) and made.dtype == np.float32
    assert made[..., 0].max() == -1 and made[..., -1].min() == 1


@pytest.mark.parametrize("shape", [(40, 90), (200, 64), (9, 7)])
def test_sam3_pixels_are_those_of_an_antialiased_tensor_resize(shape: Any) -> None:
    """What torchvision's `resize(antialias=True)` calls on uint8; at most a grey level apart."""
    image = noise(*shape)
    made = SquareInput(side=SIDE).prepare(image)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None]
    resized = torch.nn.functional.interpolate(
        tensor, size=(SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True
    )
    reference = (resized.float() / 255 - 0.5) / 0.5
    assert np.abs(made - reference.numpy()).max() <= 2 / 255 + 1e-6


def test_sam3_input_of_another_shape_is_refused(sam3: Sam3) -> None:
    with pytest.raises(GroundingError, match=r"size is \{'shortest_edge': 5\}; expected a square"):
        SquareInput.from_dict({"size": {"shortest_edge": 5}})
    with pytest.raises(GroundingError, match=r"squashes to 64, but the model takes .* of 56"):
        Sam3(sam3._model, sam3._tokenizer, SquareInput(64), BoxSegmenter())


# ------------------------------------------------------------------------------ geometry


@pytest.mark.parametrize("shape", PICTURES.values(), ids=PICTURES)
@pytest.mark.parametrize("proxy", [1536, 64])
def test_a_box_of_dino_comes_back_at_its_pixels(
    dino: GroundingDino, shape: Any, proxy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Centre, width and height in shares of the picture -> the picture's pixels, and its mask."""
    height, width = shape
    box = np.array([0.2 * width, 0.4 * height, 0.6 * width, 0.9 * height])

    class Model:
        config, device = dino._model.config, torch.device("cpu")
        model = dino._model.model

        def __call__(self, **inputs: Any) -> SimpleNamespace:
            logits = torch.full((1, 2, 32), -torch.inf)
            logits[0, :, 2] = torch.logit(torch.tensor([0.8, 0.1]))
            boxes = torch.tensor([[[0.4, 0.65, 0.4, 0.5], [0.5, 0.5, 1.0, 1.0]]])
            return SimpleNamespace(logits=logits, pred_boxes=boxes)

    finder = dino.using(dino.settings_from({"refine": False, "proxy": proxy}))
    seen = finder.look(noise(*shape))
    monkeypatch.setattr(finder, "_model", Model())
    found = finder.ground(seen, "a cup")
    assert found.status == "found" and found.size_wh == (width, height)
    np.testing.assert_allclose(found.detection, box, atol=1e-3)
    np.testing.assert_allclose(found.box, box, atol=1.6)  # a cell of the segmenter's 128
    assert found.score == pytest.approx(0.8, abs=1e-6) and found.candidates == ()
    rows, columns = np.nonzero(found.map > 0.9)
    assert columns.mean() == pytest.approx(box[[0, 2]].mean() - 0.5, abs=1.5)
    assert rows.mean() == pytest.approx(box[[1, 3]].mean() - 0.5, abs=1.5)


@pytest.mark.parametrize("shape", PICTURES.values(), ids=PICTURES)
@pytest.mark.parametrize("proxy", [1536, 64])
def test_box_and_mask_of_sam3_come_back_at_their_pixels(
    sam3: Sam3, shape: Any, proxy: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    height, width = shape
    masks = torch.full((1, 1, 20, 20), -9.0)
    masks[0, 0, 8:18, 4:12] = 9.0  # y .4 to .9, x .2 to .6

    class Model:
        config, device = sam3._model.config, torch.device("cpu")

        def __call__(self, **inputs: Any) -> SimpleNamespace:
            return SimpleNamespace(
                pred_logits=torch.logit(torch.tensor([[0.9]])),
                presence_logits=torch.logit(torch.tensor([[0.8]])),
                pred_boxes=torch.tensor([[[0.2, 0.4, 0.6, 0.9]]]),
                pred_masks=masks,
            )

    finder = sam3.using(sam3.settings_from({"refine": False, "proxy": proxy}))
    seen = finder.look(noise(*shape))
    monkeypatch.setattr(finder, "_model", Model())
    found = finder.ground(seen, "cup")
    box = np.array([0.2 * width, 0.4 * height, 0.6 * width, 0.9 * height])
    np.testing.assert_allclose(found.detection, box, atol=1e-3)
    np.testing.assert_allclose(found.box, box, atol=1.0)
    assert found.score == pytest.approx(0.72, abs=1e-6) and found.status == "found"
    assert "embed" not in found.timings  # found without the segmenter


def test_corners() -> None:
    assert corners(np.array([[0.5, 0.4, 0.2, 0.6]])).tolist()[0] == pytest.approx(
        [0.4, 0.1, 0.6, 0.7]
    )


# ------------------------------------------------------------------------------ the answer

LEFT, RIGHT, TOP = (10, 40, 30, 80), (60, 40, 90, 80), (40, 2, 60, 20)


def test_absent_below_the_threshold_with_guesses() -> None:
    found = answer(Told((LEFT, 0.3), (RIGHT, 0.34), (TOP, 0.1), ((0, 0, 5, 5), 0.05)))
    assert found.status == "absent" and found.box is None and not found.mask.any()
    assert "score 0.34, needed 0.35" in found.reason
    assert [c.score for c in found.candidates] == [0.34, 0.3, 0.1]
    np.testing.assert_allclose(found.candidates[0].box, RIGHT)
    assert found.detection is None and found.presence == found.score == 0.34


def test_nothing_detected_is_absent_too() -> None:
    found = answer(Told())
    assert (found.status, found.score, found.candidates) == ("absent", 0.0, ())
    assert found.map.max() == 0


def test_ambiguous_when_scores_are_nearly_equal() -> None:
    found = answer(Told((LEFT, 0.8), (RIGHT, 0.75), (TOP, 0.4)))
    assert found.status == "ambiguous" and found.reason.startswith("2 places score nearly")
    np.testing.assert_allclose(found.box, LEFT, atol=1)
    assert [c.score for c in found.candidates] == [0.75, 0.4]  # several boxes, best first
    np.testing.assert_allclose([c.box for c in found.candidates], [RIGHT, TOP])
    assert all(c.mask.shape == (100, 100) and c.mask.any() for c in found.candidates)


def test_one_clear_place_among_several_is_found() -> None:
    found = answer(Told((TOP, 0.4), (LEFT, 0.8), (RIGHT, 0.6), ((0, 90, 9, 99), 0.34)))
    assert found.status == "found" and found.reason == "score 0.80 by Grounding DINO"
    assert [c.score for c in found.candidates] == [0.6, 0.4]  # not what is below the threshold


def test_repeats_and_parts_are_no_rivals() -> None:
    repeat, part = (10, 41, 30, 80), (12, 42, 20, 50)
    found = answer(Told((LEFT, 0.8), (repeat, 0.79), (part, 0.78)))
    assert found.status == "found" and found.candidates == ()


def test_uncertain_when_low_or_when_the_mask_is_elsewhere() -> None:
    assert answer(Told((LEFT, 0.4))).status == "uncertain"

    class Small(Told):
        def _drawn(self, seen: Any, found: Detections) -> Any:
            def draw(k: int, size: tuple[int, int]) -> np.ndarray:
                mask = np.zeros(size[::-1], bool)
                mask[50:55, 15:20] = True
                return mask

            return draw

    found = answer(Small((LEFT, 0.9)))
    assert found.status == "uncertain" and "does not fill its box" in found.reason


@pytest.mark.parametrize(("rows", "status"), [(20, "found"), (19, "uncertain")])
def test_a_mask_fills_its_box_from_an_iou_of_a_half(rows: int, status: str) -> None:
    class Part(Told):
        def _drawn(self, view: Any, found: Detections) -> Any:
            def draw(k: int, size: tuple[int, int]) -> np.ndarray:
                x0, y0, x1, _ = (int(v) for v in LEFT)
                mask = np.zeros(size[::-1], bool)
                mask[y0 : y0 + rows, x0:x1] = True
                return mask

            return draw

    assert LEFT[3] - LEFT[1] == 40
    assert answer(Part((LEFT, 0.9), refine=False)).status == status


def test_nothing_found_gives_three_guesses() -> None:
    weak = [((20 * k, 10, 20 * k + 15, 30), 0.3 - 0.01 * k) for k in range(4)]
    found = answer(Told(*weak))
    assert found.status == "absent" and len(found.candidates) == 3


def test_a_rival_scores_above_its_share_of_the_best() -> None:
    assert answer(Told((LEFT, 0.8), (RIGHT, 0.68))).status == "found"
    assert answer(Told((LEFT, 0.8), (RIGHT, 0.69))).status == "ambiguous"


def test_an_empty_mask_becomes_the_box() -> None:
    class Empty(Told):
        def _drawn(self, seen: Any, found: Detections) -> Any:
            return lambda k, size: np.zeros(size[::-1], bool)

    found = answer(Empty((LEFT, 0.9), (RIGHT, 0.5)))
    assert found.box == LEFT and found.mask.sum() == 20 * 40
    assert found.candidates[0].mask.any()


def test_what_lies_outside_or_is_no_number_is_left_out() -> None:
    found = answer(
        Told(
            ((-50, -50, -1, -1), 0.99),
            ((np.nan, 0, 5, 5), 0.98),
            ((80, 80, 300, 90), 0.7),
            (LEFT, np.nan),
        )
    )
    np.testing.assert_allclose(found.detection, (80, 80, 100, 90))
    assert found.status == "found" and found.candidates == ()


def test_the_map_holds_the_best_score_of_each_cell() -> None:
    found = answer(Told(((0, 0, 50, 100), 0.4), ((25, 0, 100, 50), 0.8)))
    cells = found.token_map
    assert cells.shape == (64, 64) and found.region == (0, 0, 100, 100)
    assert cells[60, 5] == np.float32(0.4) and cells[5, 20] == np.float32(0.8)
    assert cells[60, 60] == 0


def test_settings_choose_the_threshold_and_how_many_are_kept() -> None:
    many = [((10 * k, 10, 10 * k + 8, 30), 0.9 - 0.01 * k) for k in range(9)]
    found = answer(Told(*many, proposals={"keep": 4}))
    assert len(found.candidates) == 3
    assert answer(Told((LEFT, 0.3), absent_below=0.2, uncertain_below=0.25)).status == "found"
    finder = Told((LEFT, 0.3))
    forced = finder.using(finder.settings_from({"absent_below": 0.0}))
    assert answer(forced).found and answer(finder).status == "absent"


@pytest.mark.parametrize("name", ["dino", "sam3"])
@pytest.mark.parametrize("shape", [(1, 2000), (2000, 1), (1, 1), (3, 50), (3, 3)])
def test_no_picture_crashes(name: str, shape: Any, request: pytest.FixtureRequest) -> None:
    finder = request.getfixturevalue(name)
    finder = finder.using(finder.settings_from({"absent_below": 0.0}))
    found = answer(finder, noise(*shape))
    assert found.mask.shape == shape and (not found.found or found.mask.any())


# ------------------------------------------------------------------------------ refusals


def test_unknown_backend_suggests_a_near_one() -> None:
    with pytest.raises(GroundingError, match=r"'groundingdino' given \(did you mean 'grounding-d"):
        backend_class("groundingdino")


@pytest.mark.parametrize("name", ["grounding-dino", "sam3"])
def test_a_repository_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(GroundingError, match="'nobody/nothing'.*reachable or in the local cache"):
        backend_class(name).load("nobody/nothing", BoxSegmenter(), offline=True)


def test_another_models_folder_is_refused(dino_folder: Path, sam3_folder: Path) -> None:
    with pytest.raises(GroundingError, match=r"holds a 'sam3' model; Grounding DINO reads groun"):
        GroundingDino.load(sam3_folder, BoxSegmenter(), offline=True)
    with pytest.raises(GroundingError, match=r"holds a 'grounding-dino' model; SAM 3 reads sam3"):
        Sam3.load(dino_folder, BoxSegmenter(), offline=True)


def test_missing_weights_are_refused(sam3_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for file in sam3_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    del weights["text_projection.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(GroundingError, match=r"lacks 1 weights .*text_projection\.weight"):
        Sam3.load(tmp_path, BoxSegmenter(), offline=True)


def test_bad_phrases_are_refused(dino: GroundingDino, sam3: Sam3) -> None:
    for finder in (dino, sam3):
        seen = finder.look(blank())
        with pytest.raises(GroundingError, match="the phrase is empty"):
            finder.ground(seen, "  ")
        with pytest.raises(GroundingError, match=r"is \d+ tokens long; .* takes (32|12): shorten"):
            finder.ground(seen, "the red cup " * 20)
        with pytest.raises(GroundingError, match="is not whole text at character 6"):
            finder.ground(seen, "a cup\udce9")


def test_a_picture_read_while_another_thread_finds_is_its_own(dino: GroundingDino) -> None:
    """While a phrase is found, something else stands in the backbone's place."""
    from groundbrush.grounding.detectors.grounding_dino import _cached_backbone

    first, second = noise(40, 70), noise(50, 60)
    alone = dino._read(second)["levels"]
    with _cached_backbone(dino._model, dino._read(first)["levels"]):
        beside = dino._read(second)["levels"]
        # moved now, the backbone goes with the rest
        inside = {id(p) for p in dino._model.parameters()}
        assert {id(p) for p in dino._backbone.parameters()} <= inside
    for (one, _), (other, _) in zip(alone[0], beside[0], strict=True):
        torch.testing.assert_close(one, other)


def test_settings_without_effect_are_refused() -> None:
    with pytest.raises(GroundingError, match="grounding holds 'sigma', which has no effect with"):
        Sam3.settings_from({"sigma": 1.0})
    with pytest.raises(GroundingError, match="grounding.proposals holds 'peaks', which has no"):
        GroundingDino.settings_from({"proposals": {"peaks": 3}})


def test_heads_are_asked_for_in_vain(dino: GroundingDino) -> None:
    assert dino.lvlm.heads == () and dino.lvlm.unknown_words("flurble") == ()
    with pytest.raises(GroundingError, match="gives places, not attention maps"):
        dino.lvlm.read(None, ["a cup"], ())
