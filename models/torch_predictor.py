"""Answers from published arrays, without copying them: the serving process's side of ``torch_learner.py``.

The arrays may be mapped from a file that a trainer is overwriting. Nothing is remembered of them from one call to the
next, and no value in them decides where memory is read; so a call made while they change gives a wrong answer, which
whoever maps them finds out afterwards and asks again, and never more than that.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from models.drift_succession import published_expert
from models.encoder_layout import Layout
from models.examples import Features, Task
from models.experts import create_expert
from models.explanation_sums import Sums
from models.features import FeatureEncoder
from models.keyed import Keyed
from models.learner import Array, Json, LearnerOptions, Predictions, check_spec
from models.names import under
from models.network_expert import NetworkExpert
from models.networks import Linear
from models.targets import NumberTargets, create_targets
from models.torch_model import TorchModel

SCHEMA = 3
NAME = "microbatch"
HOST = ("encoder/", "statistics/", "targets/")
"""What published arrays that are not the expert's begin with."""


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
        task, device = Task(spec["task"]), torch.device("cpu")
        key, keys = spec.get("key", ""), spec.get("keys", 1)  # what was published before there were keys lacks them
        options = LearnerOptions(kind=spec["kind"], loss=spec["loss"], network=spec["network"], key=key, keys=keys)
        make = partial(create_expert, options, task, device)
        described = spec["expert"]["shared"] if key else spec["expert"]
        expert = published_expert(make, task, options.loss, device, described)
        if key:
            expert = Keyed(expert, options, task, device)
        if spec["ready"]:
            tensors = {name: tensor_over(array) for name, array in arrays.items() if not name.startswith(HOST)}
            expert.attach(spec["expert"], tensors)
        encoder_arrays = {**under("encoder/", arrays), **under("statistics/", arrays)}
        encoder = FeatureEncoder(task, Layout.from_json(spec["layout"]), encoder_arrays, spare=expert.spare)
        targets = create_targets(task, spec["classes"], under("targets/", arrays))
        return cls(TorchModel(task, encoder, targets, expert, device, ready=spec["ready"], key=key))

    def predict(self, features: Features) -> Predictions:
        """See :class:`models.learner.Predictor`."""
        return self._model.predict(features)

    @torch.no_grad()
    def sums(self, features: Features) -> Sums | None:
        """See :class:`models.explanation.SummingPredictor`: a linear network is one, if nothing is around it."""
        model = self._model
        expert = model.expert
        if not (model.ready and isinstance(expert, NetworkExpert) and isinstance(expert.network, Linear)):
            return None
        outputs, shares = expert.unmixed(model.encode(model.encoder.prepare(features)), model.prior())
        each = outputs.transpose(0, 1).double().numpy()
        if isinstance(model.targets, NumberTargets):
            mean, deviation = model.targets.scale()
            each = each * deviation + mean
        return Sums(each, shares.double().numpy())


def tensor_over(array: Array) -> Tensor:
    """Return a tensor over an array's memory, which may be read-only: nothing here writes to it."""
    return torch.from_numpy(np.asarray(_Writable(array)))


class _Writable:
    """Memory of an array that NumPy is told may be written to; PyTorch knows no read-only tensors, and would warn."""

    def __init__(self, array: Array) -> None:
        self._array = array  # keeps the memory
        interface: dict[str, Any] = dict(array.__array_interface__)
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}
