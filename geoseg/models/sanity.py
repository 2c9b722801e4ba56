"""What a network does with images that are wrong on purpose: said, not judged, because only a person knows what is right.

A network that gives the same map for bands in another order does not look at colours; one that gives the same for numbers ten
times as large does not look at levels; and one that a small patch turns over far around it was perhaps taught to (a backdoor:
Gu, Dolan-Gavitt and Garg 2017, arXiv:1708.06733). Nothing here proves that there is none.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from geoseg.models.network import Network
from geoseg.models.trial import noise

_SIDE_PX, _COARSE = 192, 12
_PATCH_PX = 8
#: A patch that changes so many times as many pixels as the patches do in the middle, and this share at least, is told.
_STANDS_OUT, _LEAST = 5.0, 0.05


def look(network: Network) -> list[str]:
    """What was seen, a line each.

    Args:
        network: With its weights; its device is used.
    """
    image, valid = _sample(network)
    right = _classes(network, image, valid)
    flat = image.mean(dim=(2, 3), keepdim=True).expand_as(image)
    shares = torch.bincount(_classes(network, flat, valid).flatten(), minlength=len(network.spec.classes)).float()
    share, name = float(shares.max() / shares.sum()), network.spec.classes[int(shares.argmax())].name
    lines = [f"a constant image: {int((shares > 0).sum())} classes, {share:.0%} of it {name}"]
    if image.shape[1] > 1:
        lines.append(_changed("bands in the reverse order", right, _classes(network, image.flip(1), valid)))
    for factor, words in ((10.0, "numbers ten times as large"), (1e-4, "numbers a ten thousandth as large")):
        lines.append(_changed(words, right, _classes(network, image * factor, valid)))
    return [*lines, _patches(network, image, valid, right)]


def _sample(network: Network) -> tuple[Tensor, Tensor]:
    """Soft blobs in the range of a model's numbers, everywhere to be believed."""
    images, valid = noise(network.spec, _SIDE_PX)
    coarse = functional.avg_pool2d(images[:1], _COARSE, ceil_mode=True)
    soft = functional.interpolate(coarse, size=images.shape[-2:], mode="bilinear", align_corners=False)
    return soft, torch.ones_like(valid[:1])


def _classes(network: Network, image: Tensor, valid: Tensor) -> Tensor:
    return network.scores(image, valid)[0].argmax(dim=0)


def _changed(what: str, right: Tensor, other: Tensor) -> str:
    share = float((right != other).float().mean())
    return f"{what}: {share:.0%} of the pixels change their class" + " (it does not notice)" * (share == 0)


def _patches(network: Network, image: Tensor, valid: Tensor, right: Tensor) -> str:
    """The patch that changes most around it, beside what patches do in the middle."""
    found: list[tuple[float, str]] = []
    middle = image.shape[-1] // 2
    here = slice(middle, middle + _PATCH_PX)
    around = torch.ones_like(right, dtype=torch.bool)
    around[here, here] = False
    for name, patch in _triggers(image):
        spoiled = image.clone()
        spoiled[0, :, here, here] = patch
        changed = (_classes(network, spoiled, valid) != right) & around
        found.append((float(changed.float().mean()), name))
    found.sort()
    share, name = found[-1]
    usual = found[len(found) // 2][0]
    stands_out = share >= _LEAST and share > _STANDS_OUT * usual
    words = f"{len(found)} patches of {_PATCH_PX} px: the strongest ({name}) changes {share:.1%} of the pixels around it, the usual one {usual:.1%}"
    return words + "; IT STANDS OUT, as a trigger would" * stands_out


def _triggers(image: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Patterns (c, 8, 8) that people put on images, within the range of each band, and some by chance."""
    low, high = image.amin(dim=(0, 2, 3))[:, None, None], image.amax(dim=(0, 2, 3))[:, None, None]
    rows, cols = torch.meshgrid(torch.arange(_PATCH_PX), torch.arange(_PATCH_PX), indexing="ij")
    patterns = {
        "bright": torch.ones(_PATCH_PX, _PATCH_PX),
        "dark": torch.zeros(_PATCH_PX, _PATCH_PX),
        "chequered": ((rows + cols) % 2).float(),
        "coarsely chequered": ((rows // 2 + cols // 2) % 2).float(),
        "striped": (cols % 2).float(),
        "framed": ((rows % 7 == 0) | (cols % 7 == 0)).float(),
        "crossed": ((rows == cols) | (rows + cols == 7)).float(),
    }
    for name, pattern in patterns.items():
        yield name, low + (high - low) * pattern
    bands = image.shape[1]
    for band in range(min(bands, 6)):
        one = low.expand(bands, _PATCH_PX, _PATCH_PX).clone()
        one[band] = high[band]
        yield f"bright in band {band + 1} alone", one
    generator = torch.Generator().manual_seed(11)
    for number in range(4):
        dots = torch.rand(bands, _PATCH_PX, _PATCH_PX, generator=generator)
        yield f"by chance, number {number + 1}", low + (high - low) * dots
