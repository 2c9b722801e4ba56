"""A second prompt against a first one, with an image network of the size of ViT-B/16 and random weights."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin

import geoseg
from geoseg.demo.attributes import make_attributes

_SIDE_PX = 768
_FIRST, _SECOND = ("red striped", "blue plain"), ("green dotted", "white checked")


def measure_second(folder: Path, say: Callable[[str], object]) -> None:
    """Ask, ask again, and ask the second question first; print the seconds.

    Args:
        folder: For model, scene and runs.
        say: Takes the text.
    """
    model, scene = _write_model(folder / "vit-b-16"), _write_scene(folder / "scene_20220101.tif")
    seconds, maps = {}, {}
    for name, prompts, cache in (
        ("first", _FIRST, "cache"),
        ("second", _SECOND, "cache"),
        ("second, asked first", _SECOND, "other-cache"),
    ):
        start = time.perf_counter()
        result = geoseg.run(
            scenes=(str(scene),),
            sensor="sentinel-2-l2a",
            scale=1e-4,
            offset=0.0,
            prompt=prompts,
            model=f"words:{model}",
            out=folder / name.replace(", ", "-").replace(" ", "-"),
            cache=folder / cache,
        )
        seconds[name] = time.perf_counter() - start, result.report["timing"]["stage_seconds"]["tiles"]
        maps[name] = [
            (result.out / file).read_bytes() for file in ("classes.tif", "confidence.tif", "polygons.parquet")
        ]
    same = maps["second"] == maps["second, asked first"]
    say(f"\nsecond prompt: CLIP with an image network of ViT-B/16 and random weights, {_SIDE_PX} x {_SIDE_PX} px\n\n")
    say("| question | whole run, s | its tiles, s |\n| --- | ---: | ---: |\n")
    for name, (whole, tiles) in seconds.items():
        say(f"| {name} | {whole:.1f} | {tiles:.1f} |\n")
    whole, tiles = (seconds["first"][at] / seconds["second"][at] for at in (0, 1))
    say(f"\nthe second is {whole:.1f} times faster ({tiles:.1f} times its tiles); ")
    say(f"{'the same bytes' if same else 'OTHER BYTES'} as asked first\n")


def _write_model(folder: Path) -> Path:
    """CLIP's ViT-B/16 beside a text network of one layer, and a tokenizer of a few words."""
    import torch  # noqa: PLC0415  # seconds
    from tokenizers import Tokenizer, models, pre_tokenizers, processors  # noqa: PLC0415  # an extra
    from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast  # noqa: PLC0415  # an extra

    words = ("<pad>", "<unk>", "red", "blue", "green", "white", "striped", "plain", "dotted", "checked", "<end>")
    text = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    more = {"vocab_size": len(words), "eos_token_id": len(words) - 1, "max_position_embeddings": 16}
    torch.manual_seed(0)
    config = CLIPConfig(text_config={**text, **more}, vision_config={**vision, "patch_size": 16, "image_size": 224})
    CLIPModel(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="<unk>"))  # noqa: S106
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <end>", special_tokens=[("<end>", len(words) - 1)]
    )
    special = {"pad_token": "<pad>", "eos_token": "<end>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)  # type: ignore[no-untyped-call]  # transformers
    fast.save_pretrained(folder)
    return folder


def _write_scene(path: Path) -> Path:
    """A scene of coloured patches as reflectance."""
    made = make_attributes(np.random.default_rng(9), (_SIDE_PX, _SIDE_PX), range(30))
    image = np.rint(made.values * 10_000).astype("uint16")
    profile = {"driver": "GTiff", "height": _SIDE_PX, "width": _SIDE_PX, "count": 3, "dtype": "uint16", "tiled": True}
    place = {"crs": "EPSG:32633", "transform": from_origin(500_000, 5_000_000, 10, 10)}
    with rasterio.open(path, "w", **profile, **place) as file:
        file.write(image)
        for number, name in enumerate(("B04", "B03", "B02"), start=1):
            file.set_band_description(number, name)
    return path
