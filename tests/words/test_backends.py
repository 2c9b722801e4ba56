"""Large text-image models: the contract that each keeps, shown with tiny random ones of the same architecture.

They are written by the library's own ``save_pretrained`` (open_clip: ``save_for_hf``) and read offline. Nothing here says
anything about quality.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from geoseg.errors import GeosegError, ModelSpecError, WeightsError
from geoseg.models import resolve
from geoseg.models.networks.text_image.hub import KINDS as KINDS_OF_HUB
from geoseg.models.networks.text_image.loading import load_text_image

transformers = pytest.importorskip("transformers")

WORDS = (
    "<pad>",
    "<unk>",
    "forest",
    "river",
    "trees",
    "a",
    "satellite",
    "image",
    "of",
    "aerial",
    "view",
    "from",
    "above",
)
TEXT = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "max_position_embeddings": 16, "vocab_size": len(WORDS) + 2, "projection_dim": 16, "projection_size": 16,
}  # fmt: skip
VISION = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
KINDS: dict[str, tuple[str, dict[str, Any], dict[str, Any], int]] = {
    "tipsv2": ("Tipsv2", TEXT, {**VISION, "patch_size": 14, "image_size": 56, "num_register_tokens": 1}, 14),
    "clip": ("CLIP", {**TEXT, "eos_token_id": len(WORDS) + 1}, {**VISION, "patch_size": 16, "image_size": 64}, 16),
    "siglip": ("Siglip", TEXT, {**VISION, "patch_size": 16, "image_size": 64}, 16),
    "siglip2": ("Siglip2", TEXT, {**VISION, "patch_size": 16, "num_patches": 16}, 16),
}


#: Names of an image network of CLIP in transformers, and in open_clip.
NAMES = (
    ("embeddings.class_embedding", "class_embedding"),
    ("embeddings.patch_embedding", "conv1"),
    ("embeddings.position_embedding.weight", "positional_embedding"),
    ("pre_layrnorm", "ln_pre"),
    ("post_layernorm", "ln_post"),
    ("encoder.layers", "transformer.resblocks"),
    ("self_attn", "attn"),
    ("layer_norm", "ln_"),
    ("mlp.fc1", "mlp.c_fc"),
    ("mlp.fc2", "mlp.c_proj"),
    ("visual_projection.weight", "proj"),
)


def write_tokenizer(folder: Path) -> None:
    """Words to numbers, with an end of sentence that has the highest one."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {word: number for number, word in enumerate((*WORDS, "[BOS]", "[EOS]"))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A [EOS]", special_tokens=[("[EOS]", vocabulary["[EOS]"])]
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", eos_token="[EOS]"
    )
    fast.save_pretrained(folder)


def stir(model: torch.nn.Module) -> torch.nn.Module:
    """The same with other random numbers: the start of training has zeros that would hide what is left out."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    return model.eval()


OPEN = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 16, "head_width": 8, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def write_open_clip(folder: Path) -> None:
    """A tiny random model of open_clip, with the tokenizer that comes with the library."""
    open_clip = pytest.importorskip("open_clip")
    from open_clip.push_to_hf_hub import save_for_hf

    class Nothing:
        def save_pretrained(self, _folder):
            """The library's own tokenizer needs no file."""

    model = stir(open_clip.CLIP(**OPEN))
    model.visual.image_mean, model.visual.image_std = (0.5, 0.4, 0.3), (0.2, 0.2, 0.3)
    save_for_hf(model, Nothing(), OPEN, str(folder), safe_serialization=True)


@pytest.fixture(scope="module", params=[*KINDS, "open_clip"])
def pretrained(request, tmp_path_factory) -> tuple[Path, int]:
    """A tiny random model in a folder, and the side of its patches."""
    folder = tmp_path_factory.mktemp(request.param) / request.param
    if request.param == "open_clip":
        write_open_clip(folder)
        return folder, 16
    prefix, text, vision, patch = KINDS[request.param]
    config = getattr(transformers, f"{prefix}Config")(text_config=text, vision_config=vision, projection_dim=16)
    stir(getattr(transformers, f"{prefix}Model")(config)).save_pretrained(folder)
    write_tokenizer(folder)
    return folder, patch


def seen(shape: tuple[int, int], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    values = np.random.default_rng(seed).random((1, 3, *shape), "float32") * 0.3
    return torch.from_numpy(values), torch.ones((1, *shape), dtype=torch.bool)


def test_cells_phrases_and_window_have_one_width_and_the_grid_of_the_patches(pretrained):
    folder, patch = pretrained
    model = load_text_image(resolve(f"words:{folder}"))
    cells, whole = model.encode_image(*seen((4 * patch, 6 * patch)))  # not square: no prefix token hides in the grid
    phrases = model.encode_text(["a satellite image of forest", "river"])
    assert cells.shape[:2] == (4, 6)
    assert cells.shape[2] == whole.shape[0] == phrases.shape[1]
    assert all(np.isfinite(array).all() and array.dtype == np.float32 for array in (cells, whole, phrases))
    assert np.abs(phrases[0] - phrases[1]).max() > 1e-4
    assert model.encode_text(["river"])[0] == pytest.approx(phrases[1], abs=1e-5), "a phrase does not depend on others"


def test_a_patch_answers_at_its_own_place(pretrained):
    folder, patch = pretrained
    model = load_text_image(resolve(f"words:{folder}"))
    values, valid = seen((4 * patch, 6 * patch))
    before, _ = model.encode_image(values, valid)
    values[:, :, patch : 2 * patch, 4 * patch : 5 * patch] = 0.0
    change = np.abs(model.encode_image(values, valid)[0] - before).sum(axis=2)
    assert np.unravel_index(change.argmax(), change.shape) == (1, 4)


def test_what_is_masked_does_not_matter(pretrained):
    folder, patch = pretrained
    model = load_text_image(resolve(f"words:{folder}"))
    values, valid = seen((4 * patch, 4 * patch))
    valid[:, :patch] = False
    other = values.clone()
    other[:, :, :patch] = torch.nan
    assert (model.encode_image(values, valid)[0] == model.encode_image(other, valid)[0]).all()


def test_bands_and_lattice_come_from_the_reference_and_the_configuration(pretrained):
    folder, patch = pretrained
    land, picture = resolve(f"words:{folder}").spec, resolve(f"words-rgb:{folder}").spec
    assert (land.bands, land.quantity) == (("B04", "B03", "B02"), "reflectance")
    assert (picture.bands, picture.quantity) == (("red", "green", "blue"), "digital-number")
    assert land.stride_px == patch
    assert land.chip_px % (2 * patch) == 0
    assert land.chip_step_px == land.chip_px // 2
    assert land.digest != picture.digest
    assert land.weights.size_bytes == (folder / land.weights.file_name).stat().st_size


@pytest.mark.parametrize("lost", ["model.safetensors", "config.json", "tokenizer.json"])
def test_missing_files_are_said_in_three_parts(pretrained, tmp_path, lost):
    folder, _ = pretrained
    if folder.name == "open_clip":
        lost = {"config.json": "open_clip_config.json"}.get(lost, "open_clip_model.safetensors")
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.iterdir():
        if path.name not in {lost, "tokenizer_config.json" if lost == "tokenizer.json" else lost}:
            (copy / path.name).write_bytes(path.read_bytes())
    with pytest.raises(WeightsError) as err:
        load_text_image(resolve(f"words:{copy}"))
    assert err.value.given
    assert err.value.expected
    assert err.value.todo


def test_code_of_the_repository_is_not_run(pretrained, tmp_path):
    folder, _ = pretrained
    if folder.name == "open_clip":
        pytest.skip("its layout has no place for code")
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "evil.Model"}}))
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(ModelSpecError, match="not run"):
        resolve(f"words:{tmp_path}")


def test_cells_of_open_clip_are_those_of_the_same_weights_in_the_other_library(tmp_path):
    write_open_clip(tmp_path)
    ours = load_text_image(resolve(f"words:{tmp_path}"))
    visual = ours.module.visual
    config = transformers.CLIPVisionConfig(
        hidden_size=16, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, patch_size=16, image_size=64,
        projection_dim=16, hidden_act="gelu",
    )  # fmt: skip
    other = transformers.CLIPVisionModelWithProjection(config).eval()
    own, state = visual.state_dict(), {}
    for name in other.state_dict():
        at = name.removeprefix("vision_model.")
        for long, short in NAMES:
            at = at.replace(long, short)
        part = next((n for n, letter in enumerate("qkv") if f".{letter}_proj." in at), None)
        found = own[at if part is None else at.replace(f"{'qkv'[part]}_proj.", "in_proj_")]
        state[name] = (found if part is None else found.chunk(3)[part]).reshape(other.state_dict()[name].shape)
    state["visual_projection.weight"] = own["proj"].T
    other.load_state_dict(state)
    theirs = KINDS_OF_HUB["clip"](ours.spec, other, None, "cpu")
    for one, same in zip(ours.encode_image(*seen((64, 64))), theirs.encode_image(*seen((64, 64))), strict=True):
        assert one == pytest.approx(same, abs=1e-4)


@pytest.mark.parametrize(
    "change",
    [{"vision_cfg": {"timm_model_name": "vit"}}, {"text_cfg": {"hf_model_name": "bert"}}, {"vision_cfg": None}],
)
def test_other_networks_of_open_clip_are_refused(tmp_path, change):
    (tmp_path / "open_clip_model.safetensors").write_bytes(b"")
    parts = {name: {**OPEN[name], **more} if more else more for name, more in change.items()}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": {**OPEN, **parts}}))
    with pytest.raises(ModelSpecError, match="open_clip"):
        resolve(f"words:{tmp_path}")


def test_another_kind_of_model_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "vision_config": {}}))
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(GeosegError, match="tipsv2"):
        resolve(f"words:{tmp_path}")


def test_the_last_block_of_clip_looks_at_no_class_token(tmp_path_factory):
    from geoseg.models.networks.text_image.hub import _self_like

    class Attention(torch.nn.Module):
        num_heads, scale = 2, 0.5

        def __init__(self):
            super().__init__()
            self.q_proj, self.v_proj, self.out_proj = (torch.nn.Linear(8, 8) for _ in range(3))

    tokens = torch.randn(1, 5, 8)
    attention = Attention()
    before = _self_like(attention, tokens)
    tokens[:, 0] += 10
    after = _self_like(attention, tokens)
    assert torch.equal(before[:, 1:], after[:, 1:])
    assert not torch.equal(before[:, 0], after[:, 0])


@pytest.fixture(scope="module")
def sam3(tmp_path_factory) -> Path:
    """SAM 3 with everything small."""
    small = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 32}
    backbone = {
        "num_hidden_layers": 2,
        "image_size": 112,
        "patch_size": 14,
        "window_size": 4,
        "pretrain_image_size": 56,
    }
    vision = {
        "backbone_config": {**small, **backbone, "global_attn_indexes": [1], "model_type": "sam3_vit_model"},
        "fpn_hidden_size": 32,
        "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
    }
    text = {**TEXT, **small, "projection_dim": 32, "model_type": "clip_text_model", "eos_token_id": len(WORDS) + 1}
    config = transformers.Sam3Config(
        vision_config=vision,
        text_config=text,
        geometry_encoder_config={**small, "num_layers": 1},
        detr_encoder_config={**small, "num_layers": 1},
        detr_decoder_config={**small, "num_layers": 1, "num_queries": 4},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 4},
    )
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("sam3") / "sam3"
    transformers.Sam3Model(config).eval().save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def test_sam_3_draws_a_mask_for_each_phrase_and_takes_no_examples(sam3):
    folder = resolve(f"words:{sam3}")
    assert (folder.spec.chip_px, folder.spec.stride_px) == (112, 14)
    model = load_text_image(folder)
    masks = model.phrase_scores(*seen((112, 112)), ["forest", "river"])
    assert masks.shape == (2, 112, 112)
    assert np.isfinite(masks).all()
    assert np.abs(masks[0] - masks[1]).max() > 0
