"""Load the parts of a vision-language model: weights, tokenizer, image processor and family.

Checkpoints in the original LLaVA layouts are renamed into transformers' classes: `llava_layout`
(LLaVA, ShareGPT4V, Yi-VL and InternVL-Chat-ViT-6B) and `mini_gemini_layout`. Weights are renamed
one by one and none is invented: a name without a counterpart is an error.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import GroundingError
from ..families import Family, family_class
from .checkpoint import Checkpoint, check_complete, loading
from .files import hub_folder, keep_layers
from .llava_layout import convert_llava, llava_parts
from .mini_gemini_layout import convert_mini_gemini, mini_gemini_parts


def is_original(config: Mapping[str, Any]) -> bool:
    """Whether a ``config.json`` is of an original LLaVA layout, whatever it calls itself.

    Examples
    --------
    >>> is_original({"model_type": "llava", "mm_vision_tower": "openai/clip-vit-large-patch14"})
    True
    """
    return "mm_vision_tower" in config


def load_original(
    source: Checkpoint,
    raw: Mapping[str, Any],
    deepest_layer: int | None = None,
    vision: str | Sequence[str] | None = None,
    tokenizer: str | None = None,
) -> tuple[nn.Module, Any, Any]:
    """Load a checkpoint of an original layout: model, tokenizer and image processor.

    Parameters
    ----------
    raw : Its ``config.json``.
    deepest_layer : Keep text layers up to this one (0-based); None = all.
    vision : Folder or repository of the vision tower, or of each; None = those that `raw` names.
    tokenizer : Folder or repository of a fast tokenizer; None = the checkpoint's own.

    Raises GroundingError when a tower is missing or a weight has no counterpart.
    """
    from transformers import AutoTokenizer

    where, offline = source.where, source.offline
    folder = hub_folder(where, offline=offline, revision=source.options["revision"])
    words = AutoTokenizer.from_pretrained(
        tokenizer or str(folder), local_files_only=offline, trust_remote_code=False
    )
    two = "mm_vision_tower_aux" in raw
    towers = (vision,) if isinstance(vision, str) else tuple(vision or ())
    if len(towers) not in (0, 1 + two):
        raise GroundingError(
            f"vision names {len(towers)} towers, {', '.join(towers)}; expected {1 + two} for "
            f"{where}{': the low and the high-resolution one' if two else ''}"
        )
    config, state, kind, processor = (mini_gemini_parts if two else llava_parts)(
        folder, raw, towers, offline=offline, image_token_id=words.unk_token_id or 0
    )
    keep_layers(config, deepest_layer)
    converted = (convert_mini_gemini if two else convert_llava)(state, config)
    del state
    model, info = kind.from_pretrained(
        None,
        config=config,
        state_dict=converted,
        dtype=source.dtype,
        output_loading_info=True,
        **source.streaming,
    )
    if info["unexpected_keys"]:
        raise GroundingError(
            f"{where} holds {len(info['unexpected_keys'])} weights without a place, first "
            f"{sorted(info['unexpected_keys'])[0]!r}; expected the layout of LLaVA, ShareGPT4V, "
            "Yi-VL, InternVL-Chat-ViT-6B or Mini-Gemini"
        )
    check_complete(source.given, info)
    return model.to(source.device), words, processor


def load_parts(
    source: Checkpoint,
    family: str,
    *,
    deepest_layer: int | None = None,
    vision: str | Sequence[str] | None = None,
    tokenizer: str | None = None,
    quantization: str | None = None,
) -> tuple[nn.Module, Any, Any, type[Family]]:
    """Load a checkpoint's model, tokenizer and image processor, and look up its family.

    `deepest_layer` loads text layers up to that one (0-based) and no language head. The other
    options are those of :func:`grounding.attention.load.load_lvlm`.

    Raises GroundingError when something is missing, unreadable or of another family.
    """
    kind = family_class(family)
    kind.register()
    fewer_bits = loading_options(quantization, source.dtype, source.device)
    elsewhere = tokenizer and str(Path(tokenizer).expanduser())
    with loading(source.given):
        from transformers import AutoModel, AutoModelForImageTextToText, PreTrainedConfig

        raw, _ = PreTrainedConfig.get_config_dict(source.where, **source.options)
        if is_original(raw):
            _check_original(source, raw, kind, quantization)
            original = load_original(source, raw, deepest_layer, vision, elsewhere)
            return *original, kind
        config = source.config(kind.model_types, f"family {family!r}")
        words, processor = _load_processors(source, elsewhere)
        keep_layers(config, deepest_layer)
        loader = AutoModelForImageTextToText if deepest_layer is None else AutoModel
        model = source.weights(loader, config, **fewer_bits)
    return model, words, processor, kind


def load_family(
    path: str | Path,
    family: str,
    *,
    revision: str | None = None,
    tokenizer: str | None = None,
    **options: Any,
) -> Family:
    """A checkpoint's family alone, which reads phrases without weights and without the network.

    Arguments as for :func:`grounding.attention.load.load_lvlm`; options are the prompt, padding,
    query and tiles.

    Raises GroundingError when config, tokenizer or image processor are not on this machine, for a
    model of another family, and for the original LLaVA layouts, because their config is made with
    the model.
    """
    kind = family_class(family)
    kind.register()
    source = Checkpoint.of(path, revision=revision, offline=True)
    with loading(path):
        from transformers import PreTrainedConfig

        raw, _ = PreTrainedConfig.get_config_dict(source.where, **source.options)
        held = str(raw.get("model_type"))
        if is_original(raw) or held not in kind.model_types:
            layout = "in its original layout" if is_original(raw) else f"of type {held!r}"
            raise GroundingError(
                f"{path} holds a model {layout}, of unknown vocabulary until it is loaded; "
                "expected "
                f"one of {', '.join(kind.model_types)} as save_pretrained writes it"
            )
        config = source.config(kind.model_types, f"family {family!r}")
        elsewhere = tokenizer and str(Path(tokenizer).expanduser())
        return kind(config, *_load_processors(source, elsewhere), **options)


def _load_processors(source: Checkpoint, tokenizer: str | None) -> tuple[Any, Any]:
    """The tokenizer, which may be in another folder or repository, and the image processor."""
    from transformers import AutoImageProcessor, AutoTokenizer

    elsewhere = {**source.options, "revision": None, "local_files_only": source.offline}
    at = tokenizer or source.where, elsewhere if tokenizer else source.options
    words = with_opening_token(AutoTokenizer.from_pretrained(at[0], **at[1]), *at)
    # PIL even where torchvision is installed: the two resize differently.
    return words, AutoImageProcessor.from_pretrained(source.where, backend="pil", **source.options)


def with_opening_token(words: Any, where: str, options: Mapping[str, Any]) -> Any:
    """A tokenizer that writes its opening token where its settings require one.

    transformers 5 loads a byte-level ``tokenizer.json`` with settings that name Llama's class
    (DeepSeek) without that class, which added the token; models were trained with it.
    """
    from transformers.models.auto.tokenization_auto import get_tokenizer_config

    settings = get_tokenizer_config(where, **options)
    llama = str(settings.get("tokenizer_class", "")).startswith("LlamaTokenizer")
    wanted = settings.get("add_bos_token", llama) and words.bos_token_id is not None
    if llama and wanted and words("a").input_ids[:1] != [words.bos_token_id]:
        words.add_bos_token = True
        words.update_post_processor()
    return words


def _check_original(
    source: Checkpoint, raw: Mapping[str, Any], kind: type[Family], quantization: str | None
) -> None:
    """Refuse the original layouts for families of other classes, quantised and spread."""
    where = source.where
    wanted = "mini_gemini" if "mm_vision_tower_aux" in raw else "llava"
    if wanted not in kind.model_types:
        name = {"llava": "LLaVA", "mini_gemini": "Mini-Gemini"}[wanted]
        raise GroundingError(
            f"{where} holds a model in the original {name} layout; family {kind.name!r} reads "
            f"{', '.join(kind.model_types)}: use family {wanted!r}"
        )
    for name, given in (("quantization", quantization), ("device_map", source.spread)):
        if not given:
            continue
        raise GroundingError(
            f"{name} is {given!r}, but {where} holds a model in its original "
            "layout, which is renamed as it loads; use one that save_pretrained wrote"
        )


KINDS = ("4bit",)
# Small, and what the map is read through: they keep their precision. Names of all families.
_KEPT = (
    "vision_tower",
    "vision_model",
    "visual",
    "multi_modal_projector",
    "connector",
    "aligner",
    "embed_tokens",
    "lm_head",
)


def loading_options(kind: str | None, dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """Arguments of ``from_pretrained`` that quantise the language model's weights.

    `kind` is "4bit" (NF4; Dettmers et al., "QLoRA", 2023), or None for none; `dtype` is that of
    computing and of the rest.

    Raises GroundingError for another kind, or where bitsandbytes is not installed.

    Examples
    --------
    >>> loading_options(None, torch.float16, torch.device("cpu"))
    {}
    """
    if kind is None:
        return {}
    if kind not in KINDS:
        raise GroundingError(f"quantization is {kind!r}; expected {KINDS[0]!r}, or leave it out")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise GroundingError(
            "quantization '4bit' needs the package bitsandbytes, which is not installed; expected "
            "it for weights in 4 bits. Install it with: pip install 'groundbrush[quantized]'"
        )
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_use_double_quant=True,
        # Matched from the start of a layer's full name, which has "model." and more before these.
        llm_int8_skip_modules=[f".*{name}" for name in _KEPT],
    )
    return {"quantization_config": config, "device_map": {"": device}}
