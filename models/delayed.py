"""Prequential tests at a label delay: rows are predicted a block at a time, before any of the block's labels is seen.

The scores that a learner keeps of itself are those of its own microbatches, so they are of another delay for each size.
:class:`DelayedTest` holds every learner to the same one, whatever its microbatches are: a block of rows is predicted,
its labels arrive together, and are then learned in microbatches. Answers are asked for without labels, so nothing can
leak. This is what ``headrace compare`` and the benchmark of learning are made of.
"""

import time
from collections.abc import Callable
from typing import Protocol

from models.answer_scores import AnswerScores
from models.devices import wait_for_device
from models.examples import Examples, Features, Task
from models.learner import Trial

UNSCORED = ("majority_accuracy", "no_change_accuracy", "mean_mae", "no_change_mae", "loss", "count")
"""Scores that are left out: baselines are learners of their own here, and losses of several kinds do not compare."""


class Answering(Protocol):
    """What can be tested: any :class:`models.learner.Learner`, and whatever answers and learns like one."""

    def try_out(self, features: Features) -> Trial:
        """Return answers for all rows; changes nothing."""

    def learn(self, examples: Examples) -> object:
        """Learn from examples."""


class DelayedTest:
    """Tests one learner over one stream.

    Labels are learned in microbatches of `size` as soon as that many are there: a smaller size than the delay cuts the
    labels of a block into several microbatches, a larger one waits for those of several blocks. Only the very first
    labels are learned at once, however few, so that every learner has something to answer from then on.

    Parameters
    ----------
    learner
        What is tested.
    task
        What is predicted.
    delay
        Rows that are predicted before the first of their labels is known.
    size
        Rows of a microbatch; None: as many as the delay.
    window
        Rows of the recent window of the scores.
    clock
        Seconds, growing.

    Attributes
    ----------
    rows
        Rows predicted so far.
    seconds
        Time that learning took so far. A learner's :meth:`~models.learner.Learner.learn` predicts each row once more,
        as it does in the service; what asking for the scored answers took is not in it.
    """

    def __init__(
        self,
        learner: Answering,
        task: Task,
        delay: int,
        size: int | None = None,
        *,
        window: int = 5000,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.rows = 0
        self.seconds = 0.0
        self._learner = learner
        self._delay = delay
        self._size = size or delay
        self._clock = clock
        self._scores = AnswerScores(task, window)
        self._waiting: list[Examples] = []
        self._begun = False

    def take(self, block: Examples) -> None:
        """Predict a block, score the answers, and learn what has become due.

        Parameters
        ----------
        block
            At least one row, and not more than the delay.

        Raises
        ------
        ValueError
            The block is longer than the delay.
        """
        if len(block) > self._delay:
            raise ValueError(f"a block of {len(block)} rows would be predicted at a delay of {self._delay}")
        self._scores.update(self._learner.try_out(block.features).predictions, block)
        self.rows += len(block)
        self._learn(block)

    def scores(self) -> dict[str, dict[str, float]]:
        """Return the scores of the whole stream and of the recent window.

        See :meth:`models.evaluation.Prequential.scores`; without the baselines' (:data:`UNSCORED`).
        """
        return {
            scope: {name: score for name, score in scores.items() if name not in UNSCORED}
            for scope, scores in self._scores.scores().items()
        }

    def _learn(self, block: Examples) -> None:
        """Learn microbatches of those labels that have arrived, as far as they are full."""
        self._waiting.append(block)
        if self._begun and sum(map(len, self._waiting)) < self._size:
            return
        arrived = Examples.concatenate(self._waiting)
        done = 0
        while len(arrived) - done >= self._size or not self._begun:
            microbatch = arrived.slice(done, done + self._size)
            began = self._clock()
            self._learner.learn(microbatch)
            wait_for_device()
            self.seconds += self._clock() - began
            self._begun = True
            done += len(microbatch)
        self._waiting = [arrived.slice(done, len(arrived))]
