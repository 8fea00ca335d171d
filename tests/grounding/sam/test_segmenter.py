"""Segmenting with a tiny real SamModel, and with the bundled one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from groundbrush.grounding.errors import GroundingError
from groundbrush.grounding.metrics import mask_iou
from groundbrush.grounding.sam.coordinates import SquareFrame
from groundbrush.grounding.sam.load import load_segmenter
from groundbrush.grounding.sam.segmenter import Segmenter
from hypothesis import given, settings
from hypothesis import strategies as st

BUNDLED = Path(__file__).parents[3] / "miniature" / "weights" / "segmenter"
SIDE = 64


def build_sam(seed: int = 0):
    from transformers import SamConfig, SamModel

    config = SamConfig(
        vision_config={
            "hidden_size": 16,
            "output_channels": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": SIDE,
            "patch_size": 8,
            "window_size": 4,
            "global_attn_indexes": [1],
            "num_pos_feats": 8,
            "mlp_dim": 32,
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": SIDE, "patch_size": 8},
        mask_decoder_config={
            "hidden_size": 16,
            "mlp_dim": 32,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
    )
    torch.manual_seed(seed)
    model = SamModel(config).eval()
    with torch.no_grad():  # large enough weights for a difference to show
        for name, weight in model.named_parameters():
            if "norm" not in name and "positional" not in name:
                weight.normal_(0, 0.3)
        for holder in (model.shared_image_embedding, model.prompt_encoder.shared_embedding):
            holder.positional_embedding.copy_(torch.linspace(-1, 1, 16).reshape(2, 8))
    return model


def build_processor(side: int = SIDE):
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    return SamImageProcessorPil(
        size={"longest_edge": side},
        pad_size={"height": side, "width": side},
        mask_size={"longest_edge": side // 2},
        mask_pad_size={"height": side // 2, "width": side // 2},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    where = tmp_path_factory.mktemp("tiny-sam")
    build_sam().save_pretrained(where)
    build_processor().save_pretrained(where)
    return where


@pytest.fixture(scope="module")
def segmenter(folder) -> Segmenter:
    return load_segmenter(folder, offline=True)


def random_image(height: int, width: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


# ------------------------------------------------------------------------------ the model


def test_reloading_changes_nothing(segmenter):
    image = random_image(48, 64)
    fresh = Segmenter(build_sam(), build_processor())
    ours = segmenter.predict(segmenter.embed(image), box=(5, 6, 40, 41))
    theirs = fresh.predict(fresh.embed(image), box=(5, 6, 40, 41))
    np.testing.assert_allclose(ours.logits, theirs.logits, atol=1e-6)
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-6)


@pytest.mark.parametrize("shape", [(48, 64), (90, 37), (31, 200), (64, 64), (20, 20)])
def test_masks_equal_the_librarys_full_call(segmenter, shape):
    """One embedding, our geometry = SamProcessor, one forward and post_process_masks."""
    from transformers import SamProcessor

    image, height, width = random_image(*shape), *shape
    box = [width * 0.1, height * 0.2, width * 0.7, height * 0.9]
    point = [width * 0.4, height * 0.5]
    processor = SamProcessor(build_processor())
    inputs = processor(image, input_boxes=[[box]], input_points=[[[point]]], return_tensors="pt")
    inputs = {k: v.float() if v.is_floating_point() else v for k, v in inputs.items()}
    sizes = inputs.pop("original_sizes"), inputs.pop("reshaped_input_sizes")
    labels = torch.ones(1, 1, 1)
    with torch.inference_mode():
        output = build_sam()(**inputs, input_labels=labels)
    expected = processor.image_processor.post_process_masks(output.pred_masks, *sizes)[0][0]

    found = segmenter.predict(segmenter.embed(image), box=box, points=[point])
    np.testing.assert_allclose(found.logits, output.pred_masks[0, 0].numpy(), atol=2e-4)
    assert found.masks.shape == (3, height, width)
    assert 0 < found.masks.mean() < 1
    assert (found.masks == expected.numpy()).mean() > 0.999


@pytest.mark.parametrize("thin", [1, 3])
def test_a_strip_keeps_its_colours(segmenter, thin, monkeypatch):
    """A processor that guesses takes three rows for three channels."""
    seen = []
    read = segmenter._model.get_image_embeddings
    monkeypatch.setattr(
        segmenter._model, "get_image_embeddings", lambda pixels: seen.append(pixels) or read(pixels)
    )
    side = segmenter.input_side
    red = np.full((thin, side, 3), (255, 0, 0), np.uint8)
    segmenter.embed(red)
    segmenter.embed(np.repeat(red, 20, axis=0))
    strip, band = (pixels[0, :, 0, :] for pixels in seen)
    assert torch.equal(strip, band)
    assert not seen[0][0, :, thin:].any()  # nothing but padding below


def test_boxes_at_once_equal_one_by_one(segmenter):
    embedding = segmenter.embed(random_image(50, 80))
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 40, (40, 2))  # more than one decoder pass holds
    boxes = np.concatenate([corners, corners + rng.uniform(4, 30, (40, 2))], 1)
    logits, scores = segmenter.prompt_logits(embedding, boxes=boxes)
    assert logits.shape[:2] == scores.shape == (40, 3)
    for i in (0, 31, 32, 39):
        alone = segmenter.predict(embedding, box=boxes[i])
        np.testing.assert_allclose(logits[i], alone.logits, atol=1e-4)
        np.testing.assert_allclose(scores[i], alone.scores, atol=1e-5)


def test_single_mask_is_the_decoders_own(segmenter):
    embedding = segmenter.embed(random_image(64, 64))
    one = segmenter.predict(embedding, box=(3, 3, 50, 50), multimask=False)
    three = segmenter.predict(embedding, box=(3, 3, 50, 50))
    assert len(one) == 1 and len(three) == 3
    assert np.abs(three.logits - one.logits).max((1, 2)).min() > 1e-3


def test_an_embedding_serves_many_prompts(segmenter):
    embedding = segmenter.embed(random_image(40, 64))
    first = segmenter.predict(embedding, points=[(10, 12)])
    segmenter.predict(embedding, box=(20, 3, 60, 39))
    again = segmenter.predict(embedding, points=[(10, 12)])
    np.testing.assert_array_equal(first.logits, again.logits)


def test_labels_and_mask_prompts_reach_the_model(segmenter):
    embedding = segmenter.embed(random_image(40, 64))
    here = segmenter.predict(embedding, points=[(10, 12), (40, 20)])
    not_here = segmenter.predict(embedding, points=[(10, 12), (40, 20)], labels=[1, 0])
    assert np.abs(here.logits - not_here.logits).max() > 1e-3
    plain = segmenter.predict(embedding, box=(2, 2, 30, 30))
    rough = np.zeros((40, 64), bool)
    rough[5:20, 5:20] = True
    guided = segmenter.predict(embedding, box=(2, 2, 30, 30), mask=rough)
    assert np.abs(plain.logits - guided.logits).max() > 1e-3
    # Logits of one round are the mask prompt of the next.
    again = segmenter.predict(embedding, mask=guided.logits[0])
    assert again.masks.shape == (3, 40, 64)


def test_prompt_logits_pair_boxes_with_points(segmenter):
    embedding = segmenter.embed(random_image(40, 64))
    boxes, points = [(2, 2, 30, 30), (10, 5, 60, 38)], [(9, 9), (50, 20)]
    logits, scores = segmenter.prompt_logits(embedding, boxes=boxes, points=points)
    assert logits.shape == (2, 3, 32, 32) and scores.shape == (2, 3)
    alone = segmenter.predict(embedding, box=boxes[1], points=points[1:])
    np.testing.assert_allclose(logits[1], alone.logits, atol=1e-4)
    with pytest.raises(GroundingError, match="2 boxes and 1 points"):
        segmenter.prompt_logits(embedding, boxes=boxes, points=points[:1])
    with pytest.raises(GroundingError, match="expected boxes or points"):
        segmenter.prompt_logits(embedding)


def test_masks_at_another_size(segmenter):
    embedding = segmenter.embed(random_image(60, 90))
    full = segmenter.predict(embedding, box=(5, 5, 70, 50))
    small = segmenter.predict(embedding, box=(5, 5, 70, 50), size_wh=(45, 30))
    assert small.masks.shape == (3, 30, 45)
    assert (full.masks[:, ::2, ::2] == small.masks).mean() > 0.8
    np.testing.assert_array_equal(
        segmenter.full_masks(embedding, small.logits[:1])[0], full.masks[0]
    )


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ({}, "no prompt"),
        ({"labels": [1]}, "points"),
        ({"box": (1, 2, 3)}, r"\(n, 4\)"),
        ({"box": (30, 5, 10, 9)}, "x0 < x1"),
        ({"box": (100, 5, 200, 9)}, "64 by 40"),
        ({"box": (1, 2, np.nan, 9)}, "x0 < x1"),
        ({"points": [(np.nan, 2)]}, "outside the picture"),
        ({"box": "all"}, "boxes are no numbers"),
        ({"points": [(1, 2), (3,)]}, "points are no numbers"),
        ({"points": []}, r"\(k, 2\)"),
        ({"points": [(1, 2, 3)]}, r"\(k, 2\)"),
        ({"points": [(70, 2)]}, "outside the picture"),
        ({"points": [(7, 2)], "labels": [1, 0]}, "for 1 points"),
        ({"points": [(7, 2)], "labels": [2]}, "0 \\(outside\\)"),
        ({"mask": np.zeros((3, 3), bool)}, r"expected bool \(40, 64\)"),
        ({"mask": np.zeros((40, 64), np.uint8)}, "uint8"),
        ({"box": (1, 1, 9, 9), "size_wh": (0, 4)}, "size_wh"),
    ],
)
def test_bad_prompts_are_named(segmenter, prompt, says):
    with pytest.raises(GroundingError, match=says):
        segmenter.predict(segmenter.embed(random_image(40, 64)), **prompt)


def test_logits_that_are_not_finite_are_refused(segmenter):
    embedding = segmenter.embed(random_image(40, 64))
    logits = np.full((segmenter.mask_side, segmenter.mask_side), np.nan, np.float32)
    with pytest.raises(GroundingError, match="finite float logits"):
        segmenter.predict(embedding, mask=logits)


@pytest.mark.parametrize(
    "image",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8), "a.png"],
)
def test_bad_images_are_named(segmenter, image):
    with pytest.raises(GroundingError, match=r"expected an \(H, W, 3\) uint8"):
        segmenter.embed(image)


def test_loading_says_what_is_wrong(folder, tmp_path):
    with pytest.raises(GroundingError, match="neither a folder nor a repository"):
        load_segmenter(tmp_path / "nothing")
    with pytest.raises(GroundingError, match="config.json"):
        load_segmenter(tmp_path)
    other = tmp_path / "clip"
    other.mkdir()
    (other / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(GroundingError, match="'clip' model"):
        load_segmenter(other)
    pickled = tmp_path / "pickled"
    shutil.copytree(folder, pickled)
    (pickled / "model.safetensors").unlink()
    torch.save(build_sam().state_dict(), pickled / "pytorch_model.bin")
    with pytest.raises(GroundingError, match="could not load"):
        load_segmenter(pickled)
    with pytest.raises(GroundingError, match="dtype"):
        load_segmenter(folder, dtype="int8")
    with pytest.raises(GroundingError, match="squares of 64"):
        Segmenter(build_sam(), build_processor(128))


def test_lost_weights_are_not_random(folder, tmp_path):
    from safetensors.torch import load_file, save_file

    torn = tmp_path / "torn"
    shutil.copytree(folder, torn)
    weights = load_file(torn / "model.safetensors")
    del weights["mask_decoder.iou_token.weight"]
    save_file(weights, torn / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(GroundingError, match="lacks 1 weights.*iou_token"):
        load_segmenter(torn)


# ------------------------------------------------------------------------------- geometry


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000))
def test_frame_matches_the_processor(width, height):
    frame = SquareFrame((width, height), 1024, 256)
    expected = build_processor(1024)._get_preprocess_shape((height, width), 1024)
    assert frame.input_wh == (max(1, expected[1]), max(1, expected[0]))
    corners = frame.boxes([(0, 0, width, height)])[0]
    np.testing.assert_allclose(corners, (0, 0, *frame.input_wh), rtol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 1000))
def test_mask_upsampling_equals_torch(width, height, seed):
    frame = SquareFrame((width, height), 64, 32)
    logits = np.random.default_rng(seed).normal(size=(32, 32)).astype(np.float32)
    processor = build_processor()
    expected = processor.post_process_masks(
        [torch.from_numpy(logits)[None, None]], [(height, width)], [frame.input_wh[::-1]]
    )[0][0, 0]
    differ = (frame.masks([logits])[0] != expected.numpy()).sum()
    assert differ <= 1 + 1e-3 * width * height  # logits within rounding of zero


def test_rows_in_bands_are_one_mask(monkeypatch):
    frame = SquareFrame((300, 200), 64, 32)
    logits = np.random.default_rng(1).normal(size=(32, 32)).astype(np.float32)
    whole = frame.masks([logits])[0]
    monkeypatch.setattr("groundbrush.grounding.sam.coordinates._BAND", 900)
    np.testing.assert_array_equal(frame.masks([logits])[0], whole)


def test_mask_prompt_lands_where_the_mask_is():
    frame = SquareFrame((80, 40), 64, 32)  # seen at 64x32, grid 32x16
    mask = np.zeros((40, 80), bool)
    mask[20:, 40:] = True
    logits = frame.mask_prompt(mask)
    assert (logits[8:16, 16:32] > 0).all()
    assert (logits > 0).sum() == 8 * 16
    # Bilinear upsampling rounds the corner itself off.
    assert np.argwhere(frame.masks([logits])[0] != mask).tolist() == [[20, 40]]


# ---------------------------------------------------------------------------- bundled model


@pytest.fixture(scope="module")
def bundled() -> Segmenter:
    if not (BUNDLED / "model.safetensors").exists():
        pytest.skip("the bundled segmenter has not been trained yet")
    return load_segmenter(BUNDLED, offline=True)


def test_bundled_segmenter_finds_heldout_objects(bundled):
    from groundbrush.miniature.scenes import compose

    boxes_iou, points_iou = [], []
    for seed in range(10):
        scene = compose("heldout", seed)
        embedding = bundled.embed(scene.image)
        for i in range(len(scene.objects)):
            truth = scene.mask(i)
            found = bundled.predict(embedding, box=scene.objects[i].box)
            boxes_iou.append(mask_iou(found.masks[found.best], truth))
            ys, xs = np.nonzero(truth)
            middle = np.argmin(np.hypot(xs - xs.mean(), ys - ys.mean()))
            spot = bundled.predict(embedding, points=[(xs[middle], ys[middle])])
            points_iou.append(mask_iou(spot.masks[spot.best], truth))
    assert np.mean(boxes_iou) > 0.7
    assert np.mean(points_iou) > 0.5
