"""What a microbatch learner is, as JSON and arrays for a checkpoint, and back again, bit for bit.

Arrays that change together share a segment: the tables, which are large and in which little changes, have their own.
"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from models.encoder_layout import Layout
from models.errors import StateMismatch
from models.features import FeatureEncoder
from models.learner import Array, LearnerState
from models.targets import create_targets
from models.torch_predictor import NAME, SCHEMA, section

if TYPE_CHECKING:
    from models.torch_learner import TorchLearner


def identity(learner: "TorchLearner") -> dict[str, Any]:
    """Return what a saved state must agree with."""
    options = learner.options
    return {
        "learner": NAME,
        "schema": SCHEMA,
        "task": learner.task.value,
        "kind": options.kind,
        "network": dict(options.network),
        "loss": options.loss,
        "optimizer": options.optimizer,
    }


def save(learner: "TorchLearner") -> LearnerState:
    """Return the state of a learner, copied to the host."""
    model, parameters = learner.model, learner.parameters
    evaluation, scores = learner.evaluation.state()
    tensors = {"network/block": parameters.block, "network/generator": learner.generator.get_state()}
    tensors |= {f"buffers/{name}": buffer for name, buffer in model.network.buffers().items()}
    if parameters.table is not None:
        tensors["table/block"] = parameters.table
    host = {
        "encoder": {"moments": model.encoder.arrays["moments"]},
        "statistics": {k: v for k, v in model.encoder.arrays.items() if k == "statistics"},
        "targets": model.targets.arrays,
        "evaluation": scores,
        "replay": learner.replay.state(),
        "guard": learner.guard.state(),
    }
    arrays: dict[str, Array] = {name: np.array(tensor.cpu().numpy(), order="C") for name, tensor in tensors.items()}
    arrays |= {
        f"{segment}/{name}": np.array(a, order="C") for segment, part in host.items() for name, a in part.items()
    }
    meta = {
        **identity(learner),
        "layout": model.encoder.layout.to_json(),
        "classes": list(model.targets.classes),
        "shape": list(learner.shape),
        "counters": asdict(learner.counters),
        "evaluation": evaluation,
    }
    return LearnerState(meta, arrays)


def load(learner: "TorchLearner", state: LearnerState) -> None:
    """Make a learner what `state` was taken from.

    Raises
    ------
    StateMismatch
        It is that of another learner, task, network, loss, optimizer or schema version; nothing was changed.
    """
    expected = identity(learner)
    found = {key: state.meta.get(key) for key in expected}
    if found != expected:
        raise StateMismatch(f"saved: {found}; configured: {expected}: set these back, or start the model anew")
    copies = {name: np.array(array, order="C") for name, array in state.arrays.items()}
    meta, model = state.meta, learner.model
    learner.evaluation.restore(meta["evaluation"], section(copies, "evaluation"))
    encoder_arrays = {**section(copies, "encoder"), **section(copies, "statistics")}
    model.encoder = FeatureEncoder(learner.task, Layout.from_json(meta["layout"]), encoder_arrays)
    model.targets = create_targets(learner.task, meta["classes"], section(copies, "targets"))
    learner.generator.set_state(torch.from_numpy(copies["network/generator"]))
    learner.replay.restore(section(copies, "replay"))
    learner.guard.restore(section(copies, "guard"))
    for name, value in meta["counters"].items():
        setattr(learner.counters, name, value)
    _load_network(learner, meta["shape"], copies)


def _load_network(learner: "TorchLearner", shape: list[int], arrays: dict[str, Array]) -> None:
    """Restore what is on the device."""
    model, parameters = learner.model, learner.parameters
    inputs, outputs = shape
    learner.shape = (inputs, outputs)
    learner.width = model.encoder.layout.width
    shapes = model.network.shapes(inputs, outputs) if inputs else {}
    parameters.adopt(shapes, torch.from_numpy(arrays["network/block"]).to(model.device))
    for name, buffer in model.network.buffers().items():
        buffer.copy_(torch.from_numpy(arrays[f"buffers/{name}"]))
    table = arrays.get("table/block")
    parameters.table = None if table is None else torch.from_numpy(table).to(model.device)
    model.table = None if parameters.table is None else parameters.table[0]
    model.ready = bool(inputs)
