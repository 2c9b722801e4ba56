"""Which head a model's item names: one of geoseg's own, or that of a plug-in."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from geoseg import plugins
from geoseg.errors import GeosegError, RequestError
from geoseg.heads.base import Chips, Head, HeadOutput
from geoseg.models import ClassInfo, ModelSpec
from geoseg.models.legends import Legend
from geoseg.models.spec import FROM_TO, SEMANTIC, WORDS

if TYPE_CHECKING:
    from geoseg.models.backends import AnyNetwork

# Name to where it is built: a callable from a loaded network to a head.
_OWN: Mapping[str, str] = {
    SEMANTIC: "geoseg.heads.semantic:SemanticHead",
    FROM_TO: "geoseg.heads.from_to:FromToHead",
    WORDS: "geoseg.heads.words:WordsHead",  # made with a job's prompts, see geoseg.cluster.loading
}


def head_names() -> tuple[str, ...]:
    """Names of all heads; no plug-in is imported."""
    return (*_OWN, *(name for name in plugins.plugin_names(plugins.HEADS) if name not in _OWN))


def plugin_of_head(spec: ModelSpec) -> plugins.Plugin | None:
    """Who adds the head of a model; ``None`` for heads of geoseg's own. Nothing is imported.

    Raises:
        RequestError: If there is no head of that name.
        PluginError: If two distributions add it.
    """
    plugin = plugins.find_plugin(plugins.HEADS, spec.head, own=_OWN)
    if plugin is None and spec.head not in _OWN:
        raise RequestError(
            f"the model {spec.name!r} with the head {spec.head!r}",
            f"one of {', '.join(head_names())}",
            "install the package that adds this head, or correct geoseg.head in the model's item.json",
        )
    return plugin


def make_head(network: AnyNetwork, legend: Legend | None = None) -> Head:
    """The head of a loaded model.

    Args:
        network: The model.
        legend: In which its classes are told; without one, or where none fuse, scores are those of the network.

    Raises:
        RequestError: If there is no head of that name.
        PluginError: If the plug-in that adds it cannot be used.
    """
    head = _own_head(network)
    if legend is None or not legend.fused:
        return head
    from geoseg.heads.legend import LegendHead  # noqa: PLC0415  # few jobs need it

    return LegendHead(head, legend)


def _own_head(network: AnyNetwork) -> Head:
    plugin = plugin_of_head(network.spec)
    if plugin is not None:
        return _GuardedHead(network, plugin)
    module, _, name = _OWN[network.spec.head].partition(":")
    head: Head = getattr(import_module(module), name)(network)
    return head


class _GuardedHead:
    """A head of others: what it raises, and answers that are none, are said to be its own."""

    def __init__(self, network: AnyNetwork, plugin: plugins.Plugin) -> None:
        import torch  # noqa: PLC0415  # loaded with the network; this module is asked for names without it

        self._memory_error = torch.OutOfMemoryError
        self._plugin = plugin
        build = plugin.load()
        try:
            self._head: Head = build(network)
            classes = tuple(self._head.class_table)
        except Exception as err:
            raise self._error(err) from err
        if classes != network.spec.classes:
            raise plugin.error(
                f"it gives the classes {', '.join(info.name for info in classes if isinstance(info, ClassInfo))}",
                f"those of the model's item: {', '.join(info.name for info in network.spec.classes)}",
            )

    @property
    def class_table(self) -> tuple[ClassInfo, ...]:
        """Classes by index."""
        return self._head.class_table

    def __call__(self, chips: Chips) -> HeadOutput:
        """Scores of a batch of chips.

        Raises:
            PluginError: If the head fails, or gives something else than probabilities.
        """
        try:
            output: Any = self._head(chips)  # Any: the word of others
            is_one = isinstance(output, HeadOutput) and not bool(((output.scores < 0) | (output.scores > 1)).any())
        except (GeosegError, self._memory_error):  # known to those who asked
            raise
        except Exception as err:
            raise self._error(err) from err
        if not is_one:
            raise self._plugin.error("its answer is no HeadOutput of probabilities", "scores from 0 to 1, or NaN")
        answer: HeadOutput = output
        return answer

    def _error(self, err: Exception) -> GeosegError:
        return self._plugin.error(f"{type(err).__name__}: {err}", "a head that answers")
