"""Answers from published arrays, without copying them: the serving process's side of ``torch_learner.py``.

The arrays may be mapped from a file that a trainer is overwriting. Nothing is remembered of them from one call to the
next, and no value in them decides where memory is read; so a call made while they change gives a wrong answer, which
whoever maps them finds out afterwards and asks again, and never more than that.
"""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from models.encoder_layout import Layout
from models.examples import Features, Task
from models.features import FeatureEncoder
from models.learner import Array, Json, Predictions, check_spec
from models.networks import create_network
from models.parameters import named_views
from models.targets import create_targets
from models.torch_model import TorchModel

SCHEMA = 1
NAME = "microbatch"


class TorchPredictor:
    """See :class:`models.learner.Predictor`.

    Parameters
    ----------
    model
        Over published arrays.
    """

    def __init__(self, model: TorchModel) -> None:
        self._model = model

    @classmethod
    def from_published(cls, spec: Json, arrays: Mapping[str, Array]) -> Self:
        """Return a predictor over published arrays.

        Raises
        ------
        StateMismatch
            `spec` is that of another learner or of an unknown schema version.
        """
        check_spec(spec, NAME, SCHEMA)
        task = Task(spec["task"])
        network = create_network(spec["kind"], spec["network"])
        shapes = network.shapes(spec["inputs"], spec["outputs"]) if spec["inputs"] else {}
        if shapes:
            network.bind(named_views(tensor_over(arrays["network/parameters"]), shapes), None)
            for name, buffer in network.buffers().items():
                buffer.data = tensor_over(arrays[f"buffers/{name}"])
        table = tensor_over(arrays["table/parameters"]) if "table/parameters" in arrays else None
        encoder_arrays = {**section(arrays, "encoder"), **section(arrays, "statistics")}
        encoder = FeatureEncoder(task, Layout.from_json(spec["layout"]), encoder_arrays, spare=network.spare)
        targets = create_targets(task, spec["classes"], section(arrays, "targets"))
        device = torch.device("cpu")
        return cls(TorchModel(task, spec["single"], encoder, targets, network, table, device, ready=bool(shapes)))

    def predict(self, features: Features) -> Predictions:
        """See :class:`models.learner.Predictor`."""
        return self._model.predict(features)


def section(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """Return the arrays of a segment under the names that they have within it."""
    start = f"{prefix}/"
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}


def tensor_over(array: Array) -> Tensor:
    """Return a tensor over an array's memory, which may be read-only: nothing here writes to it."""
    return torch.from_numpy(np.asarray(_Writable(array)))


class _Writable:
    """Memory of an array that NumPy is told may be written to; PyTorch knows no read-only tensors, and would warn."""

    def __init__(self, array: Array) -> None:
        self._array = array  # keeps the memory
        interface: dict[str, Any] = dict(array.__array_interface__)
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}
