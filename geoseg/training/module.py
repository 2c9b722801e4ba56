"""The training as Lightning sees it: a step, a look at the held-out groups, and a checkpoint after each look."""

from __future__ import annotations

import math
import signal
import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Dataset

from geoseg.training.batches import HeldOut, Steps, Training
from geoseg.training.checkpoint import Checkpoint, History
from geoseg.training.config import TrainConfig, TrainingError
from geoseg.training.losses import Loss, two_logits
from geoseg.training.scores import Confusion, Look

_ROW_STEPS = 20


class Watcher(Protocol):
    """Who is told how a training goes on."""

    def stage(self, name: str) -> None:
        """A part of the work begins."""

    def note(self, text: str) -> None:
        """Something that the user should know."""

    def step(self, step: int, total: int, loss: float, mean_iou: float | None) -> None:
        """A step is done; ``mean_iou`` is that of the last look."""


class _Numbers(Dataset[int]):
    """0, 1, 2, ... as a loader wants them."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, number: int) -> int:
        if not 0 <= number < self._count:
            raise IndexError(number)
        return number


class StoppedError(Exception):
    """Leaves the loop between two steps; the checkpoint is written."""


@dataclass(frozen=True)
class Parts:
    """What a training is put together from.

    Attributes:
        config: See there.
        network: With the weights to start from.
        loss: Of logits and labels.
        training: Batches.
        held_out: Windows to look at, or ``None``.
        classes: Length of the legend.
        key: Of configuration and data.
        checkpoint: File.
    """

    config: TrainConfig
    network: nn.Module
    loss: Loss
    training: Training
    held_out: HeldOut | None
    classes: int
    key: str
    checkpoint: Path


class Segmenting(pl.LightningModule):
    """A network that learns classes of pixels.

    An epoch of Lightning's is the way from one look at the held-out groups to the next. Whatever is random in a step comes
    from generators that (seed, step) alone decide, so a training that goes on from a checkpoint takes the same steps.

    Args:
        parts: See there.
        watcher: Who is told.
        is_stopped: Asked after each step.
        start: Where to go on.
    """

    def __init__(
        self, parts: Parts, watcher: Watcher, is_stopped: Callable[[], bool], start: Checkpoint | None = None
    ) -> None:
        super().__init__()
        self.parts, self._watcher, self._is_stopped = parts, watcher, is_stopped
        self.network = parts.network.to(memory_format=torch.channels_last)
        self.mean = AveragedModel(self.network, multi_avg_fn=_mean_by(parts.config.schedule.ema), use_buffers=True)
        self.done_steps = 0
        self.history = History()
        self.best: dict[str, Any] = {}
        self._since_best, self._is_done = 0, False
        self._losses: list[Tensor] = []
        self._confusion = self._nothing()
        self._start = start
        self._on_sigterm = signal.getsignal(signal.SIGTERM)
        if start is not None:
            self.network.load_state_dict(start.network)
            self.mean.load_state_dict(start.mean)
            self.done_steps, self.history, self.best = start.step, start.history, start.best
            self._since_best = start.since_best

    def configure_optimizers(self) -> Any:  # Lightning's union of many forms
        """AdamW; the rate rises in a line and falls as a cosine."""
        schedule = self.parts.config.schedule
        decayed = [weight for weight in self.network.parameters() if weight.ndim > 1]
        others = [weight for weight in self.network.parameters() if weight.ndim <= 1]
        optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": schedule.weight_decay}, {"params": others, "weight_decay": 0.0}],
            lr=schedule.rate,
        )
        rising = max(1, round(schedule.warmup * schedule.steps))

        def factor(step: int) -> float:
            if step < rising:
                return (step + 1) / rising
            return max(1e-3, 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, schedule.steps - rising))))

        rate = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rate, "interval": "step"}}

    def on_train_start(self) -> None:
        """Takes over what optimiser, rate and scale knew, and leaves signals to the caller."""
        if threading.current_thread() is threading.main_thread():
            # Lightning's own ends a look in the middle, and the process with 0.
            signal.signal(signal.SIGTERM, self._on_sigterm)
        if self._start is not None:
            self._optimizer.load_state_dict(self._start.optimizer)
            self._rate.load_state_dict(self._start.schedule)
            self.trainer.precision_plugin.load_state_dict(self._start.scaler)

    def train_dataloader(self) -> DataLoader[tuple[Tensor, Tensor]]:
        """The steps up to the next look."""
        schedule, every = self.parts.config.schedule, self.parts.config.validation.every
        last = min(schedule.steps, (self.done_steps // every + 1) * every)
        return DataLoader(Steps(self.parts.training, self.done_steps, last), batch_size=None)

    def val_dataloader(self) -> Any:  # as above
        """Numbers of the windows of a look."""
        return DataLoader(_Numbers(len(self.parts.held_out)), batch_size=None) if self.parts.held_out else []

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seeds what a network may draw by itself, such as dropout."""
        del batch, batch_idx
        seed = zlib.crc32(f"{self.parts.config.seed} {self.done_steps}".encode())
        torch.manual_seed(seed)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """The loss of a batch."""
        del batch_idx
        images, labels = batch
        images = images.contiguous(memory_format=torch.channels_last)
        loss = self.parts.loss(two_logits(self._learning(images)), labels)
        self._losses.append(loss.detach())
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Counts the step, and looks whether to stop."""
        del outputs, batch, batch_idx
        self.done_steps += 1
        self.mean.update_parameters(self.network)
        steps = self.parts.config.schedule.steps
        if self.done_steps % _ROW_STEPS == 0 or self.done_steps == steps:
            self._write_row()
        look = self.history.look_at()
        if self._losses or self.history.losses:
            loss = float(self._losses[-1]) if self._losses else self.history.losses[-1][1]
            self._watcher.step(self.done_steps, steps, loss, look.confusion.mean_iou if look is not None else None)
        if self._is_stopped() and self.done_steps < steps:
            self.write()
            raise StoppedError

    def _write_row(self) -> None:
        loss = float(torch.stack(self._losses).mean())
        if not math.isfinite(loss):
            raise TrainingError(
                f"a loss of {loss} at step {self.done_steps}",
                "a number",
                "lower schedule.rate, or look at the values of the images and at transform",
            )
        self.history.losses.append((self.done_steps, loss, float(self._rate.get_last_lr()[0])))
        self._losses = []

    def on_validation_epoch_start(self) -> None:
        """Begins a look."""
        self._confusion = self._nothing()

    def validation_step(self, number: int, batch_idx: int) -> None:
        """Counts one window, seen by the mean of weights."""
        del batch_idx
        held_out = cast(HeldOut, self.parts.held_out)
        image, part, patch = held_out.at(int(number))
        logits = two_logits(self.kept_network(image.to(self.device)))[0, :, *part]
        predicted = logits.argmax(dim=0).to(torch.uint8).cpu().numpy()
        self._confusion += Confusion.of(patch.labels, predicted, self.parts.classes)

    def on_validation_epoch_end(self) -> None:
        """Ends a look: a row, the best weights, and perhaps the training."""
        found, patience = self._confusion, self.parts.config.validation.patience
        self.history.looks.append(Look(self.done_steps, found))
        if patience is None:
            return
        if not self.best or (found.mean_iou or 0.0) > self.best["mean_iou"]:
            state = {name: value.detach().cpu().clone() for name, value in self.kept_network.state_dict().items()}
            self.best = {"mean_iou": found.mean_iou or 0.0, "step": self.done_steps, "state": state}
            self._since_best = 0
        else:
            self._since_best += 1
        if self._since_best >= patience:
            self._is_done = True
            self.trainer.should_stop = True

    def on_train_epoch_end(self) -> None:
        """Writes a checkpoint after each look."""
        self._is_done = self._is_done or self.done_steps >= self.parts.config.schedule.steps
        self.write()

    def write(self) -> None:
        """The state between two steps, on the disk."""
        if self._losses:
            self._write_row()
        Checkpoint(
            key=self.parts.key,
            step=self.done_steps,
            network=self.network.state_dict(),
            mean=self.mean.state_dict(),
            optimizer=self._optimizer.state_dict(),
            schedule=self._rate.state_dict(),
            scaler=self.trainer.precision_plugin.state_dict(),
            rng=torch.get_rng_state(),
            history=self.history,
            best=self.best,
            since_best=self._since_best,
            threads=torch.get_num_threads(),
            done=self._is_done,
        ).write(self.parts.checkpoint)

    @property
    def _learning(self) -> nn.Module:
        """What a step trains: the network, or what of it computes at the resolution of the windows."""
        inner = self.network.network if self.parts.config.sampling.reduced else self.network
        return cast(nn.Module, inner)

    @property
    def kept_network(self) -> nn.Module:
        """The network whose weights are kept: the mean of the last steps."""
        module: nn.Module = self.mean.module
        return module.eval()

    @property
    def _optimizer(self) -> torch.optim.Optimizer:
        return self.trainer.optimizers[0]

    @property
    def _rate(self) -> Any:  # Lightning's own type of schedulers
        return self.trainer.lr_scheduler_configs[0].scheduler

    def _nothing(self) -> Confusion:
        return Confusion(np.zeros((self.parts.classes, self.parts.classes), np.int64))


def _mean_by(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Any], None]:
    """A mean whose memory grows: the first weights, which know nothing, are soon forgotten."""

    @torch.no_grad()
    def update(means: Sequence[Tensor], values: Sequence[Tensor], count: Any) -> None:
        number = int(count)
        kept = min(decay, (1 + number) / (10 + number))
        for mean, value in zip(means, values, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value.to(mean.dtype), 1 - kept)
            else:
                mean.copy_(value)

    return update
