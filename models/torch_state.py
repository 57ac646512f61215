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

NEEDED = frozenset({"network/block", "network/generator", "encoder/moments", "targets/summary", "replay/seen"})
"""Arrays that every state has."""


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
    model, training, encoder = learner.model, learner.training, learner.model.encoder
    evaluation, scores = learner.evaluation.state()
    tensors = {"network/block": training.parameters.block, "network/generator": training.generator.get_state()}
    tensors |= {f"buffers/{name}": buffer for name, buffer in model.network.buffers().items()}
    if training.parameters.table is not None:
        tensors["table/block"] = training.parameters.table
    host = {
        "encoder": {"moments": encoder.arrays["moments"]},
        "statistics": {k: v for k, v in encoder.arrays.items() if k == "statistics"},
        "admission": encoder.admission.state(encoder.layout.strings),
        "targets": model.targets.arrays,
        "evaluation": scores,
        "replay": training.replay.state(),
        "guard": training.guard.state(),
    }
    arrays: dict[str, Array] = {name: np.array(tensor.cpu().numpy(), order="C") for name, tensor in tensors.items()}
    arrays |= {
        f"{segment}/{name}": np.array(a, order="C") for segment, part in host.items() for name, a in part.items()
    }
    meta = {
        **identity(learner),
        "layout": encoder.layout.to_json(),
        "classes": list(model.targets.classes),
        "shape": list(training.shape),
        "counters": asdict(training.counters),
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
    missing = NEEDED.difference(state.arrays)
    if missing:
        raise StateMismatch(f"the saved state lacks {sorted(missing)}: take an older one")
    copies = {name: np.array(array, order="C") for name, array in state.arrays.items()}
    meta, model, training = state.meta, learner.model, learner.training
    learner.evaluation.restore(meta["evaluation"], section(copies, "evaluation"))
    encoder_arrays = {**section(copies, "encoder"), **section(copies, "statistics")}
    layout = Layout.from_json(meta["layout"])
    model.encoder = FeatureEncoder(learner.task, layout, encoder_arrays, spare=model.network.spare)
    # A state of before there was an admission lacks it.
    model.encoder.admission.restore(section(copies, "admission"), len(layout.values), layout.strings)
    model.targets = create_targets(learner.task, meta["classes"], section(copies, "targets"))
    training.generator.set_state(torch.from_numpy(copies["network/generator"]))
    training.replay.restore(section(copies, "replay"))
    training.guard.restore(section(copies, "guard"))
    for name, value in meta["counters"].items():
        setattr(training.counters, name, value)
    _load_network(learner, meta["shape"], copies)


def _load_network(learner: "TorchLearner", shape: list[int], arrays: dict[str, Array]) -> None:
    """Restore what is on the device."""
    model, training = learner.model, learner.training
    inputs, outputs = shape
    training.shape = (inputs, outputs)
    training.width = model.encoder.layout.width
    shapes = model.network.shapes(inputs, outputs) if inputs else {}
    training.parameters.adopt(shapes, torch.from_numpy(arrays["network/block"]).to(model.device))
    for name, buffer in model.network.buffers().items():
        buffer.copy_(torch.from_numpy(arrays[f"buffers/{name}"]))
    table = arrays.get("table/block")
    training.parameters.table = None if table is None else torch.from_numpy(table).to(model.device)
    model.table = None if training.parameters.table is None else training.parameters.table[0]
    model.ready = bool(inputs)
