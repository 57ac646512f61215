"""The microbatch learner: scores each microbatch with the parameters before it, then learns from it in gradient steps.

The host reads and encodes features; from then on everything stays on the device, and nothing waits for it: answers and
labels go to the evaluation there, gradients to the parameters, and steps that must not count are undone there. How a
microbatch is learned is in ``torch_training.py``, what a learner is to a checkpoint in ``torch_state.py``, and to a
serving process in ``torch_published.py``.
"""

import numpy as np
import torch
from torch import Tensor

from models import torch_state
from models.devices import choose_device, device_errors, memory_held, to_device
from models.encoder_layout import Layout
from models.evaluation import Prequential
from models.examples import Examples, Features, Task
from models.features import FeatureEncoder, Prepared
from models.guard import INTERVAL
from models.learner import LearnerOptions, LearnerState, LearnerStatus, LearnReport, Predictor, Published, Trial
from models.networks import create_network
from models.targets import create_targets
from models.torch_model import TorchModel
from models.torch_predictor import NAME, TorchPredictor
from models.torch_published import Publication, arrays_of, describe
from models.torch_training import Targets, Training


class TorchLearner:
    """See :class:`models.learner.Learner`.

    Parameters
    ----------
    options
        What it is built from; the kind ``auto`` is the same as ``mlp`` for now.
    task
        What is predicted.
    event_clip
        Bound on the norm of each event's gradient with respect to the outputs, its weight (as a multiple of the mean
        weight) included; None for none.

    Raises
    ------
    LearnerOptionsInvalid, NetworkInvalid
    """

    def __init__(self, options: LearnerOptions, task: Task, event_clip: float | None = None) -> None:
        self.options = options
        network = create_network(options.kind, options.network)
        device = choose_device(options.device)
        single = task is Task.BINARY and options.loss in ("auto", "bce")
        encoder = FeatureEncoder(task, Layout(), {}, spare=network.spare)
        self.model = TorchModel(task, single, encoder, create_targets(task), network, None, device)
        with device_errors():
            self.training = Training(self.model, options, event_clip)
            self.evaluation = Prequential(task, options.window, device)
        self._publication = Publication(self)

    @property
    def name(self) -> str:
        """See :class:`models.learner.Learner`."""
        return NAME

    @property
    def task(self) -> Task:
        """See :class:`models.learner.Learner`."""
        return self.model.task

    def learn(self, examples: Examples) -> LearnReport:
        """See :class:`models.learner.Learner`.

        Rows of weight 0 are scored, and not learned from.
        """
        if not len(examples):
            return LearnReport(0, 0)
        with device_errors(), torch.no_grad():
            counters, training = self.training.counters, self.training
            before = counters.steps
            prepared = self.model.encoder.prepare(examples.features)
            tested, targets = self._test(prepared, examples)
            kept = np.flatnonzero(examples.weights > 0)
            if len(kept) == len(examples):
                training.learn(prepared, tested, targets, examples.weights)
            elif len(kept):
                weighty = examples.take(kept)
                training.learn(self.model.encoder.prepare(weighty.features), None, targets[kept], weighty.weights)
            counters.updates += 1
            if counters.updates % INTERVAL == 0:
                training.look_back()
        return LearnReport(len(examples), counters.steps - before)

    def _test(self, prepared: Prepared, examples: Examples) -> tuple[Tensor | None, Targets]:
        """Score rows with everything as it is before they are learned; return their dense input and their targets."""
        model = self.model
        dense, answers = None, model.uninformed(len(examples))
        if model.ready:
            dense = model.dense(prepared)
            answers = model.answers(dense, model.sparse(prepared), self.options.chunk_size)
        targets = model.targets.read(examples.labels)
        classes = len(model.targets.classes)
        if self.task is Task.BINARY and classes > 2:
            raise ValueError(f"a binary task has two classes, these are {model.targets.classes}")
        self.evaluation.grow(classes)
        moved = (to_device(array, model.device) for array in (targets, examples.weights))
        self.evaluation.update(answers, *moved)
        return dense, targets

    def predictor(self) -> Predictor:
        """See :class:`models.learner.Learner`."""
        with device_errors():
            copies = {name: array.copy() for name, array in arrays_of(self).items()}
            return TorchPredictor.from_published(describe(self), copies)

    def try_out(self, features: Features, at_once: int = 0) -> Trial:
        """See :class:`models.learner.Learner`."""
        with device_errors():
            held = [self.training.parameters.block, *self.model.network.buffers().values()]
            bounds = [bound for bound in (at_once, self.options.chunk_size) if bound]
            return self.model.try_out(features, held, min(bounds, default=0))

    def status(self) -> LearnerStatus:
        """See :class:`models.learner.Learner`."""
        with device_errors():
            skipped = int(self.training.guard.skipped)
            return LearnerStatus(
                scores=self.evaluation.scores(),
                skipped={"non_finite": skipped} if skipped else {},
                restorations=int(self.training.guard.restorations),
                classes=tuple(self.model.targets.classes),
                features=self.model.encoder.features(),
                device=str(self.model.device),
                device_memory=memory_held(self.model.device),
            )

    def state(self) -> LearnerState:
        """See :class:`models.learner.Learner`."""
        with device_errors():
            return torch_state.save(self)

    def restore(self, state: LearnerState) -> None:
        """See :class:`models.learner.Learner`."""
        with device_errors():
            torch_state.load(self, state)
        self._publication = Publication(self)

    def published(self, *, flush: bool = False) -> Published:  # noqa: ARG002 - the newest is always handed over
        """See :class:`models.learner.Learner`."""
        with device_errors():
            return self._publication.make()
