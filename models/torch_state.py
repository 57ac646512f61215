"""What a microbatch learner is, as JSON and arrays for a checkpoint, and back again, bit for bit.

Arrays that change together share a segment: the tables, which are large and in which little changes, have their own.
What the expert is comes from itself.
"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from models.encoder_layout import Layout
from models.errors import StateMismatch
from models.features import SMALL, FeatureEncoder
from models.keyed_spill import SPILLED
from models.learner import Array, LearnerState
from models.names import under
from models.network_pretrained import without_weights
from models.targets import create_targets
from models.torch_predictor import NAME, SCHEMA

if TYPE_CHECKING:
    from models.torch_learner import TorchLearner

NEEDED = frozenset({*(f"encoder/{name}" for name in SMALL), "levels/judged", "targets/summary"})
"""Arrays that every state has."""

HOST = ("encoder", "statistics", "levels", "admission", "targets", "evaluation", "drift", "keys")
"""Segments of the learner's own; every other one is the expert's."""


def identity(learner: "TorchLearner") -> dict[str, Any]:
    """Return what a saved state must agree with."""
    options = learner.options
    return {
        "learner": NAME,
        "schema": SCHEMA,
        "task": learner.task.value,
        "kind": options.kind,
        "network": without_weights(options.network),
        "loss": options.loss,
        "optimizer": options.optimizer,
        "key": options.key or None,
    }


def save(learner: "TorchLearner") -> LearnerState:
    """Return the state of a learner, copied to the host."""
    model, encoder = learner.model, learner.model.encoder
    evaluation, scores = learner.evaluation.state()
    drift, watched = learner.drift.state()
    expert, tensors = learner.expert.state()
    host = {
        "encoder": {name: encoder.arrays[name] for name in SMALL},
        "levels": encoder.levels.state(),
        "statistics": {k: v for k, v in encoder.arrays.items() if k == "statistics"},
        "admission": encoder.admission.state(encoder.layout.strings),
        "targets": model.targets.arrays,
        "evaluation": scores,
        "drift": watched,
    }
    arrays: dict[str, Array] = {name: np.array(tensor.cpu().numpy(), order="C") for name, tensor in tensors.items()}
    arrays |= {
        f"{segment}/{name}": np.array(a, order="C") for segment, part in host.items() for name, a in part.items()
    }
    keys: dict[str, Any] = {}
    if learner.keyed is not None:
        residence, kept = learner.keyed.residence.state()
        keys["keys"] = residence
        arrays |= {name: array.copy() if array.flags.writeable else array for name, array in kept.items()}
    meta = {
        **identity(learner),
        **keys,
        "layout": encoder.layout.to_json(),
        "classes": list(model.targets.classes),
        "ready": model.ready,
        "known": list(learner.known),
        "expert": expert,
        "counters": asdict(learner.counters),
        "evaluation": evaluation,
        "drift": drift,
    }
    return LearnerState(meta, arrays)


def load(learner: "TorchLearner", state: LearnerState) -> None:
    """Make a learner what `state` was taken from.

    Raises
    ------
    StateMismatch
        It is that of another learner, task, network, loss, optimizer or schema version: nothing was changed. Or it
        lacks an array that the expert needs: the learner then is of no use until another state is restored.
    """
    expected = identity(learner)
    found = {key: state.meta.get(key) for key in expected}
    if found != expected:
        raise StateMismatch(f"saved: {found}; configured: {expected}: set these back, or start the model anew")
    missing = NEEDED.difference(state.arrays)
    if missing:
        raise StateMismatch(f"the saved state lacks {sorted(missing)}: take an older one")
    copies = {
        name: array if name.startswith(SPILLED) else np.array(array, order="C") for name, array in state.arrays.items()
    }
    meta, model = state.meta, learner.model
    learner.evaluation.restore(meta["evaluation"], under("evaluation/", copies))
    # One of before there was a watch lacks it.
    learner.drift.restore(meta.get("drift", {}), under("drift/", copies))
    encoder_arrays = {**under("encoder/", copies), **under("statistics/", copies)}
    layout = Layout.from_json(meta["layout"])
    model.encoder = FeatureEncoder(learner.task, layout, encoder_arrays, spare=model.expert.spare)
    model.encoder.levels.restore(under("levels/", copies))
    # A state of before there was an admission lacks it.
    model.encoder.admission.restore(under("admission/", copies), len(layout.values), layout.strings)
    model.targets = create_targets(learner.task, meta["classes"], under("targets/", copies))
    for name, value in meta["counters"].items():
        setattr(learner.counters, name, value)
    if learner.keyed is not None:
        learner.keyed.residence.restore(meta["keys"], copies)
    own = {
        name: array
        for name, array in copies.items()
        if name.partition("/")[0] not in HOST and not name.startswith(SPILLED)
    }
    tensors = {name: torch.from_numpy(array).to(model.device) for name, array in own.items()}
    try:
        model.expert.restore(meta["expert"], tensors, model.space())
    except KeyError as error:
        raise StateMismatch(f"the saved state lacks {error}: take an older one") from error
    learner.known = tuple(meta["known"])
    model.ready = meta["ready"]
