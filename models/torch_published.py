"""What a microbatch learner hands to serving processes: flat arrays, which ranges of them changed, and a spec."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from models.features import SMALL
from models.learner import Array, Json, Published
from models.network_pretrained import without_weights
from models.torch_predictor import NAME, SCHEMA
from models.touched import Ranges

if TYPE_CHECKING:
    from models.torch_learner import TorchLearner


STATISTICS = "statistics/statistics"


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
        """Return what changed since the last time: everything but what the expert says, and rows that nobody met."""
        parts = dict(self._learner.expert.changed())
        if STATISTICS in arrays:
            parts[STATISTICS] = self._learner.touched_statistics.take(arrays[STATISTICS].shape)
        ranges = {name: parts.get(name, [(0, array.size)]) for name, array in arrays.items()}
        return {name: changed for name, changed in ranges.items() if changed}


def describe(learner: "TorchLearner") -> Json:
    """Return what :class:`models.torch_predictor.TorchPredictor` needs to know."""
    model, options = learner.model, learner.options
    spec: dict[str, Any] = {
        "learner": NAME,
        "schema": SCHEMA,
        "task": learner.task.value,
        "kind": options.kind,
        "network": without_weights(options.network),
        "loss": options.loss,
        "key": options.key,
        "keys": options.keys,
        "ready": model.ready,
        "expert": model.expert.describe(),
        "classes": list(model.targets.classes),
        "layout": model.encoder.layout.to_json(),
    }
    return spec


def arrays_of(learner: "TorchLearner") -> dict[str, Array]:
    """Return the arrays that a predictor needs."""
    encoder = learner.model.encoder
    tensors = learner.expert.published() if learner.model.ready else {}
    arrays: dict[str, Array] = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
    arrays |= {f"encoder/{name}": encoder.arrays[name] for name in SMALL}
    if "statistics" in encoder.arrays:
        arrays[STATISTICS] = encoder.arrays["statistics"]
    arrays |= {f"targets/{name}": array for name, array in learner.model.targets.arrays.items()}
    return arrays
