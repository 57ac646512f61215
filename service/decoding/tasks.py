"""What is to be predicted, read off the first labels in the order of the log, and held to from then on.

On the path it stands between the decoder and the microbatcher. As long as the labels leave it open whether they are
classes or numbers, it holds back what it is given; what it passes on has canonical labels of one task.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from models.examples import Examples, Label, Task
from service.decoding.decisions import Authority, Evidence
from service.decoding.decoded import DecodedEvents
from service.decoding.labels import MAXIMUM_CLASSES, ClassLabels, numeric

LONGEST_WAIT = 1.0
"""Seconds since the first label after which that is decided on the labels at hand."""


class TaskGate:
    """Settles the task, and passes on what keeps to it. Owned by one thread, but for :attr:`task`.

    Parameters
    ----------
    task
        The task where it is known: configured, or settled before a restart. None: settle it.
    classes
        Classes known before, canonical, in the order in which they were first seen.
    clock
        Monotonic seconds.
    on_settled
        Called with the task when it is settled here.
    on_class
        Called with each class when it is first met. A gate that is given all of these classes at once refuses and
        passes the same labels, whatever the order in which partitions come to it.
    most_classes
        Classes that there may be; labels beyond them are refused.
    authority
        Who decides on the task and on new classes where several gates must agree. None: this gate does.
    """

    def __init__(
        self,
        task: Task | None,
        classes: Sequence[Label] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
        on_settled: Callable[[Task], None] | None = None,
        on_class: Callable[[Label], None] | None = None,
        most_classes: int = MAXIMUM_CLASSES,
        authority: Authority | None = None,
    ) -> None:
        self._clock = clock
        self._on_settled = on_settled
        self._on_class = on_class
        self._most_classes = most_classes
        self._authority = authority
        self._evidence: Authority | Evidence = authority or Evidence()
        self._held: list[DecodedEvents] = []
        self._since = 0.0
        self._task: Task | None = None
        self._classes = ClassLabels(binary=False)
        if task is not None:
            self._keep_to(task, classes)

    @property
    def task(self) -> Task | None:
        """What is predicted; None while that is open. May be read by any thread."""
        return self._task

    @property
    def classes(self) -> tuple[Label, ...]:
        """The classes met so far, in order; none for regression."""
        return self._classes.known

    def offer(self, decoded: DecodedEvents) -> list[DecodedEvents]:
        """Take what was decoded; return what may go on now, in the order in which it came."""
        released = self.poll()
        if self._task is not None:
            return [*released, self._canonical(decoded)]
        labels = _given(decoded.examples)
        if not self._held and not labels:
            # Observations wait for their labels, be it for hours: they are kept where that costs little.
            return [decoded]
        if not self._held:
            self._since = self._clock()
        self._held.append(decoded)
        self._settle(self._evidence.weigh(labels))
        return self._release()

    def poll(self) -> list[DecodedEvents]:
        """Return what may go on because time has settled the matter."""
        if self._task is None and self._held and self._clock() - self._since >= LONGEST_WAIT:
            self._settle(self._evidence.conclude())
        return self._release()

    def _settle(self, task: Task | None) -> None:
        if task is None:
            return
        self._keep_to(task, ())
        if self._on_settled is not None:
            self._on_settled(task)

    def _keep_to(self, task: Task, classes: Sequence[Label]) -> None:
        if task is not Task.REGRESSION:
            self._classes = ClassLabels(
                binary=task is Task.BINARY,
                known=classes,
                on_class=self._on_class,
                most=self._most_classes,
                admit=None if self._authority is None else self._authority.admit,
            )
        self._task = task

    def _release(self) -> list[DecodedEvents]:
        if self._task is None or not self._held:
            return []
        held, self._held = self._held, []
        return [self._canonical(decoded) for decoded in held]

    def _canonical(self, decoded: DecodedEvents) -> DecodedEvents:
        """Return what was decoded with canonical labels, and without the labels that contradict the task."""
        examples = decoded.examples
        rows = None if examples.labelled is None else np.flatnonzero(examples.labelled).tolist()
        given = _given(examples)
        if not given:
            return decoded
        labels, problems = numeric(given) if self._task is Task.REGRESSION else self._classes.canonical(given)
        if labels is not given:
            if rows is not None:
                found = dict(zip(rows, labels, strict=True))
                labels = [found.get(row, label) for row, label in enumerate(examples.labels)]
            decoded = replace(decoded, examples=replace(examples, labels=labels))
        if rows is not None:
            problems = {rows[place]: problem for place, problem in problems.items()}
        return decoded.refuse(problems)


def _given(examples: Examples) -> Sequence[Label]:
    """Return the labels of the rows that have one."""
    if examples.labelled is None:
        return examples.labels
    return [examples.labels[row] for row in np.flatnonzero(examples.labelled).tolist()]
