"""Tokenise prompts with one picture so that everything before the phrase is shared.

All families write "head, picture, text with the phrase". The split is made right after the
picture, never further on: a tokenizer may merge a later separator with the
phrase's first letters, but never anything with the image placeholder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from unicodedata import category

from ..errors import GroundingError

_STOPS = " .…。．｡।۔"  # of several scripts, and the space before one
_IMAGE = "<image>"
_PHRASE = "{phrase}"
_Encoding = tuple[list[int], list[tuple[int, int]]]


QUERY_MODES = ("stop", "expression", "prompt")
"""The query token: the full stop that ends the expression (Kang et al., CVPR 2025, Sec. 3: "in the
sentence 'the pizza mouth.' ... the last token [.]"), the expression's last word piece, or the last
token of the whole prompt (the public code)."""


@dataclass(frozen=True)
class TokenizedPrompt:
    """A tokenised prompt for one phrase.

    Parameters
    ----------
    ids : Token ids, image tokens expanded.
    expression : First and one-past-last position of the expression's tokens.
    offsets : For each expression token, its characters in `phrase`, half-open.
    query : Position of the query token, which attention is read from.
    phrase : The phrase as tokenised (white space tidied).
    """

    ids: tuple[int, ...]
    expression: tuple[int, int]
    offsets: tuple[tuple[int, int], ...]
    query: int
    phrase: str


class PromptBuilder:
    """Turns a phrase into a :class:`TokenizedPrompt` with `image_length` image tokens in it.

    Parameters
    ----------
    tokenizer : A fast transformers tokenizer (character offsets are needed).
    template : The grounding prompt with ``<image>`` once and, after it, ``{phrase}`` once.
    image_token_id : The id the model replaces by image features.
    image_length : How many of them the picture takes.
    query : One of :data:`QUERY_MODES`. With ``"stop"`` a full stop is written after the phrase
        where the template has none, and is always a token of its own.
    image_token : The token that is repeated, as text.
    picture : What the family writes for a picture, with `image_token` once, e.g.
        ``"<|vision_start|><|image_pad|><|vision_end|>"``; ``<image>`` in templates stands for it.
        None = `image_token` alone.
    special : Whether the tokenizer adds its own opening token.

    Raises GroundingError for a template, tokenizer or query mode it cannot work with.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        template: str,
        image_token_id: int,
        image_length: int,
        query: str = "stop",
        image_token: str = _IMAGE,
        picture: str | None = None,
        special: bool = True,
    ) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise GroundingError(
                f"{type(tokenizer).__name__} gives no character offsets; expected a fast "
                "tokenizer: add a tokenizer.json to the model's folder"
            )
        if query not in QUERY_MODES:
            raise GroundingError(f"query={query!r}; expected one of {', '.join(QUERY_MODES)}")
        self.tokenizer = tokenizer
        self.image_token = image_token
        self.picture = image_token if picture is None else picture
        self.special = special
        self.image_token_id = image_token_id
        self.image_length = image_length
        self.query = query
        # By id: a tokenizer returns the unknown token for a name that it does not know.
        self._whole = tokenizer.convert_ids_to_tokens(image_token_id) == image_token
        self.template = self._checked(template)
        head, tail = self.template.split(image_token)
        self._opening = head + image_token
        # What closes the picture is no part of the prefix: it would add nothing to it.
        after = tail.removeprefix(self.picture.partition(image_token)[2])
        self._gap = tail[: len(tail) - len(after.lstrip())]
        self.prefix_ids = tuple(self._expand(*self._encode(self._opening))[0])
        self.image_start = self.prefix_ids.index(image_token_id)

    def full_template(self, template: str | None) -> str:
        """The template with its opening: as given if it holds the picture, else continued."""
        if template is None:
            return self.template
        if _IMAGE not in template and self.image_token not in template:
            return self._checked(self._opening + self._gap + template)
        template = self._checked(template)
        if not template.startswith(self._opening):
            raise GroundingError(
                f"template {template!r} must open with {self._opening!r} as the grounding prompt "
                "does, so that the picture is read once"
            )
        return template

    def prefix(self, image_length: int) -> tuple[int, ...]:
        """The prompt up to and including a picture of `image_length` tokens."""
        return self.prefix_ids[: self.image_start] + (self.image_token_id,) * image_length

    def tiled_prefix(self, tiles: str) -> tuple[int, ...]:
        """The prompt up to and including the picture, with its tiles before it.

        `tiles` is what the family writes for them, each with the image token once.

        Raises GroundingError when the tokenizer has no token for a picture's place.
        """
        before = self.picture.partition(self.image_token)[0]
        head = self._opening.removesuffix(before + self.image_token)
        ids, _ = self._encode(head + tiles + before + self.image_token)
        expected, found = tiles.count(self.image_token) + 1, ids.count(self.image_token_id)
        if found != expected:
            raise GroundingError(
                f"the tokenizer makes {found} image tokens of {expected} {self.image_token}; "
                "expected one each: use the tokenizer saved with the model, or tiles='off'"
            )
        n = {self.image_token_id: self.image_length}
        return tuple(i for i in ids for _ in range(n.get(i, 1)))

    def build(self, phrase: str, template: str | None = None) -> TokenizedPrompt:
        """Tokenise the prompt for a phrase.

        Raises GroundingError when the phrase is empty or holds a control token.
        """
        before, after = self.full_template(template).split(_PHRASE)
        phrase = self._clean(phrase, keep_stop=self.query == "prompt" and not after.strip())
        stop = None
        if template is None and self.query == "stop":
            stop, ids, offsets = self._encode_stopped(before + phrase, after)
        else:
            ids, offsets = self._encode(before + phrase + after)
        short = len(ids)
        ids, offsets = self._expand(ids, offsets)
        if tuple(ids[: len(self.prefix_ids)]) != self.prefix_ids:
            raise GroundingError(
                f"the tokenizer reads {self._opening!r} differently when {phrase!r} follows; "
                "expected a phrase-independent opening: end it with the picture"
            )
        first, last = len(before), len(before) + len(phrase)
        inside = [i for i, (a, b) in enumerate(offsets) if a < last and b > first and b > a]
        if not inside:
            raise GroundingError(f"the tokenizer finds no token in the phrase {phrase!r}")
        own = offsets[inside[0] : inside[-1] + 1]
        query = inside[-1] if stop is None else stop + len(ids) - short
        return TokenizedPrompt(
            ids=tuple(ids),
            expression=(inside[0], inside[-1] + 1),
            offsets=tuple((max(a - first, 0), min(b - first, len(phrase))) for a, b in own),
            query=len(ids) - 1 if self.query == "prompt" else query,
            phrase=phrase,
        )

    def answer_id(self, word: str, template: str) -> int:
        """First token of `word` as it would follow the template.

        Raises GroundingError when the tokenizer does not know the word.
        """
        prompt = self.full_template(template).replace(_PHRASE, "object")
        space = "" if prompt[-1:].isspace() else " "
        before, _ = self._encode(prompt)
        ids, _ = self._encode(prompt + space + word)
        if ids[: len(before)] != before or len(ids) == len(before):
            # The answer merged with the prompt's last characters: take the word on its own.
            ids, before = self.tokenizer(word, add_special_tokens=False)["input_ids"], []
        answer = ids[len(before)] if len(ids) > len(before) else self.tokenizer.unk_token_id
        if answer is None or answer == self.tokenizer.unk_token_id:
            raise GroundingError(
                f"the tokenizer does not know the answer {word!r}; choose a word of its vocabulary"
            )
        return int(answer)

    def unknown_words(self, phrase: str) -> tuple[str, ...]:
        """Words of the phrase that became the unknown token, in order."""
        unknown = self.tokenizer.unk_token_id
        if unknown is None:
            return ()
        prompt = self.build(phrase)
        start, stop = prompt.expression
        pairs = zip(prompt.ids[start:stop], prompt.offsets, strict=True)
        return tuple(prompt.phrase[a:b].strip() for i, (a, b) in pairs if i == unknown)

    def _checked(self, template: str) -> str:
        """The template in the family's own words, if it holds one picture, then one phrase."""
        given = template
        if self.picture not in template:
            template = template.replace(_IMAGE, self.picture)
        image, phrase = template.find(self.image_token), template.find(_PHRASE)
        once = template.count(self.image_token) == 1 and template.count(_PHRASE) == 1
        if not once or phrase < image:
            raise GroundingError(
                f"prompt template {given!r} must hold {_IMAGE} once and {{phrase}} once after "
                f"it, e.g. 'USER: {_IMAGE}\\n{{phrase}} ASSISTANT:'"
            )
        return template

    def _encode_stopped(self, text: str, after: str) -> tuple[int, list[int], list]:
        """Index of the full stop, and ids and offsets of the text, the stop and what follows it.

        Where the tokenizer merges the stop with its neighbours (``".``, ``..``, ``.\\n``), the
        three are tokenised apart.
        """
        gap, rest = _split_stop(after)
        ids, offsets = self._encode(text + gap + "." + rest)
        at = self._stop_in(ids, offsets, len(text + gap))
        if at is not None:
            return at, ids, offsets
        ids, offsets = self._encode(text)
        places = [(len(text), len(text))] * len(self._ending)
        return len(ids), [*ids, *self._ending], [*offsets, *places]

    @cached_property
    def _ending(self) -> tuple[int, ...]:
        """The stop's token and those of the rest of the template, as they follow a plain word."""
        before, after = self.template.split(_PHRASE)
        text, (gap, rest) = before + "object", _split_stop(after)
        for tail in (rest, ""):
            ids, offsets = self._encode(text + gap + "." + tail)
            at = self._stop_in(ids, offsets, len(text + gap))
            if at is not None and tail == rest:
                return tuple(ids[at:])
            more, places = self._encode(text + rest)
            if at is not None and all(a >= len(text) or b <= len(text) for a, b in places):
                return (ids[at], *more[sum(a < len(text) for a, _ in places) :])
        raise GroundingError(
            "the tokenizer has no token of its own for a full stop; set query='expression' or "
            "'prompt'"
        )

    def _stop_in(self, ids: list[int], offsets: list[tuple[int, int]], place: int) -> int | None:
        """Index of the one token at a character that is a full stop and nothing else."""
        found = [i for i, (a, b) in enumerate(offsets) if a <= place < b]
        alone = len(found) == 1 and self.tokenizer.decode([ids[found[0]]]).strip(" ") == "."
        return found[0] if alone else None

    def _clean(self, phrase: str, *, keep_stop: bool) -> str:
        """The phrase on one line without a typed full stop; refused if nothing is left of it.

        Refused, too, if it would inject control tokens.
        """
        if not isinstance(phrase, str) or all(c.isspace() or category(c)[0] == "P" for c in phrase):
            raise GroundingError(
                f"phrase is {phrase!r}; expected some words that name a thing in the picture"
            )
        phrase = whole_text(phrase)
        phrase = phrase if keep_stop else phrase.rstrip(_STOPS)
        for token in (_IMAGE, self.image_token, *self.tokenizer.all_special_tokens):
            if token in phrase:
                raise GroundingError(
                    f"phrase {phrase!r} holds the control token {token!r}; leave it out"
                )
        return phrase

    def _encode(self, text: str) -> _Encoding:
        """Ids and character offsets of a text with at most one image placeholder."""
        if self._whole:
            return self._trim(*self._call(text, special=self.special), text)
        # Checkpoints in the original LLaVA layout have no placeholder in their vocabulary: the
        # pieces around it are tokenised separately, as the original does.
        head, _, tail = text.partition(self.image_token)
        ids, offsets = self._trim(*self._call(head, special=self.special), head)
        skip = len(head) + len(self.image_token)
        if skip <= len(text):
            ids.append(self.image_token_id)
            offsets.append((len(head), skip))
        more, spans = self._call(tail, special=False)
        return ids + more, offsets + [(a + skip, b + skip) for a, b in spans]

    def _call(self, text: str, *, special: bool) -> _Encoding:
        """The tokenizer's own ids and offsets."""
        out = self.tokenizer(
            text, add_special_tokens=special, return_offsets_mapping=True, verbose=False
        )
        return list(out["input_ids"]), [(int(a), int(b)) for a, b in out["offset_mapping"]]

    def _trim(self, ids: list[int], offsets: list[tuple[int, int]], text: str) -> _Encoding:
        """Without an end token that the tokenizer added on its own."""
        end = self.tokenizer.eos_token_id
        while ids and ids[-1] == end and not text.endswith(self.tokenizer.eos_token):
            ids, offsets = ids[:-1], offsets[:-1]
        return ids, offsets

    def _expand(self, ids: list[int], offsets: list[tuple[int, int]]) -> _Encoding:
        """The one placeholder repeated `image_length` times."""
        if ids.count(self.image_token_id) != 1:
            raise GroundingError(
                f"the tokenizer makes {ids.count(self.image_token_id)} image tokens of one "
                f"{self.image_token}; expected exactly one with id {self.image_token_id}"
            )
        at = ids.index(self.image_token_id)
        n = self.image_length
        return (
            ids[:at] + [self.image_token_id] * n + ids[at + 1 :],
            offsets[:at] + [offsets[at]] * n + offsets[at + 1 :],
        )


def whole_text(phrase: str) -> str:
    """A phrase with single spaces; GroundingError if it is not valid Unicode."""
    try:
        phrase.encode()
    except UnicodeEncodeError as error:
        raise GroundingError(
            f"phrase {phrase!r} is not whole text at character {error.start + 1}; expected Unicode"
        ) from None
    return " ".join(phrase.split())


def _split_stop(after: str) -> tuple[str, str]:
    """The space before the template's own full stop, and the text after it (all, without one)."""
    found = re.match(r"(\s*)\.", after)
    return (found[1], after[found.end() :]) if found else ("", after)
