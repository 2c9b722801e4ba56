"""What runs a job's network, how large its tiles and chips are, and what of both stands in the keys of tiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from geoseg.budget import Appetite, Budget, Share, appetite_of, plan_budget, share_budget
from geoseg.cluster import require_cluster
from geoseg.composite import MEAN_SCORES
from geoseg.errors import RequestError
from geoseg.grid import Lattice
from geoseg.heads import plugin_of_head
from geoseg.heads.from_to import DATE_LAYERS
from geoseg.keys import KEPT, KeyParts
from geoseg.machine import has_gpu_driver, usable_cores
from geoseg.models import ModelFolder, ModelSpec
from geoseg.models.backends import Backend, Choice, choose_backend
from geoseg.models.exports import has_torch
from geoseg.models.exports.openvino_network import MOST_SHAPES
from geoseg.models.exports.streaming import STRIP_PX
from geoseg.models.legends import Legend
from geoseg.models.weights import weights_at_hand
from geoseg.pipeline.class_sets import SetsPlan
from geoseg.pipeline.subject import is_detector
from geoseg.pixels import LAYERS, SETS, layer_names
from geoseg.settings import Settings
from geoseg.spec import JobSpec
from geoseg.words import LAYERS as WORDS_LAYERS
from geoseg.words import WordsPlan

_PROCESSOR_ONLY = {"openvino", "onnx"}
# Chips above this side gain nothing: eager torch on a processor slows down as its temporaries outgrow the caches, and the
# halo of a small network is already a small share. See docs/decisions/004-chips-and-memory.md.
_BEST_CHIP_PX = {"numpy-cpu": 512, "torch-cpu": 1024, "torch-cuda": 2048, "openvino-cpu": 2048, "onnx-cpu": 1024}
# Proportional set size of a process that has loaded the pipeline and what runs the network, in bytes, and room for the
# join of polygons and the report.
_STANDING_BYTES = {"numpy": 350 * 10**6, "torch": 800 * 10**6, "openvino": 450 * 10**6, "onnx": 450 * 10**6}
# Windows of two dates in float32, twice where the dates are moved, and copies of the sample in float64.
_FIT_BYTES_PER_CHANNEL = 2 * 64 * 128**2 * 4 + 4 * 2**18 * 8
# What converting and timing a network takes beside this process; below it, what is there is taken as it is.
_TRIAL_BYTES = 2 * 10**9
# What the large libraries of networks add to torch.
_LIBRARY_BYTES = {"smp": 250 * 10**6, "torchgeo": 350 * 10**6, "transformers": 400 * 10**6, "open-clip": 400 * 10**6}


def backend_of(
    spec: JobSpec,
    settings: Settings,
    folder: ModelFolder,
    say: Callable[[str], object],
    begun_with: Choice | None,
    *,
    is_run: bool,
    should_stop: Callable[[], bool],
) -> Backend:
    """What runs the network: what the job was begun with, unless another backend or device is asked for.

    Another measurement, or another machine, must not have tiles computed again that are there.

    Raises:
        RequestError: If this machine does not have what the job was begun with.
        InterruptedRunError: If it is asked to stop.
    """
    if is_detector(folder):
        return Backend("numpy", "cpu", "exact", why="no network, no weights")
    if (
        begun_with is None
        or begun_with.name == "numpy"
        or settings.backend != "auto"
        or settings.device not in {"auto", begun_with.device}
    ):
        return _chosen(spec, settings, folder, say, should_stop, is_run=is_run)
    same = settings.model_copy(update={"backend": begun_with.name, "device": begun_with.device})
    try:
        backend = _chosen(spec, same, folder, say, should_stop, is_run=is_run)
    except RequestError as err:
        raise _not_as_begun(begun_with, err.given, err.todo) from err
    if backend.choice != begun_with:
        raise _not_as_begun(begun_with, f"here it would be {backend.choice.describe()}", "run it where it was begun")
    return replace(backend, why="as this job was begun")


def _not_as_begun(begun_with: Choice, why: str, todo: str) -> RequestError:
    return RequestError(
        f"a job that was begun with {begun_with.describe()}; {why}",
        "the same for all of its tiles: another network rounds otherwise",
        f"{todo}; or say what to take, which computes its tiles again, such as --backend torch --device cpu",
    )


def _chosen(
    spec: JobSpec,
    settings: Settings,
    folder: ModelFolder,
    say: Callable[[str], object],
    should_stop: Callable[[], bool],
    *,
    is_run: bool,
) -> Backend:
    """What runs the network; measured only by runs, and where its weights are at hand."""
    device = _device(settings)
    return choose_backend(
        folder,
        settings.backend,
        device,
        spec.profile,
        usable_cores(),
        say=say,
        may_measure=is_run and settings.max_memory >= _TRIAL_BYTES and weights_at_hand(folder) is not None,
        allow_pickle=settings.allow_pickle,
        should_stop=should_stop,
    )


def _device(settings: Settings) -> str:
    """``cpu`` or ``cuda``; torch is asked only where the answer depends on it."""
    if settings.scheduler is not None:
        require_cluster(f"--scheduler {settings.scheduler}")
        from geoseg.cluster.team import offers_gpu  # noqa: PLC0415  # an extra

        offers = offers_gpu(settings.scheduler)  # asked in any case: a scheduler that is not there is said at once
        if settings.device != "auto":
            return settings.device
        return "cuda" if offers and settings.backend not in _PROCESSOR_ONLY else "cpu"
    if settings.device == "auto" and settings.backend in _PROCESSOR_ONLY:
        return "cpu"
    if settings.device == "cpu" or (settings.device == "auto" and not (has_gpu_driver() and has_torch())):
        return "cpu"
    from geoseg.predict.tensors import pick_device  # noqa: PLC0415  # seconds that `--device cpu` plans need not wait

    return pick_device(settings.device)


def kept_layers(spec: JobSpec) -> tuple[str, ...]:
    """Layers of ``geoseg.pixels.LAYERS`` that records have: those that were asked for; of prompts the margin too."""
    return tuple(name for name in LAYERS if name in spec.layers or (name == "margin" and (spec.prompt or spec.example)))


def appetite(
    model: ModelSpec, backend: Backend, layers: Sequence[str] = (), rule: str = "", words: WordsPlan | None = None
) -> Appetite:
    """What a model costs in memory, with the further layers that are kept and the rule of the composite."""
    if words is not None:
        return _appetite_of_words(model, layers, words)
    weights = model.weights.size_bytes or 0
    fitting = _FIT_BYTES_PER_CHANNEL * model.channels if model.dates > 1 else 0
    if backend.name == "torch":  # weights are in memory twice while they are loaded
        standing = _STANDING_BYTES["torch"] + 2 * weights + _LIBRARY_BYTES.get(model.architecture.partition(":")[0], 0)
    elif backend.name == "numpy":
        standing = _STANDING_BYTES["numpy"]
    elif backend.name == "onnx":  # passes share them
        standing = _STANDING_BYTES["onnx"] + 2 * weights
    else:  # and once for each shape that each pass keeps
        standing = _STANDING_BYTES["openvino"] + (1 + MOST_SHAPES * usable_cores()) * weights
    told = 2 * len(model.land_cover)
    return appetite_of(
        model.channels,
        len(model.classes) + told,
        model.cell_px,
        model.radius_px,
        model.stride_px,
        backend.workspace_bytes_per_px(model),
        model.chip_px,
        standing + fitting,
        len(layer_names(layers, len(model.classes))) + (len(DATE_LAYERS) if told else 0),
        sums=rule == MEAN_SCORES,
        column_bytes=0.0 if rule == MEAN_SCORES else backend.column_bytes,  # sums want scores of whole chips
    )


def _appetite_of_words(model: ModelSpec, layers: Sequence[str], words: WordsPlan) -> Appetite:
    """What prompts cost: scores of every phrase over a tile, and copies of them while the choice is made."""
    standing = _STANDING_BYTES["torch"] + 2 * (model.weights.size_bytes or 0)
    standing += _LIBRARY_BYTES.get(model.architecture.partition(":")[0], 0)
    maps = len(words.owners) * 2 + len(words.classes) * 5
    further = len(layer_names(layers, len(words.classes))) + len(WORDS_LAYERS)
    return appetite_of(
        len(model.bands),
        maps,
        model.cell_px,
        model.radius_px,
        model.stride_px,
        model.workspace_bytes_per_px,
        model.chip_px,
        standing,
        further,
        sums=True,
    )


def sizes_of(settings: Settings, backend: Backend, needs: Appetite) -> tuple[Budget, Share | None, list[str]]:
    """Sizes that fit the memory, the share of each worker process where there are several, and if these are fewer, why.

    Raises:
        MemoryTooSmallError: If not even one tile fits.
        RequestError: If workers of this machine and of a cluster are asked for, or the library for either is missing.
    """
    cores = usable_cores() if backend.device == "cpu" else 1
    budget = plan_budget(settings.max_memory, cores, settings.tile_size, _BEST_CHIP_PX[backend.key], needs)
    asked = settings.workers or 1
    if asked == 1:
        return budget, None, _idle_gpu(settings, backend)
    if settings.scheduler is not None:
        raise RequestError(
            f"--workers {asked} with --scheduler {settings.scheduler}",
            "worker processes of this machine, or those of the scheduler",
            "leave one of them away; a scheduler has the workers that are started for it",
        )
    require_cluster(f"--workers {asked}")
    most = min(asked, _gpus()) if backend.device == "cuda" else asked
    share = share_budget(budget, settings.max_memory, cores if backend.device == "cpu" else most, most, needs)
    now = 1 if share is None else share.processes
    why = f"this machine has {most} GPUs" if now == most else "--max-memory is not enough for more"
    fewer = [f"{now} of {asked} worker processes: {why}"] * (now < asked)
    return budget, share, [*_idle_gpu(settings, backend), *fewer]


def _idle_gpu(settings: Settings, backend: Backend) -> list[str]:
    """What to say where a GPU would have been taken, and cannot be."""
    is_open = settings.device == "auto" and settings.scheduler is None and settings.backend not in _PROCESSOR_ONLY
    if not is_open or backend.device != "cpu" or not has_gpu_driver() or (has_torch() and _gpus()):
        return []
    words = (
        "this machine has a driver for a GPU that torch cannot use (its version, or no device): the network runs on the"
    )
    return [f"{words} processor, and the forecast is for that; --device cuda refuses instead"]


def _gpus() -> int:
    from geoseg.predict.tensors import count_gpus  # noqa: PLC0415  # torch is asked only where there is a GPU

    return count_gpus()


def key_parts_of(
    spec: JobSpec,
    model: ModelSpec,
    lattice: Lattice,
    budget: Budget,
    backend: Backend,
    legend: Legend | None = None,
    words: WordsPlan | None = None,
    sets: SetsPlan | None = None,
) -> KeyParts:
    """What the keys of all tiles of a job share."""
    head = plugin_of_head(model)
    chip: tuple[int, ...] = (budget.chip_cells, 1)
    if model.chip_px is not None:
        chip = (model.chip_px, model.chip_step_px or 0, 1)
    if budget.column_px:  # other shapes: their sums may round differently
        chip = (budget.column_px, STRIP_PX, budget.chip_cells, 1)
    return KeyParts(
        model=model.digest,
        composite=spec.composite,
        quantity=model.quantity,
        bands=tuple(model.bands),
        lattice=lattice,
        backend=backend.key,
        precision=backend.precision,
        threads=budget.threads_per_pass,
        chip=chip,
        layers=(*KEPT, *(sets.key if sets is not None and name == SETS else name for name in kept_layers(spec))),
        head=words.digest if words is not None else "" if head is None else head.fingerprint,
        fused=() if legend is None else legend.fused,
    )
