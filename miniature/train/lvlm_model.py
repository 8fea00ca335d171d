"""The miniature LVLM: a real ``LlavaForConditionalGeneration``, its losses and its early signs."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from ...grounding.attention.capture import RowRequest, attach, capture
from .lvlm_data import GRID, IGNORE, MEAN, PATCH, PREFIX, SIDE, STD, Packed, label_groups
from .price import priced

LAYERS, HEADS, WIDTH = 8, 12, 192


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlavaForConditionalGeneration:
    """Random weights: CLIP tower 4 x 192, projector, Llama of 8 layers x 12 heads, 24 x 24 grid.

    Word embeddings are tied to the output so that a patch labelled with a word, the word read and
    the word said share one space. The long rotary base keeps matching by content possible at any
    distance within a picture.
    """
    vision = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=4,
        num_attention_heads=6,
        image_size=SIDE,
        patch_size=PATCH,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        image_seq_length=GRID * GRID,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        tie_word_embeddings=True,
    )
    model = LlavaForConditionalGeneration(config)
    nn.init.normal_(model.get_input_embeddings().weight, std=0.07)
    model.tie_weights()
    with torch.no_grad():
        model.model.vision_tower.embeddings.position_embedding.weight[1:] = _places()
    return model


def _places() -> Tensor:
    """Sines and cosines of row and column, ``(GRID * GRID, WIDTH)``: CLIP's own start (deviation
    0.02 beside patches of deviation 1) leaves position unlearned for thousands of steps."""
    waves = torch.logspace(0, -1.5, WIDTH // 4)
    rows, columns = torch.arange(GRID).repeat_interleave(GRID), torch.arange(GRID).repeat(GRID)
    angles = [axis[:, None] * waves for axis in (rows, columns)]
    return 0.5 * torch.cat([f(a) for a in angles for f in (torch.sin, torch.cos)], 1)


def image_features(model: LlavaForConditionalGeneration, pixels: Tensor) -> Tensor:
    """Projected patches ``(B, GRID * GRID, WIDTH)``, as the language model receives them."""
    hidden = model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-1]
    return model.model.multi_modal_projector(hidden[:, 1:])


class PatchWords(nn.Module):
    """Scores a projected patch against the word embeddings of each label group.

    It stands in for CLIP's pretraining: afterwards patches and the words for them are near each
    other. Exact row and column are read by throw-away linear heads, so that position survives.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        super().__init__()
        self.groups = [tokenizer.convert_tokens_to_ids(list(w)) for w in label_groups().values()]
        self.bias = nn.ParameterList([nn.Parameter(torch.zeros(len(g))) for g in self.groups])
        self.place = nn.Linear(WIDTH, 2 * GRID)
        cells = torch.arange(GRID * GRID)
        self.register_buffer("cells", torch.stack([cells // GRID, cells % GRID]))

    def forward(self, features: Tensor, words: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Loss by group and the share of patches with the right thing, on and off objects."""
        losses, out = [], {}
        for k, (name, group) in enumerate(zip(label_groups(), self.groups, strict=True)):
            scores = features @ words[group].T + self.bias[k]
            target = labels[..., k]
            weight = torch.ones(len(group), device=features.device)
            if name == "thing":  # nine patches of ten are background
                weight[0] = 0.3
            losses.append(F.cross_entropy(scores.flatten(0, 1), target.flatten(), weight=weight))
            if name in ("thing", "colour", "size"):
                on = target > 0 if name == "thing" else target >= 0
                out[name] = (scores.argmax(-1) == target)[on].float().mean()
                if name == "thing":
                    out["nothing"] = (scores.argmax(-1) == 0)[target == 0].float().mean()
        place = self.place(features).unflatten(-1, (2, GRID))
        for axis in range(2):
            truth = self.cells[axis].expand(len(features), -1)
            losses.append(0.3 * F.cross_entropy(place[..., axis, :].flatten(0, 1), truth.flatten()))
            out[("row", "col")[axis]] = (place[..., axis, :].argmax(-1) == truth).float().mean()
        return {"loss": torch.stack(losses).sum(), **out}


def packed_mask(segment: Tensor, prefix: int, kept: Tensor, total: int) -> tuple[Tensor, Tensor]:
    """Additive mask ``(B, 1, S, S)`` and image positions of a packed batch.

    ``S = prefix + kept image tokens + T``: causal over the prefix and picture; a word sees both
    and the earlier words of its own exchange.
    """
    batch, words = segment.shape
    front = prefix + kept.shape[1]
    size = front + words
    allowed = torch.ones(size, size, dtype=torch.bool, device=segment.device)
    allowed = allowed.tril().repeat(batch, 1, 1)
    same = segment[:, :, None] == segment[:, None, :]
    allowed[:, front:, front:] &= same
    mask = torch.zeros(batch, 1, size, size, device=segment.device)
    mask.masked_fill_(~allowed[:, None], -1e9)
    head = torch.arange(prefix, device=segment.device).expand(batch, -1)
    return mask, torch.cat([head, prefix + kept], 1)


def language_loss(
    model: LlavaForConditionalGeneration,
    features: Tensor,
    batch: Packed,
    prefix_ids: list[int],
    keep: int,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean loss and accuracy of the answers' words with `keep` of the image tokens shown, and the
    mean share of the words' attention that went to the picture.

    `features` are the batch's projected patches, of :func:`image_features`.
    """
    count = features.shape[1]
    # Of a thing three cells large, few would be left: cells with anything on them go last, those
    # of the padding (which have no row) first.
    chance, labels = torch.rand(len(features), count, generator=generator), batch.labels.cpu()
    chance = torch.where(labels[..., 0] == 0, chance, 0.4 * chance)
    chance = torch.where(labels[..., 4] == IGNORE, chance + 0.5, chance)
    kept = chance.argsort(1)[:, :keep].sort(1).values.to(model.device)
    shown = features.gather(1, kept[..., None].expand(-1, -1, features.shape[-1]))
    embed = model.get_input_embeddings()
    prefix = embed(torch.tensor(prefix_ids, device=model.device)).expand(len(features), -1, -1)
    mask, front = packed_mask(batch.segment, len(prefix_ids), kept, count)
    positions = torch.cat([front, len(prefix_ids) + count + batch.offset], 1)
    picture = torch.zeros(mask.shape[-1], device=model.device)
    picture[len(prefix_ids) : front.shape[1]] = 1
    with priced(model.model.language_model, picture) as ledger:
        out = model.model.language_model(
            inputs_embeds=torch.cat([prefix, shown, embed(batch.ids)], 1),
            attention_mask=mask,
            position_ids=positions,
            use_cache=False,
        ).last_hidden_state[:, front.shape[1] :]
    asked = batch.targets != IGNORE
    scores, truth = model.lm_head(out[asked]), batch.targets[asked]
    right = (scores.argmax(-1) == truth).float().mean()
    return F.cross_entropy(scores, truth), right, ledger.mean(batch.segment >= 0)


def prefix_ids(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """Token ids of what stands before the picture, the beginning-of-text token included."""
    return list(tokenizer(PREFIX)["input_ids"])


@torch.no_grad()
def query_rows(
    model: LlavaForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    pixels: Tensor,
    phrases: list[str],
) -> tuple[Tensor, list[str]]:
    """Rows ``(N, L, H, GRID, GRID)`` of the full stop after each phrase over one picture, and the
    first word of the model's answer."""
    attach(model)
    head = prefix_ids(tokenizer)
    image = [model.config.image_token_id] * GRID**2
    rows, answers = [], []
    for phrase in phrases:
        ids = head + image + tokenizer(f"{phrase} .", add_special_tokens=False)["input_ids"]
        request = RowRequest(
            dict.fromkeys(range(LAYERS)), keys=slice(len(head), len(head) + GRID**2), stop=False
        )
        with capture(request) as found:
            scores = model(
                input_ids=torch.tensor([ids], device=model.device),
                pixel_values=pixels.to(model.device),
                use_cache=False,
            )
        rows.append(
            torch.stack([found[k][0].cpu() for k in range(LAYERS)]).unflatten(-1, (GRID, GRID))
        )
        answers.append(tokenizer.decode(scores.logits[0, -1].argmax()))
    return torch.stack(rows), answers


def export(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, out: Path
) -> None:
    """Save model (fp16 safetensors), tokenizer and image processor as transformers does."""
    images = CLIPImageProcessor(
        size={"height": SIDE, "width": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        do_center_crop=False,
        image_mean=[MEAN] * 3,
        image_std=[STD] * 3,
    )
    processor = LlavaProcessor(
        images,
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
    )
    model.generation_config = GenerationConfig(
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    before = next(model.parameters()).dtype
    model.half().save_pretrained(out)
    model.to(before)
    processor.save_pretrained(out)
