"""A loaded network: physical values in, scores out.

This module is the only door between pixels and logits. Importing it imports torch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from geoseg.errors import ModelMismatchError, RequestError
from geoseg.models.folder import ModelFolder
from geoseg.models.folding import fold_norms
from geoseg.models.networks import build
from geoseg.models.spec import WORDS, ModelSpec
from geoseg.models.state import put_state, read_state
from geoseg.models.transform import Transform
from geoseg.models.weights import find_weights, guard_pickle


class Network:
    """A model that is ready to be run: transform, fill, forward pass, probabilities.

    Args:
        spec: The model's facts.
        module: The network with its weights; it is put into eval mode and on the device.
        device: ``cpu`` or ``cuda``.
        bfloat16: Compile the network and let it compute in bfloat16 where that is safe; inputs and scores stay float32.
    """

    def __init__(self, spec: ModelSpec, module: nn.Module, device: str = "cpu", *, bfloat16: bool = False) -> None:
        self.spec = spec
        self.device = _device(device)
        self.module = module.eval().requires_grad_(requires_grad=False)
        self.module.to(device=self.device, dtype=torch.float32, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this form
        self._transform = Transform(spec.transform, len(spec.bands), spec.dates)
        self._fill = torch.tensor(spec.fill * spec.dates, dtype=torch.float32, device=self.device).view(1, -1, 1, 1)
        if self.device.type == "cuda":
            _make_reproducible()
        # Compiled for each shape of chip, of which a job has few.
        self._run: Callable[[Tensor], object] = torch.compile(self.module, dynamic=False) if bfloat16 else self.module
        self._bfloat16 = bfloat16
        self._temperatures: Tensor | None = None
        if spec.temperatures:
            own = torch.tensor(spec.temperatures, dtype=torch.float32, device=self.device)
            self._temperatures = own.view(1, -1, 1, 1)

    @torch.inference_mode()
    def scores(self, values: Tensor, valid: Tensor) -> Tensor:
        """Probabilities of every class.

        Args:
            values: ``(b, c, h, w)``: physical values in the spec's quantity and order of bands, float32; not changed. The bands of a
                second date lie behind those of the first. Height and width are multiples of the spec's stride.
            valid: ``(b, h, w)`` or ``(b, c, h, w)``, boolean: where ``values`` are to be believed. The rest enters the network
                as the spec's fill, whatever it holds.

        Returns:
            ``(b, class, h, w)``, float32, on the network's device; NaN where the network gives none.

        Raises:
            ValueError: If shapes do not fit the spec.
            ModelMismatchError: If the network does not give one logit per class.
        """
        return self._probabilities(self._logits(self._input(values, valid)))

    def traced_scores(self, values: Tensor, valid: Tensor) -> Tensor:
        """``scores`` as one graph of whole arrays without questions, for those who export it.

        Args:
            values: As for ``scores``.
            valid: ``(b, h, w)``, boolean.
        """
        own = self._transform.torch_(values.clone())
        logits = self.module(torch.where(valid[:, None], own, self._fill))
        are_good = logits == logits if logits.shape[1] == 1 else logits < torch.inf  # noqa: PLR0124  # not NaN
        return torch.where(are_good.all(dim=1, keepdim=True), self._probabilities(logits), torch.nan)

    def _probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities of the classes; with land cover also of those of the earlier date, then of the later one."""
        if not (kinds := len(self.spec.land_cover)):
            return self._calibrated(logits)
        change, before, after = logits[:, :1], logits[:, 1 : 1 + kinds], logits[:, 1 + kinds :]
        return torch.cat([self._calibrated(change), _softmax(before), _softmax(after)], dim=1)

    def _calibrated(self, logits: Tensor) -> Tensor:
        """Logits as probabilities, calibrated; the order of the classes stays."""
        if self.spec.temperature != 1:
            logits = logits / self.spec.temperature
        if self._temperatures is not None:
            logits = logits / (_softmax(logits) * self._temperatures).sum(dim=1, keepdim=True)
        return _softmax(logits)

    def _input(self, values: Tensor, valid: Tensor) -> Tensor:
        """What the network sees: a transformed, filled copy in the memory order that convolutions like best."""
        bands, stride = self.spec.channels, self.spec.stride_px
        if values.ndim != 4 or values.shape[1] != bands:
            raise ValueError(
                f"values {tuple(values.shape)} for a model of {bands} bands (of all dates): (b, {bands}, h, w) expected"
            )
        if values.shape[2] % stride or values.shape[3] % stride:
            raise ValueError(f"a chip of {values.shape[2]} x {values.shape[3]} px is no multiple of {stride} px")
        mask = valid if valid.ndim == 4 else valid[:, None]
        if mask.shape[0] != values.shape[0] or mask.shape[1] not in {1, bands} or mask.shape[2:] != values.shape[2:]:
            raise ValueError(f"valid {tuple(valid.shape)} does not fit values {tuple(values.shape)}")
        own = torch.empty(values.shape, dtype=torch.float32, device=self.device, memory_format=torch.channels_last)
        own.copy_(values)
        return network_input(own, mask.to(self.device), self._transform, self._fill)

    @torch.inference_mode()
    def _logits(self, normalised: Tensor) -> Tensor:
        """Forward pass; checks what comes out."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._bfloat16):
            logits = self._run(normalised)
        if not isinstance(logits, Tensor) or logits.ndim != 4 or logits.shape[1] not in self.spec.outputs:
            shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ModelMismatchError(
                f"the network of {self.spec.name!r} gives {shape}",
                f"(batch, {max(self.spec.outputs)}, height, width): one logit per class",
                "correct the classes or mlm:hyperparameters in the model's item.json",
            )
        if logits.shape[2:] != normalised.shape[2:]:
            raise ModelMismatchError(
                f"the network of {self.spec.name!r} gives {tuple(logits.shape[2:])} px",
                f"{tuple(normalised.shape[2:])} px, the size of its input",
                "use a network that keeps the size",
            )
        return logits.float()


def _softmax(logits: Tensor) -> Tensor:
    """Probabilities of all classes; one logit is that of the second of two."""
    if logits.shape[1] == 1:
        positive = torch.sigmoid(logits)
        return torch.cat([1 - positive, positive], dim=1)
    return torch.softmax(logits, dim=1)


def network_input(values: Tensor, valid: Tensor, transform: Transform, fill: Tensor) -> Tensor:
    """What a network sees, in prediction and in training alike: transformed values, and the fill where there are none.

    Args:
        values: ``(b, c, h, w)``, physical values, float32; overwritten. Of two dates one behind the other.
        valid: ``(b, 1, h, w)`` or ``(b, c, h, w)``, boolean.
        transform: Of the model, and its dates.
        fill: ``(1, c, 1, 1)``, of the model.

    Returns:
        ``(b, c, h, w)`` in the memory order that convolutions like best.
    """
    return torch.where(valid, transform.torch_(values), fill).contiguous(memory_format=torch.channels_last)


def load_network(
    folder: ModelFolder, device: str = "cpu", *, allow_pickle: bool = False, bfloat16: bool = False
) -> Network:
    """Find, verify and read the weights of a model and build its network.

    Args:
        folder: The model.
        device: ``cpu`` or ``cuda``.
        allow_pickle: Read ``.pth`` and ``.ckpt`` files too (``weights_only``, and still only by checksum).
        bfloat16: See ``Network``.

    Raises:
        RequestError: If the weights are a pickle that is not allowed, or there is no such device.
        WeightsError: If the weights are missing, truncated or altered.
        ModelMismatchError: If weights and network do not fit.
        ModelSpecError: If the architecture is unknown.
    """
    spec = folder.spec
    if spec.head == WORDS:
        raise ModelMismatchError(
            f"the text-image model {spec.name!r}, which has no classes of its own",
            "a network that classifies",
            "ask it in words: geoseg run --prompt; its windows are what its item says, nothing of them is measured",
        )
    guard_pickle(spec.weights, allow_pickle=allow_pickle)
    _device(device)
    path = find_weights(folder)
    module = build(spec)
    put_state(module, read_state(path, spec.weights, folder.path), spec.name)
    fold_norms(module.eval())
    return Network(spec, module, device, bfloat16=bfloat16)


def _device(name: str) -> torch.device:
    """The device of that name.

    Raises:
        RequestError: If it is not there.
    """
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise RequestError(f"the device {name!r}", "a CUDA device that torch can use", "take --device cpu or auto")
    return torch.device(name)


def _make_reproducible() -> None:
    """Full float32 and fixed algorithms on the GPU: the same chip gives the same bytes."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
