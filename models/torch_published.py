"""What a microbatch learner hands to serving processes: flat arrays, which ranges of them changed, and a spec."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from models.learner import Array, Json, Published
from models.torch_predictor import NAME, SCHEMA
from models.touched import Ranges

if TYPE_CHECKING:
    from models.torch_learner import TorchLearner


class Publication:
    """Makes :class:`models.learner.Published` of a learner again and again.

    On the CPU, arrays are views of the learner's own memory; on an accelerator, copies on the host.

    Parameters
    ----------
    learner
        What is published.
    """

    def __init__(self, learner: "TorchLearner") -> None:
        self._learner = learner
        self._spec: Json = {}
        self._layout: dict[str, tuple[tuple[int, ...], str]] = {}
        self._known: tuple[int, ...] = ()

    def make(self) -> Published:
        """Return what the learner is now."""
        arrays = arrays_of(self._learner)
        layout = {name: (array.shape, array.dtype.str) for name, array in arrays.items()}
        places, classes = self._learner.model.encoder.layout, self._learner.model.targets.classes
        known = (places.width, len(places.strings), places.taken_over, len(classes))
        changed: dict[str, Ranges] | None = self._changed(arrays)
        if layout != self._layout or known != self._known:
            self._layout, self._known, changed = layout, known, None
            self._spec = describe(self._learner)
        return Published(self._spec, arrays, changed)

    def _changed(self, arrays: Mapping[str, Array]) -> dict[str, Ranges]:
        """Return what changed since the last time: everything but the tables' rows that nobody met."""
        training = self._learner.training
        tables = {"table/parameters": training.touched, "statistics/statistics": training.touched_statistics}
        ranges = {name: tables[name].take(a.shape) if name in tables else [(0, a.size)] for name, a in arrays.items()}
        return {name: changed for name, changed in ranges.items() if changed}


def describe(learner: "TorchLearner") -> Json:
    """Return what :class:`models.torch_predictor.TorchPredictor` needs to know."""
    model, (inputs, outputs) = learner.model, learner.training.shape
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


def arrays_of(learner: "TorchLearner") -> dict[str, Array]:
    """Return the arrays that a predictor needs."""
    model, parameters = learner.model, learner.training.parameters
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
