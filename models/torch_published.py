"""What a microbatch learner hands to serving processes: flat arrays, which ranges of them changed, and a spec."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from models.learner import Array, Json, Published
from models.torch_predictor import NAME, SCHEMA

if TYPE_CHECKING:
    from models.torch_learner import TorchLearner

GRAIN = 64  # rows of a table that are published together
MOST_RANGES = 256  # beyond which a table is published whole

Ranges = Sequence[tuple[int, int]]


class Touched:
    """Rows of a table that changed since they were published."""

    def __init__(self) -> None:
        self._rows: list[NDArray[np.int64]] = []

    def add(self, rows: NDArray[np.int64]) -> None:
        """Note that rows changed."""
        if len(rows):
            self._rows.append(rows)

    def ranges(self, shape: tuple[int, ...]) -> Ranges:
        """Return the ranges of elements that cover them, in a table of this shape, and forget them."""
        rows, self._rows = self._rows, []
        if not rows:
            return []
        grains = np.unique(np.concatenate(rows) % shape[0] // GRAIN)
        if len(grains) > MOST_RANGES:
            return [(0, shape[0] * shape[1])]
        starts = grains[np.flatnonzero(np.diff(grains, prepend=-2) > 1)]
        stops = grains[np.flatnonzero(np.diff(grains, append=grains[-1] + 2) > 1)] + 1
        size = GRAIN * shape[1]
        return [
            (start * size, min(stop * size, shape[0] * shape[1]))
            for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)
        ]


class Publication:
    """Makes :class:`models.learner.Published` of a learner again and again.

    On the CPU, arrays are views of the learner's own memory; on an accelerator, copies on the host.
    """

    def __init__(self) -> None:
        self.table = Touched()
        self.statistics = Touched()
        self._spec: Json = {}
        self._layout: dict[str, tuple[tuple[int, ...], str]] = {}
        self._known: tuple[int, ...] = ()

    def forget(self) -> None:
        """Take everything as changed, as after a restoration."""
        self._layout = {}

    def make(self, learner: "TorchLearner") -> Published:
        """Return what a learner is now."""
        arrays = _arrays(learner)
        layout = {name: (array.shape, array.dtype.str) for name, array in arrays.items()}
        encoder, classes = learner.model.encoder, learner.model.targets.classes
        known = (encoder.layout.width, len(encoder.layout.strings), len(encoder.layout.numbers), len(classes))
        changed = self._changed(arrays)
        if layout != self._layout or known != self._known:
            self._layout, self._known, changed = layout, known, None
            self._spec = _describe(learner)
        return Published(self._spec, arrays, changed)

    def _changed(self, arrays: Mapping[str, Array]) -> dict[str, Ranges] | None:
        """Return what changed since the last time."""
        tables = {"table/parameters": self.table, "statistics/statistics": self.statistics}
        changed: dict[str, Ranges] = {}
        for name, array in arrays.items():
            ranges = tables[name].ranges(array.shape) if name in tables else [(0, array.size)]
            if ranges:
                changed[name] = ranges
        return changed


def _describe(learner: "TorchLearner") -> Json:
    """Return what :class:`models.torch_predictor.TorchPredictor` needs to know."""
    model, (inputs, outputs) = learner.model, learner.shape
    spec: dict[str, Any] = {
        "learner": NAME,
        "schema": SCHEMA,
        "task": learner.task.value,
        "kind": learner.options.kind,
        "network": dict(learner.options.network),
        "single": model.single,
        "inputs": inputs,
        "outputs": outputs,
        "classes": list(model.targets.classes),
        "layout": model.encoder.layout.to_json(),
    }
    return spec


def _arrays(learner: "TorchLearner") -> dict[str, Array]:
    """Return the arrays that a predictor needs."""
    model, parameters = learner.model, learner.parameters
    tensors: dict[str, Tensor] = {f"buffers/{name}": buffer for name, buffer in model.network.buffers().items()}
    if parameters.shapes:
        tensors["network/parameters"] = parameters.block[0]
    if parameters.table is not None:
        tensors["table/parameters"] = parameters.table[0]
    arrays: dict[str, Array] = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
    arrays["encoder/moments"] = model.encoder.arrays["moments"]
    if "statistics" in model.encoder.arrays:
        arrays["statistics/statistics"] = model.encoder.arrays["statistics"]
    arrays |= {f"targets/{name}": array for name, array in model.targets.arrays.items()}
    return arrays
