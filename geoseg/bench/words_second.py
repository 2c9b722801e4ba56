"""A second prompt against a first one, with an image network of the size of ViT-B/16 and random weights."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import from_origin

import geoseg
from geoseg.demo.attributes import make_attributes

_SIDE_PX, _SMALL_PX = 2048, 256
_COMPARED = ("classes.tif", "confidence.tif", "polygons.parquet")
_FIRST, _SECOND = ("red striped", "blue plain"), ("green dotted", "white checked")


def measure_second(folder: Path, say: Callable[[str], object]) -> None:
    """Ask, and ask again; print the seconds, and whether a second answer has the bytes of a first one.

    The bytes are compared on a small scene, before: so the libraries are loaded when seconds are counted. The large one is
    large enough that the image network counts for more than the start of a run.

    Args:
        folder: For model, scenes and runs.
        say: Takes the text.
    """
    model = _write_model(folder / "vit-b-16")
    scene, small = (_write_scene(folder / f"{side}_20220101.tif", side) for side in (_SIDE_PX, _SMALL_PX))
    _ask(small, _FIRST, model, folder / "small", folder / "cache-of-small")
    again = _ask(small, _SECOND, model, folder / "small-again", folder / "cache-of-small")
    first = _ask(small, _SECOND, model, folder / "small-first", folder / "cache-of-first")
    same = all((again.out / name).read_bytes() == (first.out / name).read_bytes() for name in _COMPARED)
    say("\nsecond prompt: CLIP with an image network of ViT-B/16 and random weights; ")
    say(f"{_SMALL_PX} x {_SMALL_PX} px: {'the same bytes' if same else 'OTHER BYTES'} as asked first; ")
    say(f"{_SIDE_PX} x {_SIDE_PX} px, libraries loaded:\n\n")
    seconds: dict[str, float] = {}
    stages: dict[str, dict[str, float]] = {}
    for name, prompts in (("first", _FIRST), ("second", _SECOND)):
        start = time.perf_counter()
        result = _ask(scene, prompts, model, folder / name, folder / "cache")
        seconds[name], stages[name] = time.perf_counter() - start, result.report["timing"]["stage_seconds"]
    names = list(stages["first"])
    say(f"| question | whole run, s | {' | '.join(names)} |\n|{' --- |' * (2 + len(names))}\n")
    for name, whole in seconds.items():
        say(f"| {name} | {whole:.1f} | {' | '.join(f'{stages[name].get(stage, 0):.1f}' for stage in names)} |\n")
    times = (seconds["first"] / seconds["second"], stages["first"]["tiles"] / stages["second"]["tiles"])
    say(f"\nthe second is {times[0]:.1f} times faster ({times[1]:.1f} times its tiles)\n")


def _ask(scene: Path, prompts: tuple[str, ...], model: Path, out: Path, cache: Path) -> geoseg.Result:
    """One question about one scene."""
    where: dict[str, Any] = {"scenes": (str(scene),), "sensor": "sentinel-2-l2a", "scale": 1e-4, "offset": 0.0}
    return geoseg.run(**where, prompt=prompts, model=f"words:{model}", out=out, cache=cache)


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


def _write_scene(path: Path, side_px: int) -> Path:
    """A scene of coloured patches as reflectance."""
    made = make_attributes(np.random.default_rng(9), (side_px, side_px), range(30))
    image = np.rint(made.values * 10_000).astype("uint16")
    profile = {"driver": "GTiff", "height": side_px, "width": side_px, "count": 3, "dtype": "uint16", "tiled": True}
    place = {"crs": "EPSG:32633", "transform": from_origin(500_000, 5_000_000, 10, 10)}
    with rasterio.open(path, "w", **profile, **place) as file:
        file.write(image)
        for number, name in enumerate(("B04", "B03", "B02"), start=1):
            file.set_band_description(number, name)
    return path
