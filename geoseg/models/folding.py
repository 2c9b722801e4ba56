"""Folds stored-statistics normalisations into the convolutions before them: one pass over memory less for each."""

from __future__ import annotations

from collections import Counter

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_norms(module: nn.Module) -> None:
    """Fold every batch normalisation that follows a convolution in the same ``Sequential``, in place.

    Only there is it certain, without tracing, that nothing else reads the convolution's output. The result differs
    from the unfolded network by the order of floating-point operations alone.

    Args:
        module: Network in eval mode with its weights.
    """
    uses = Counter(id(child) for parent in module.modules() for child in parent.children())
    for parent in list(module.modules()):
        if not isinstance(parent, nn.Sequential):
            continue
        for index in range(len(parent) - 1):
            convolution, norm = parent[index], parent[index + 1]
            if type(convolution) is not nn.Conv2d or type(norm) is not nn.BatchNorm2d:
                continue
            hooked = convolution._forward_hooks or norm._forward_hooks  # noqa: SLF001  # torch has no public question
            if norm.running_mean is None or uses[id(convolution)] > 1 or uses[id(norm)] > 1 or hooked:
                continue
            dtype = convolution.weight.dtype
            parent[index] = fuse_conv_bn_eval(convolution.double(), norm.double()).to(dtype)
            parent[index + 1] = nn.Identity()
