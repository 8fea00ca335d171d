"""Load the parts of a vision-language model: weights, tokenizer, image processor and family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ..errors import GroundingError
from ..families import Family, family_class
from .checkpoint import Checkpoint, loading
from .files import keep_layers
from .original import is_original, load_original
from .quantization import loading_options


@dataclass(frozen=True, eq=False)
class LoadedParts:
    """The parts of a checkpoint: the model, its tokenizer and image processor, its family."""

    model: nn.Module
    tokenizer: Any
    image_processor: Any
    family: type[Family]


def load_parts(
    source: Checkpoint,
    family: str,
    *,
    deepest_layer: int | None = None,
    vision: str | Sequence[str] | None = None,
    tokenizer: str | None = None,
    quantization: str | None = None,
) -> LoadedParts:
    """Load a checkpoint's model, tokenizer and image processor.

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
            return LoadedParts(*original, kind)
        config = source.config(kind.model_types, f"family {family!r}")
        words, processor = _load_processors(source, elsewhere)
        keep_layers(config, deepest_layer)
        loader = AutoModelForImageTextToText if deepest_layer is None else AutoModel
        model = source.weights(loader, config, **fewer_bits)
    return LoadedParts(model, words, processor, kind)


def load_family(
    path: str | Path,
    family: str,
    *,
    revision: str | None = None,
    tokenizer: str | None = None,
    **options: Any,
) -> Family:
    """A checkpoint's family alone, which reads phrases without weights and without the network.

    Parameters
    ----------
    path, family, revision, tokenizer : As for :func:`grounding.attention.load.load_lvlm`.
    **options : Its prompt, padding, query and tiles.

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
