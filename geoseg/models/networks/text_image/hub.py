"""Text-image models of transformers and open_clip: what of each is comparable with its text vectors, cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from geoseg.errors import ModelMismatchError
from geoseg.models.networks.text_image.base import Floats, Windows, array
from geoseg.models.spec import ModelSpec

_TEXT_LENGTH = 64
_LEAST_PRESENCE = 0.05


class HubTextImage(Windows):
    """A model of transformers as ``geoseg.words.TextImage``; its subclasses say where the features of cells are.

    Args:
        spec: The model's facts.
        module: The model.
        tokenizer: Its tokenizer.
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, spec: ModelSpec, module: Any, tokenizer: Any, device: str) -> None:
        super().__init__(spec, module, device)
        self._tokenizer = tokenizer

    @torch.inference_mode()
    def encode_image(self, values: Tensor, valid: Tensor) -> tuple[Floats, Floats]:
        """See ``geoseg.words.TextImage``.

        Raises:
            ModelMismatchError: If the model gives another number of cells than the window has.
        """
        seen = self.seen(values, valid)
        rows, cols = (side // self.stride_px for side in seen.shape[2:])
        cells, whole = self._features(seen)
        if cells.shape[1] != rows * cols:
            raise ModelMismatchError(
                f"the model {self.spec.name} with {cells.shape[1]} cells for a window of {rows} x {cols}",
                "a cell for each patch, beside its prefix tokens",
                "use the versions of constraints.txt, or another model",
            )
        return array(cells[0].reshape(rows, cols, -1)), array(whole[0])

    @torch.inference_mode()
    def encode_text(self, sentences: Sequence[str]) -> Floats:
        """See ``geoseg.words.TextImage``."""
        batch = self._tokenizer(
            list(sentences), padding="max_length", truncation=True, max_length=self._text_length(), return_tensors="pt"
        ).to(self.device)
        asked = {name: batch[name] for name in ("input_ids", "attention_mask") if name in batch}
        return array(_pooled(self.module.get_text_features(**asked)))

    def mixing(self, scores: Floats, cells: Floats, phrases: Floats) -> Floats | None:
        """See ``geoseg.words.TextImage``: none was trained for it."""
        del scores, cells, phrases
        return None

    def _text_length(self) -> int:
        text = getattr(self.module.config, "text_config", None)
        return min(_TEXT_LENGTH, int(getattr(text, "max_position_embeddings", _TEXT_LENGTH)))

    def _features(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Features of the cells (1, cell, width) and of the window (1, width)."""
        raise NotImplementedError


class Tipsv2(HubTextImage):
    """TIPSv2: patch tokens are trained against the text; a class token and registers stand before them."""

    def _features(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        prefix = 1 + self.module.config.vision_config.num_register_tokens
        made = self.module.vision_model(pixel_values=seen)
        return made.last_hidden_state[:, prefix:], made.pooler_output


class Clip(HubTextImage):
    """CLIP: only its pooled token was trained against the text, and its last block smears that over the patches.

    So the last block is run without its MLP and its residual, each patch attends to patches like itself (queries against
    queries) and none to the class token; then norm and projection as for the pooled token.

    References:
        Lan et al.: ClearCLIP, arXiv:2407.12442.
    """

    def _features(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        vision = self.module.vision_model
        made = vision(pixel_values=seen, interpolate_pos_encoding=True, output_hidden_states=True)
        block = vision.encoder.layers[-1]
        tokens = vision.post_layernorm(_self_like(block.self_attn, block.layer_norm1(made.hidden_states[-2])))
        project = self.module.visual_projection
        return project(tokens[:, 1:]), project(made.pooler_output)


class OpenClip(HubTextImage):
    """CLIP of open_clip: as ``Clip``, with that library's names, and places of patches that fit the window."""

    @torch.inference_mode()
    def encode_text(self, sentences: Sequence[str]) -> Floats:
        """See ``geoseg.words.TextImage``."""
        return array(self.module.encode_text(self._tokenizer(list(sentences)).to(self.device)))

    def _features(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        visual = self.module.visual
        tokens = _placed(visual, seen)
        *blocks, last = visual.transformer.resblocks
        for block in blocks:
            tokens = block(tokens)
        normed, attention = last.ln_1(tokens), last.attn
        width = normed.shape[-1]
        projected = functional.linear(normed, attention.in_proj_weight, attention.in_proj_bias)
        query, _, value = torch.split(projected, width, -1)
        alone = last.ls_1(attention.out_proj(_alike(query, value, attention.num_heads)))
        whole, _ = visual._pool(last(tokens))  # noqa: SLF001  # its forward pass would do the blocks again
        return visual.ln_post(alone)[:, 1:] @ visual.proj, whole @ visual.proj


def _placed(visual: Any, seen: Tensor) -> Tensor:
    """Tokens (1, 1 + patch, width) of an image of any size, as the network's own of the size that it was trained on."""
    patches = visual.conv1(seen)
    rows, cols = patches.shape[2:]
    first, places = visual.positional_embedding[:1], visual.positional_embedding[1:]
    if (rows, cols) != tuple(visual.grid_size):
        grid = places.view(1, *visual.grid_size, -1).permute(0, 3, 1, 2)
        grid = functional.interpolate(grid, (rows, cols), mode="bicubic", antialias=True, align_corners=False)
        places = grid.permute(0, 2, 3, 1).reshape(rows * cols, -1)
    tokens = torch.cat([visual.class_embedding.view(1, 1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
    return cast(Tensor, visual.ln_pre(tokens + torch.cat([first, places])))


class Sam3(HubTextImage):
    """SAM 3: draws masks for a phrase instead of giving features, so its phrases are asked one by one and none is kept."""

    @torch.inference_mode()
    def phrase_scores(self, values: Tensor, valid: Tensor, phrases: Sequence[str]) -> Floats:
        """Logits (phrase, y, x) of the pixels of one window; 0 is as likely as not.

        Presence is added softly: third parties found the published product of presence and mask a ceiling over what is
        plainly seen, where presence is wrong.
        """
        seen = self.seen(values, valid)
        features = self.module.get_vision_features(pixel_values=seen)
        return np.stack([self._mask(features, phrase, seen.shape[2:]) for phrase in phrases])

    def _mask(self, features: Any, phrase: str, shape: torch.Size) -> Floats:
        asked = self._tokenizer(
            [phrase], padding="max_length", truncation=True, max_length=self._text_length(), return_tensors="pt"
        ).to(self.device)
        made = self.module(vision_embeds=features, input_ids=asked["input_ids"], attention_mask=asked["attention_mask"])
        mask = functional.interpolate(made.semantic_seg, tuple(shape), mode="bilinear", align_corners=False)[0, 0]
        return array(mask + made.presence_logits[0].sigmoid().clamp_min(_LEAST_PRESENCE).log())


def _self_like(attention: Any, tokens: Tensor) -> Tensor:
    """Attention of tokens (b, n, width) by the likeness of queries; the first token is attended by itself alone."""
    mixed = _alike(attention.q_proj(tokens), attention.v_proj(tokens), attention.num_heads)
    return cast(Tensor, attention.out_proj(mixed))


def _alike(query: Tensor, value: Tensor, heads: int) -> Tensor:
    """Means of values (b, n, width), weighted by the likeness of queries; the first one counts for itself alone."""
    shape = query.shape
    query, value = (part.view(shape[0], shape[1], heads, -1).transpose(1, 2) for part in (query, value))
    likeness = query @ query.transpose(2, 3) * query.shape[-1] ** -0.5
    likeness[:, :, 1:, 0] = -torch.inf
    mixed: Tensor = likeness.softmax(dim=-1) @ value
    return mixed.transpose(1, 2).reshape(shape)


class Siglip(HubTextImage):
    """SigLIP, and SigLIP 2 of one size: pooled by an attention head, through which each patch is sent alone."""

    def _features(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        made = self.module.vision_model(pixel_values=seen, interpolate_pos_encoding=True)
        return _alone(self.module.vision_model.head, made.last_hidden_state), made.pooler_output


class Siglip2(HubTextImage):
    """SigLIP 2 of any size: takes patches, with the shape of their grid."""

    def _features(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        side = self.stride_px
        rows, cols = (length // side for length in seen.shape[2:])
        patches = functional.unfold(seen, side, stride=side).transpose(1, 2)
        patches = patches.view(1, rows * cols, seen.shape[1], side * side).transpose(2, 3).flatten(2)
        made = self.module.vision_model(
            pixel_values=patches,
            pixel_attention_mask=torch.ones(patches.shape[:2], dtype=torch.int64, device=self.device),
            spatial_shapes=torch.tensor([[rows, cols]], device=self.device),
        )
        return _alone(self.module.vision_model.head, made.last_hidden_state), made.pooler_output


def _alone(head: Any, tokens: Tensor) -> Tensor:
    """What an attention head makes of each token (b, n, width), were it the only one: its attention is then 1."""
    attention = head.attention
    width = tokens.shape[-1]
    value = functional.linear(tokens, attention.in_proj_weight[2 * width :], attention.in_proj_bias[2 * width :])
    pooled = attention.out_proj(value)
    return cast(Tensor, pooled + head.mlp(head.layernorm(pooled)))


def _pooled(answer: Any) -> Tensor:
    """The sentence vectors; since transformers 5 they come with the rest."""
    return answer if isinstance(answer, Tensor) else cast(Tensor, answer.pooler_output)


#: ``model_type`` of a configuration to what makes features of it.
KINDS: dict[str, type[HubTextImage]] = {
    "tipsv2": Tipsv2,
    "clip": Clip,
    "siglip": Siglip,
    "siglip2": Siglip2,
    "sam3": Sam3,
}
