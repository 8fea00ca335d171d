"""Original segment-anything checkpoints: sizes, names and masks of a tiny one."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import torch
from groundbrush.grounding.errors import GroundingError
from groundbrush.grounding.sam import load
from groundbrush.grounding.sam import original as meta
from groundbrush.grounding.sam.load import load_segmenter
from groundbrush.grounding.sam.original import convert_sam, sam_config


@pytest.fixture(scope="module")
def model():
    from transformers import (
        SamConfig,
        SamMaskDecoderConfig,
        SamModel,
        SamPromptEncoderConfig,
        SamVisionConfig,
    )

    torch.manual_seed(0)
    model = SamModel(
        SamConfig(
            vision_config=SamVisionConfig(
                hidden_size=16,
                output_channels=32,
                num_hidden_layers=3,
                num_attention_heads=2,
                image_size=64,
                patch_size=8,
                window_size=3,
                global_attn_indexes=[1],
                mlp_dim=40,
                num_pos_feats=16,
            ),
            prompt_encoder_config=SamPromptEncoderConfig(
                hidden_size=32, image_size=64, patch_size=8, mask_input_channels=4
            ),
            mask_decoder_config=SamMaskDecoderConfig(
                hidden_size=32, mlp_dim=48, iou_head_hidden_dim=24
            ),
        )
    ).eval()
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 or "pos" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return model


def original(state: dict) -> dict:
    """A `SamModel` state under the names of facebookresearch's segment-anything."""
    out = {}
    for name, value in state.items():
        if name.startswith("shared_image_embedding"):
            continue
        if "iou_prediction_head" in name or "hypernetworks" in name:
            # Three layers: the middle one is layers.0 here and layers.1 there.
            name = name.replace(".layers.0.", ".layers.1.").replace("proj_in", "layers.0")
            name = name.replace("proj_out", "layers.2")
        name = name.replace("vision_encoder.layers", "image_encoder.blocks")
        for new, old in [
            ("vision_encoder.patch_embed.projection", "image_encoder.patch_embed.proj"),
            ("vision_encoder.neck.conv1", "image_encoder.neck.0"),
            ("vision_encoder.neck.layer_norm1", "image_encoder.neck.1"),
            ("vision_encoder.neck.conv2", "image_encoder.neck.2"),
            ("vision_encoder.neck.layer_norm2", "image_encoder.neck.3"),
            ("vision_encoder.", "image_encoder."),
            (
                "shared_embedding.positional_embedding",
                "pe_layer.positional_encoding_gaussian_matrix",
            ),
            ("encoder.point_embed.", "encoder.point_embeddings."),
            ("mask_embed.conv1", "mask_downscaling.0"),
            ("mask_embed.layer_norm1", "mask_downscaling.1"),
            ("mask_embed.conv2", "mask_downscaling.3"),
            ("mask_embed.layer_norm2", "mask_downscaling.4"),
            ("mask_embed.conv3", "mask_downscaling.6"),
            ("upscale_conv1", "output_upscaling.0"),
            ("upscale_layer_norm", "output_upscaling.1"),
            ("upscale_conv2", "output_upscaling.3"),
            ("layer_norm_final_attn", "norm_final_attn"),
            ("layer_norm", "norm"),
        ]:
            name = name.replace(new, old)
        out[name] = value.clone()
    return out


@pytest.fixture
def checkpoint(model, tmp_path):
    state = original(model.state_dict())
    # As in the published files.
    assert {
        "image_encoder.pos_embed",
        "image_encoder.blocks.2.norm1.weight",
        "image_encoder.blocks.0.attn.rel_pos_h",
        "image_encoder.neck.3.bias",
        "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix",
        "prompt_encoder.mask_downscaling.6.weight",
        "prompt_encoder.not_a_point_embed.weight",
        "mask_decoder.transformer.layers.1.cross_attn_image_to_token.q_proj.weight",
        "mask_decoder.transformer.layers.0.norm4.weight",
        "mask_decoder.transformer.norm_final_attn.weight",
        "mask_decoder.output_hypernetworks_mlps.3.layers.1.weight",
        "mask_decoder.iou_prediction_head.layers.2.bias",
        "mask_decoder.output_upscaling.3.bias",
    } <= set(state)
    torch.save(state, tmp_path / "sam_tiny.pth")
    return tmp_path / "sam_tiny.pth"


def test_sizes_are_read_off_the_weights(model):
    config, own = sam_config(original(model.state_dict())), model.config
    for part, names in {
        "vision_config": "hidden_size output_channels num_hidden_layers num_attention_heads "
        "image_size patch_size window_size global_attn_indexes mlp_dim num_pos_feats",
        "prompt_encoder_config": "hidden_size image_size patch_size mask_input_channels",
        "mask_decoder_config": "hidden_size mlp_dim num_hidden_layers num_multimask_outputs "
        "attention_downsample_rate iou_head_depth iou_head_hidden_dim",
    }.items():
        for name in names.split():
            assert getattr(getattr(config, part), name) == getattr(getattr(own, part), name), name


def test_every_weight_finds_its_place(model):
    renamed, own = convert_sam(original(model.state_dict())), model.state_dict()
    assert renamed.keys() == own.keys()
    for name, value in own.items():
        torch.testing.assert_close(renamed[name], value, atol=0, rtol=0)


def test_masks_equal_those_of_the_model_it_came_from(model, checkpoint, tmp_path):
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    there = tmp_path / "saved"
    model.save_pretrained(there)
    SamImageProcessorPil(
        size={"longest_edge": 64}, pad_size={"height": 64, "width": 64}
    ).save_pretrained(there)
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    one, other = load_segmenter(checkpoint), load_segmenter(there)
    for prompt in ({"box": (5, 5, 30, 30)}, {"points": [[20, 20]], "labels": [1]}):
        a = one.predict(one.embed(image), **prompt)
        b = other.predict(other.embed(image), **prompt)
        np.testing.assert_allclose(a.logits, b.logits, atol=1e-5)
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-5)
        assert a.masks.shape == (3, 40, 60)


def test_masks_equal_those_of_the_original_package(model, checkpoint):
    """Where it is installed (it needs torchvision)."""
    pytest.importorskip("segment_anything", exc_type=ImportError)
    from segment_anything.modeling import (
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

    transformer = TwoWayTransformer(depth=2, embedding_dim=32, mlp_dim=48, num_heads=8)
    theirs = Sam(
        ImageEncoderViT(
            depth=3,
            embed_dim=16,
            img_size=64,
            mlp_ratio=2.5,
            num_heads=2,
            patch_size=8,
            norm_layer=lambda width: torch.nn.LayerNorm(width, eps=1e-6),
            qkv_bias=True,
            use_rel_pos=True,
            global_attn_indexes=[1],
            window_size=3,
            out_chans=32,
        ),
        PromptEncoder(32, (8, 8), (64, 64), 4),
        MaskDecoder(
            transformer_dim=32,
            transformer=transformer,
            num_multimask_outputs=3,
            iou_head_depth=3,
            iou_head_hidden_dim=24,
        ),
    ).eval()
    theirs.load_state_dict(torch.load(checkpoint, weights_only=True))
    ours = load_segmenter(checkpoint)._model
    pixels = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    box = torch.tensor([[[4.0, 6.0, 40.0, 50.0]]])
    with torch.inference_mode():
        features = theirs.image_encoder(pixels)
        sparse, dense = theirs.prompt_encoder(points=None, boxes=box[0], masks=None)
        masks, scores = theirs.mask_decoder(
            image_embeddings=features,
            image_pe=theirs.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
        mine = ours(pixel_values=pixels, input_boxes=box)
    assert masks.abs().max() > 1
    torch.testing.assert_close(mine.pred_masks[0, 0], masks[0], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(mine.iou_scores[0, 0], scores[0], atol=1e-4, rtol=1e-3)


def test_metas_predictor_gives_the_same_masks(checkpoint):
    """Where the package and the torchvision that it imports are installed."""
    pytest.importorskip("segment_anything", exc_type=ImportError)
    ours = load_segmenter(checkpoint)
    metas = load_segmenter(checkpoint, backend="segment-anything")
    assert (ours.title, metas.title) == ("SamModel", "Meta's predictor")
    image = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    box, points = (4, 5, 30, 35), [[12, 20], [40, 10]]
    for prompt in (
        {"box": box},
        {"points": points, "labels": [1, 0]},
        {"box": box, "points": points},
    ):
        a, b = (model.predict(model.embed(image), **prompt) for model in (ours, metas))
        assert b.masks.shape == (3, 40, 60)
        np.testing.assert_allclose(a.logits, b.logits, atol=0.05)
        np.testing.assert_allclose(a.scores, b.scores, atol=0.01)
    boxes = np.array([box, (10, 2, 50, 38)])
    for model in (ours, metas):
        together, _ = model.prompt_logits(model.embed(image), boxes=boxes)
        alone = model.predict(model.embed(image), box=boxes[1]).logits
        np.testing.assert_allclose(together[1], alone, atol=1e-4)


@pytest.mark.parametrize("there", [True, False])
def test_the_backend_is_metas_only_where_both_packages_are(checkpoint, monkeypatch, there):
    monkeypatch.setattr(load, "is_available", lambda: there)
    monkeypatch.setattr(load, "load_meta", lambda *_: "Meta's")
    chosen = load_segmenter(checkpoint, backend="segment-anything")
    assert (chosen == "Meta's") is there
    assert getattr(load_segmenter(checkpoint), "title", None) == "SamModel"
    with pytest.raises(GroundingError, match="backend 'sam' given; expected 'segment-anything'"):
        load_segmenter(checkpoint, backend="sam")


def test_a_torchvision_that_does_not_load_counts_as_missing(monkeypatch):
    monkeypatch.setattr(meta, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "segment_anything", None)  # importing it fails
    assert not meta.is_available()
    monkeypatch.setitem(sys.modules, "segment_anything", types.ModuleType("segment_anything"))
    assert meta.is_available()
    monkeypatch.setattr(meta, "find_spec", lambda name: None if name == "torchvision" else name)
    assert not meta.is_available()


def test_files_that_are_no_sam(checkpoint, tmp_path):
    with pytest.raises(GroundingError, match=r"nowhere\.pth is not there"):
        load_segmenter(tmp_path / "nowhere.pth")
    torch.save({"weight": torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(GroundingError, match="has no 'image_encoder.patch_embed.proj.weight'"):
        load_segmenter(tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("not a model")
    with pytest.raises(GroundingError, match=r"text\.pth cannot be read as weights"):
        load_segmenter(tmp_path / "text.pth")
    state = torch.load(checkpoint, weights_only=True)
    del state["mask_decoder.iou_token.weight"]
    state["mask_decoder.extra"] = torch.ones(1)
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(GroundingError, match="2 weights are missing, extra or of another size"):
        load_segmenter(tmp_path / "odd.pth")
