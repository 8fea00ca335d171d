"""A tiny random model of every family, saved as `save_pretrained` saves it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = (
    "a picture : . red blue cup dog left of the is there ? yes no big chair user assistant".split()
)
IMAGE = 32  # side of a view
ODD = 38  # 4 patches of 8 and a rest
TEXT = dict(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=4096,
    pad_token_id=0,
    bos_token_id=2,
    eos_token_id=3,
)
TOWER = dict(
    hidden_size=16,
    intermediate_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    image_size=IMAGE,
    patch_size=8,
)
TOKENS = {
    "llava": ["<image>"],
    "mini_gemini": ["<image>", "<start_of_turn>", "<end_of_turn>"],
    "llava_next": ["<image>"],
    "llava_onevision": ["<image>", "<|im_start|>", "<|im_end|>"],
    "qwen": ["<|image_pad|>", "<|vision_start|>", "<|vision_end|>", "<|im_start|>", "<|im_end|>"],
    "internvl": ["<IMG_CONTEXT>", "<img>", "</img>", "<|im_start|>", "<|im_end|>"],
    "deepseek_vl": ["<image_placeholder>"],
    "idefics3": [
        "<image>",
        "<fake_token_around_image>",
        "<global-img>",
        "<end_of_utterance>",
        *(f"<row_{r}_col_{c}>" for r in range(1, 5) for c in range(1, 5)),
    ],
    "paligemma": ["<image>"],
    "gemma3": [
        "<image_soft_token>",
        "<start_of_image>",
        "<end_of_image>",
        "<start_of_turn>",
        "<end_of_turn>",
    ],
}
SAME_TOKENS = {
    "smolvlm": "idefics3",
    "deepseek_vl_hybrid": "deepseek_vl",
    "paligemma2": "paligemma",
    "qwen2_vl": "qwen",
    "qwen2_5_vl": "qwen",
    "qwen3_vl": "qwen",
}


def tokens_of(name: str) -> list[str]:
    name = name.removesuffix("_odd")
    own = TOKENS[SAME_TOKENS.get(name, name)]
    return [*own, "<|im_start|>"] if name == "smolvlm" else own


def build_tokenizer(name: str) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "<bos>", "<eos>", *tokens_of(name)]
    vocabulary = {word: i for i, word in enumerate(special + WORDS)}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    if "qwen" not in name:
        core.post_processor = processors.TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", vocabulary["<bos>"])]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="[PAD]",
        unk_token="[UNK]",
        bos_token="<bos>",
        eos_token="<eos>",
        additional_special_tokens=tokens_of(name),
    )


def build_processor(name: str) -> Any:
    name = name.removesuffix("_odd")
    import transformers.models as m
    from transformers import AutoImageProcessor  # noqa: F401  (initialises the lazy module)

    square = {"height": IMAGE, "width": IMAGE}
    if name in ("llava", "mini_gemini"):
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

        return CLIPImageProcessorPil(size={"shortest_edge": IMAGE}, crop_size=square)
    if name == "llava_next":
        cls = m.llava_next.image_processing_pil_llava_next.LlavaNextImageProcessorPil
        return cls(size={"shortest_edge": IMAGE}, crop_size=square, image_grid_pinpoints=PINPOINTS)
    if name == "llava_onevision":
        cls = m.llava_onevision.image_processing_pil_llava_onevision.LlavaOnevisionImageProcessorPil
        return cls(size=square, image_grid_pinpoints=PINPOINTS)
    if "qwen" in name:
        cls = m.qwen2_vl.image_processing_pil_qwen2_vl.Qwen2VLImageProcessorPil
        return cls(patch_size=4, merge_size=2, temporal_patch_size=2)
    if name == "internvl":
        cls = m.got_ocr2.image_processing_pil_got_ocr2.GotOcr2ImageProcessorPil
        return cls(size=square, crop_to_patches=True)
    if name == "deepseek_vl":
        cls = m.deepseek_vl.image_processing_pil_deepseek_vl.DeepseekVLImageProcessorPil
        return cls(size=square, min_size=4)
    if name == "deepseek_vl_hybrid":
        own = m.deepseek_vl_hybrid.image_processing_pil_deepseek_vl_hybrid
        return own.DeepseekVLHybridImageProcessorPil(
            size=square, min_size=4, high_res_size={"height": 64, "width": 64}
        )
    if name == "idefics3":
        return m.idefics3.image_processing_pil_idefics3.Idefics3ImageProcessorPil(
            size={"longest_edge": 4 * IMAGE}, max_image_size={"longest_edge": IMAGE}
        )
    if name == "smolvlm":
        return m.smolvlm.image_processing_pil_smolvlm.SmolVLMImageProcessorPil(
            size={"longest_edge": 4 * IMAGE}, max_image_size={"longest_edge": IMAGE}
        )
    if name == "gemma3":
        cls = m.gemma3.image_processing_pil_gemma3.Gemma3ImageProcessorPil
        return cls(
            size=square,
            do_pan_and_scan=True,
            pan_and_scan_min_crop_size=8,
            pan_and_scan_max_num_crops=4,
            pan_and_scan_min_ratio_to_activate=1.2,
        )
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    return SiglipImageProcessorPil(size=square)


PINPOINTS = [[IMAGE, 2 * IMAGE], [2 * IMAGE, IMAGE], [2 * IMAGE, 2 * IMAGE], [IMAGE, 3 * IMAGE]]


def build_config(name: str) -> Any:
    """Config of a tiny model; `odd` towers' sides are no whole number of patches, as SigLIP's."""
    if name.endswith("_odd"):
        return build_odd_config(name)
    import transformers as t

    image_token = 4
    text = dict(TEXT, vocab_size=4 + len(tokens_of(name)) + len(WORDS))
    common = dict(image_token_id=image_token, tie_word_embeddings=False)
    siglip = t.SiglipVisionConfig(**TOWER, vision_use_head=False)
    if name in ("llava", "llava_next"):
        tower = t.CLIPVisionConfig(**TOWER, projection_dim=16)
        more = dict(image_grid_pinpoints=PINPOINTS) if name == "llava_next" else {}
        cls = t.LlavaConfig if name == "llava" else t.LlavaNextConfig
        return cls(
            vision_config=tower,
            text_config=t.LlamaConfig(**text),
            image_token_index=image_token,
            image_seq_length=16,
            **more,
        )
    if name == "mini_gemini":
        from groundbrush.grounding.families.mini_gemini_model import MiniGeminiConfig

        fine = t.ConvNextConfig(
            hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 2, 1], layer_scale_init_value=0.5
        )
        return MiniGeminiConfig(
            vision_config=t.CLIPVisionConfig(**TOWER),
            text_config=t.GemmaConfig(**text),
            high_res_config=fine,
            high_res_size=2 * IMAGE,
            image_token_index=image_token,
        )
    if name == "llava_onevision":
        return t.LlavaOnevisionConfig(
            vision_config=siglip,
            text_config=t.Qwen2Config(**text),
            image_token_index=image_token,
            video_token_index=1,
            image_grid_pinpoints=PINPOINTS,
            vision_aspect_ratio="anyres_max_2",
        )
    if "qwen" in name:
        return build_qwen(name, text, common)
    if name == "internvl":
        tower = t.InternVLVisionConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=[IMAGE, IMAGE],
            patch_size=[4, 4],
        )
        return t.InternVLConfig(
            vision_config=tower, text_config=t.Qwen2Config(**text), image_seq_length=16, **common
        )
    if name == "deepseek_vl":
        return t.DeepseekVLConfig(vision_config=siglip, text_config=t.LlamaConfig(**text), **common)
    if name == "deepseek_vl_hybrid":
        fine = t.SamVisionConfig(
            hidden_size=16,
            output_channels=8,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=64,
            patch_size=8,
            window_size=4,
            global_attn_indexes=[1],
            mlp_dim=32,
        )
        return t.DeepseekVLHybridConfig(
            vision_config=siglip,
            high_res_vision_config=fine,
            text_config=t.LlamaConfig(**text),
            **common,
        )
    if name in ("idefics3", "smolvlm"):
        own = dict(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=IMAGE,
            patch_size=4,
        )
        if name == "idefics3":
            return t.Idefics3Config(
                vision_config=own,
                text_config=t.LlamaConfig(**text),
                scale_factor=2,
                pad_token_id=0,
                **common,
            )
        return t.SmolVLMConfig(
            vision_config=own,
            text_config=t.LlamaConfig(**text),
            scale_factor=2,
            pad_token_id=0,
            **common,
        )
    if name == "paligemma":
        return t.PaliGemmaConfig(
            vision_config=siglip,
            text_config=t.GemmaConfig(**text),
            projection_dim=32,
            hidden_size=32,
            image_token_index=image_token,
        )
    if name == "paligemma2":
        capped = t.Gemma2Config(
            **text, attn_logit_softcapping=2.0, query_pre_attn_scalar=8, sliding_window=64
        )
        return t.PaliGemmaConfig(
            vision_config=siglip,
            text_config=capped,
            projection_dim=32,
            hidden_size=32,
            image_token_index=image_token,
        )
    if name == "gemma3":
        # The first layer's window is shorter than the prompt, so that an error in it would show.
        own = t.Gemma3TextConfig(
            **text,
            sliding_window=12,
            query_pre_attn_scalar=8,
            layer_types=["sliding_attention", "full_attention"],
        )
        tower = t.SiglipVisionConfig(**{**TOWER, "patch_size": 4}, vision_use_head=False)
        return t.Gemma3Config(
            vision_config=tower,
            text_config=own,
            mm_tokens_per_image=16,
            image_token_index=image_token,
            boi_token_index=5,
            eoi_token_index=6,
        )
    raise KeyError(name)


def build_odd_config(name: str) -> Any:
    config = build_config(name.removesuffix("_odd"))
    if name == "smolvlm_odd":  # 9 of 4 pixels, 3 x 3 of them a token
        config.vision_config.image_size, config.scale_factor = ODD, 3
    else:
        config.vision_config.image_size = ODD
        config.image_grid_pinpoints = [[h // IMAGE * ODD, w // IMAGE * ODD] for h, w in PINPOINTS]
    return config


def build_qwen(name: str, text: dict, common: dict) -> Any:
    import transformers as t

    text = dict(
        text,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]},
    )
    common = dict(common, video_token_id=1, vision_start_token_id=5, vision_end_token_id=6)
    patches = dict(patch_size=4, spatial_merge_size=2, temporal_patch_size=2, num_heads=2, depth=2)
    if name == "qwen2_vl":
        tower = dict(patches, embed_dim=16, hidden_size=32, mlp_ratio=2)
        return t.Qwen2VLConfig(vision_config=tower, text_config=text, **common)
    if name == "qwen2_5_vl":
        tower = dict(
            patches,
            hidden_size=16,
            out_hidden_size=32,
            intermediate_size=32,
            window_size=32,
            fullatt_block_indexes=[1],
        )
        return t.Qwen2_5_VLConfig(vision_config=tower, text_config=text, **common)
    tower = dict(
        patches,
        hidden_size=16,
        out_hidden_size=32,
        intermediate_size=32,
        num_position_embeddings=64,
        deepstack_visual_indexes=[0],
    )
    return t.Qwen3VLConfig(vision_config=tower, text_config=text, **common)


def build_model(name: str, seed: int = 0) -> Any:
    import torch
    from groundbrush.grounding.families import FAMILIES
    from transformers import AutoModelForImageTextToText

    if name in FAMILIES:
        FAMILIES[name].register()
    torch.manual_seed(seed)
    model = AutoModelForImageTextToText.from_config(build_config(name)).eval()
    with torch.no_grad():
        # Attention peaked enough for an error to show.
        for key, weight in model.named_parameters():
            if "norm" not in key and weight.dim() > 1:
                weight.normal_(0, 0.3)
    return model


def save_family(name: str, folder: Path) -> Path:
    build_model(name).save_pretrained(folder)
    build_tokenizer(name).save_pretrained(folder)
    build_processor(name).save_pretrained(folder)
    return folder
