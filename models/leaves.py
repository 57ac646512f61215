"""The expert of axis-aligned concepts: a linear model over the leaves of random oblivious trees.

It is random binning (Rahimi and Recht, 2007), or tile coding: a row falls into one leaf of each tree,
and its outputs are the sums of these leaves' weights, which AdaGrad learns (``leaves_weights.py``). The tests
(``leaves_trees.py``) begin after a few rows and are never done. Trees grow test by test as there are more rows to tell
apart, and now and then the tests that tell least apart make room for new ones, as connections do in sparse evolutionary
training (Mocanu et al., 2018): thresholds at values that were met lately, columns drawn by how useful tests of them
are. A tree that loses a test keeps what its leaves have learned by the others, and a new test changes no answer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, pad

from models.effort import Cost
from models.encoder_layout import rounded_up
from models.errors import StateMismatch
from models.examples import Task
from models.expert import Defaults, Encoded, Space, Tensors
from models.latest import Latest
from models.learner import Json, LearnerOptions
from models.leaves_trees import FEWEST, LEAVES, RECENT, TESTS, Trees
from models.leaves_weights import Gradient, Pace, Weights, add_at, bags
from models.losses import create_loss
from models.moments import OUTLIER
from models.names import under
from models.network_rates import positive
from models.touched import Ranges

TREES = 300
"""So many that which ones they are hardly matters."""

RATE = 2.0
"""Learning rate of all leaves of a row together, times the root of the number of trees; of one that one row has met."""

STEP = 8
"""Rows of a gradient step. Fewer are hardly better, many more are worse: they would all correct the same error."""

CHUNK = 64
"""Rows whose leaves and rates are computed at once."""

MOST_STEPS = 128
"""Gradient steps of a microbatch of any size: with more rows, steps are larger, for an accelerator's sake."""

AT_ONCE = 256
"""Rows whose leaves are looked for at once: what that needs stays in a processor's cache."""

LEVELS = (8, 64, 128, 256, 512, 1024, 2048)
"""Rows from which trees have one test, two, and so on."""

PERIOD = 500
"""Rows after which tests are renewed again."""

RENEWED = 0.1
"""Share of the tests that are renewed each time: those that tell least apart, and all that tell nothing."""

MOST_CLASSES = 256
"""Classes that have weights, 80 MB of them; any more are answered as by their shares."""

FARTHEST = {True: 0.5, False: 4.0}
"""Of numbers and of classes: 1 over the curvature of the squared error, and over the most that a logit has."""

SMALLEST = 1e-12  # norm of a gradient that is not divided by


class LeavesExpert(Defaults):
    """See :class:`models.expert.Expert`.

    Parameters
    ----------
    options
        Of these, loss, learning rate and seed.
    task
        What is predicted.
    device
        Where to.
    event_clip
        See :class:`models.gradient_step.Step`.
    trees
        How many.

    Raises
    ------
    LearnerOptionsInvalid
    """

    cost = Cost.SOME
    uses_raw = True

    def __init__(
        self,
        options: LearnerOptions,
        task: Task,
        device: torch.device,
        event_clip: float | None = None,
        trees: int = TREES,
    ) -> None:
        self._device, self._count, self._clip = device, trees, event_clip
        self._numeric = task is Task.REGRESSION
        # Two classes share one logit where the loss allows it.
        self._single = task is Task.BINARY and options.loss in ("auto", "bce")
        self._loss = create_loss(options.loss, task)
        # The weights of two logits would be stepped apart; one logit has to take both steps.
        rate = RATE * (2.0 if self._single else 1.0)
        self._rate = positive("learning_rate", options.learning_rate, rate) / trees
        self._trees = Trees(trees, options.seed, device)
        self._weights = Weights(trees, device)
        self._space: Space | None = None
        self._rows = self._level = self._turn = 0
        self._tests_changed = True
        # Of rows that were answered, their columns and their leaves.
        self._latest = Latest[tuple[Tensor, Tensor]]()

    def grow(self, space: Space) -> None:
        """See :class:`models.expert.Expert`."""
        self._space = space
        self._latest.forget()
        self._trees.grow(space)
        width = 1 if self._numeric or self._single else rounded_up(min(space.classes, MOST_CLASSES))
        if width > self._weights.values.shape[1]:
            self._weights.grow(width)

    def renew(self, inputs: Sequence[int], raws: Sequence[int]) -> None:
        """See :class:`models.expert.Expert`: leaves that only these columns told apart become one."""
        if len(self._trees.sources):
            self._weights.merge(self._trees.remove(inputs, raws))
            self._tests_changed = True
            self._latest.forget()

    def rescale(self, factor: float, shift: float) -> None:
        """See :class:`models.expert.Expert`."""
        if self._level and self._space is not None:
            self._weights.rescale(factor, shift)
            self._trees.rescale(factor, shift, self._space)
            self._tests_changed = True
            self._latest.forget()

    def answers(self, rows: Encoded, prior: Tensor) -> Tensor:
        """See :class:`models.expert.Expert`."""
        values = self._trees.values(rows)
        places = self._places(values)
        self._latest.keep(rows, (values, places))
        outputs = bags(self._weights.values, places)
        if self._numeric:
            return outputs
        if not self._single:
            return self._logits(outputs, prior).log_softmax(1)
        if len(prior) < 2:
            return torch.zeros((len(rows), len(prior)), device=outputs.device)
        logit = outputs + self._offset(prior)
        return logsigmoid(torch.cat([-logit, logit], 1))

    def _places(self, values: Tensor) -> Tensor:
        """Return the leaves of rows whose columns these are, int32, shape (rows, trees): see ``leaves_trees.py``."""
        found = [self._trees.places(part) for part in torch.split(values, AT_ONCE, 1)]
        return found[0] if len(found) == 1 else torch.cat(found)

    def _offset(self, prior: Tensor) -> Tensor:
        """Return what outputs are relative to: what there is without learning."""
        if not self._single:
            return prior
        return prior[1:] - prior[:1] if len(prior) > 1 else torch.zeros(1, device=prior.device)

    def _logits(self, outputs: Tensor, offset: Tensor) -> Tensor:
        """Return what the loss is of, float32: outputs and what they are relative to."""
        if self._numeric:
            return outputs
        more = offset.shape[0] - outputs.shape[1]
        if more:
            outputs = pad(outputs, (0, more)) if more > 0 else outputs[:, : len(offset)]
        return outputs + offset

    def learn(self, rows: Encoded, targets: Tensor, weights: Tensor, prior: Tensor, answered: Tensor | None) -> None:  # noqa: ARG002 - it steps through the rows, and needs the answers of now
        """See :class:`models.expert.Expert`."""
        if self._numeric:
            targets = targets.clamp(-OUTLIER, OUTLIER)
        elif self._single:
            targets = targets.float()
        values, places = self._latest.take(rows) or (self._trees.values(rows), None)
        step = max(STEP * rows.effort.step, -(-len(rows) // MOST_STEPS))
        # As many rows are remembered at least as are learned at once.
        size = min(max(CHUNK, step), RECENT)
        gradient, pace = self._gradient(prior), Pace(self._rate, step, FARTHEST[self._numeric])
        for start in range(0, len(rows), size):
            chosen = slice(start, start + size)
            part = values[:, chosen]
            self._trees.remember(part, self._rows)
            if self._change_tests(part.shape[1]):
                places = None
            if self._level:
                fallen = self._trees.places(part) if places is None else places[chosen]
                given = fallen, targets[chosen], weights[chosen].unsqueeze(1)
                self._weights.learn(*given, gradient, pace)

    def _gradient(self, prior: Tensor) -> Gradient:
        """Return what the loss's gradient with respect to outputs is."""
        width, offset = self._weights.values.shape[1], self._offset(prior)
        slopes_of = self._loss.gradient

        def gradient(outputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
            slopes = slopes_of(self._logits(outputs, offset), targets).mul_(weights)
            if self._clip is not None:  # as in gradient_step.py
                norms = torch.linalg.vector_norm(slopes, dim=1, keepdim=True)
                slopes.mul_((self._clip / norms.clamp_(min=SMALLEST)).clamp_(max=1.0))
            more = width - slopes.shape[1]
            return pad(slopes, (0, more)) if more else slopes  # fewer than the classes, where these are too many

        return gradient

    def _change_tests(self, rows: int) -> bool:
        """Grow trees and renew tests where it is time to, with `rows` more rows remembered; return whether it was."""
        before, self._rows = self._rows, self._rows + rows
        level = sum(self._rows >= start for start in LEVELS)
        again = self._level > 0 and before // PERIOD < self._rows // PERIOD
        if not len(self._trees.sources) or (level == self._level and not again):
            return False
        trees, weights = self._trees, self._weights
        use = weights.use().masked_fill_(~trees.in_use(), torch.inf)
        slots = trees.lacking(level)
        useful = self._use_of_columns(use)
        if again:
            held = self._count * min(self._level, (FEWEST + TESTS) / 2)  # about so many tests
            least = max(int(RENEWED * held), 1)
            renewed = (use <= use.view(-1).kthvalue(least).values) & trees.in_use()
            weights.merge(renewed)
            slots |= renewed
            weights.visits.mul_(0.5)
        self._turn += 1
        weights.split(slots)
        trees.draw(slots, useful, min(self._rows, RECENT), self._turn)
        self._level, self._tests_changed = level, True
        return True

    def _use_of_columns(self, use: Tensor) -> Tensor:
        """Return the mean use of each column's tests, shape (columns,); of one that has none, the largest.

        Parameters
        ----------
        use
            Of each test, shape (TESTS, trees); infinite where there is none.
        """
        tested = (use < torch.inf).view(-1)
        held = len(self._trees.sources)
        sums = torch.zeros((2, held), device=use.device)
        columns = self._trees.columns.view(-1).clamp(0, held - 1).long()
        add_at(sums[0], columns, torch.where(tested, use.view(-1), 0.0))
        add_at(sums[1], columns, tested.float())
        mean = sums[0] / sums[1].clamp(min=1.0)
        return torch.where(sums[1] > 0, mean, mean.max()).clamp_(min=1e-30)

    def published(self) -> dict[str, Tensor]:
        """See :class:`models.expert.Expert`."""
        trees = self._trees
        tests = {"sources": trees.sources, "columns": trees.columns, "thresholds": trees.thresholds}
        return {**tests, "weights": self._weights.values}

    def changed(self) -> Mapping[str, Ranges]:
        """See :class:`models.expert.Expert`: weights, and seldom tests."""
        changed, self._tests_changed = self._tests_changed, False
        return {} if changed else {"sources": [], "columns": [], "thresholds": []}

    def describe(self) -> dict[str, Any]:
        """See :class:`models.expert.Expert`."""
        return {"trees": self._count}

    def attach(self, description: Json, tensors: Tensors) -> None:
        """See :class:`models.expert.Expert`.

        Raises
        ------
        StateMismatch
            It was published by another version.
        """
        if description["trees"] != self._count or len(tensors["weights"]) != self._count * LEAVES:
            raise StateMismatch(f"{self._count} trees expected, not {description['trees']}: use the trainer's version")
        trees = self._trees
        trees.sources, trees.columns, trees.thresholds = tensors["sources"], tensors["columns"], tensors["thresholds"]
        self._weights.values = tensors["weights"]

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """See :class:`models.expert.Expert`."""
        trees, weights = self._trees, self._weights
        tensors = {
            "tests/sources": trees.sources,
            "tests/columns": trees.columns,
            "tests/thresholds": trees.thresholds,
            "tests/depths": trees.depths,
            "recent/rows": trees.recent,
            "leaves/weights": weights.values,
            "leaves/squares": weights.squares,
            "leaves/visits": weights.visits,
        }
        return {"rows": self._rows, "level": self._level, "turn": self._turn, "trees": self._count}, tensors

    def restore(self, meta: Json, tensors: Tensors, space: Space) -> None:
        """See :class:`models.expert.Expert`.

        Raises
        ------
        StateMismatch
            It was saved by another version.
        """
        if meta["trees"] != self._count:
            raise StateMismatch(f"{self._count} trees expected, not {meta['trees']}: start the model anew")
        self._rows, self._level, self._turn = meta["rows"], meta["level"], meta["turn"]
        tests, leaves = under("tests/", tensors), under("leaves/", tensors)
        trees, weights = self._trees, self._weights
        trees.sources, trees.columns, trees.thresholds = tests["sources"], tests["columns"], tests["thresholds"]
        trees.depths, trees.recent = tests["depths"], tensors["recent/rows"]
        trees.know(space)
        weights.values, weights.squares, weights.visits = leaves["weights"], leaves["squares"], leaves["visits"]
        self._space, self._tests_changed = space, True
        self._latest.forget()

    def held(self) -> Sequence[Tensor]:
        """See :class:`models.expert.Expert`."""
        return [self._weights.values, self._weights.squares]
