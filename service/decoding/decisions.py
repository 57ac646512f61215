"""What is predicted, and which classes there are, decided in one place for the task gates of several readers.

On the path it stands behind the gates (``tasks.py``): each asks here what the labels that it has before it make of the
task, and for a place for each class that it meets for the first time. The order in which gates ask is none that the log
knows, so what comes of it is written down before anything is learned that relies on it (``service/restart/noted.py``).
"""

from collections.abc import Sequence
from typing import Any, Protocol

from models.examples import Label, Task
from service.decoding.labels import MAXIMUM_CLASSES, ClassLabels

ENOUGH_LABELS = 256
"""Labels after which two integers are taken for all that there will ever be."""

_USUAL_CLASSES = frozenset({-1, 0, 1})
"""A single integer that is one of these is half of a binary task; any other is a number."""


class Authority(Protocol):
    """Whom a gate asks."""

    def weigh(self, labels: Sequence[Label]) -> Task | None:
        """Take in labels, in the order of the log; return the task where they, or others, have settled it."""

    def conclude(self) -> Task:
        """Settle the task on the labels at hand."""

    def admit(self, labels: Sequence[Label]) -> Sequence[Label]:
        """Give those of `labels` a place that may have one; return all classes, in order: those before come first."""


class Evidence:
    """Labels seen while the task is open: whole numbers only, and two different ones at most."""

    def __init__(self) -> None:
        self._integers: set[int] = set()
        self._labels = 0

    def weigh(self, labels: Sequence[Label]) -> Task | None:
        """Take in labels up to the first that settles the matter; None where none does."""
        for label in labels:
            task = self._weigh_one(label)
            if task is not None:
                return task
        return None

    def conclude(self) -> Task:
        """Decide on what was seen."""
        if len(self._integers) == 2 or self._integers <= _USUAL_CLASSES:
            return Task.BINARY
        return Task.REGRESSION

    def _weigh_one(self, label: Any) -> Task | None:
        if type(label) in (str, bool):
            return Task.MULTICLASS
        if label != int(label):
            return Task.REGRESSION
        self._integers.add(int(label))
        self._labels += 1
        if len(self._integers) > 2:
            return Task.REGRESSION
        return self.conclude() if self._labels >= ENOUGH_LABELS else None


class Decisions:
    """The authority over one model's stream. Owned by one thread.

    Parameters
    ----------
    task, classes
        What is known before: the task, if it is settled, and canonical classes in the order in which they were met.
    most_classes
        Classes that there may be.
    """

    def __init__(self, task: Task | None, classes: Sequence[Label], *, most_classes: int = MAXIMUM_CLASSES) -> None:
        self._most = most_classes
        self._evidence = Evidence()
        self._task: Task | None = None
        self._classes = ClassLabels(binary=False, known=classes, most=most_classes)
        self._settle(task)

    @property
    def task(self) -> Task | None:
        """What is predicted; None while that is open."""
        return self._task

    @property
    def classes(self) -> tuple[Label, ...]:
        """The classes met so far, in order."""
        return self._classes.known

    def weigh(self, labels: Sequence[Label]) -> Task | None:
        """See :class:`Authority`."""
        if self._task is None:
            self._settle(self._evidence.weigh(labels))
        return self._task

    def conclude(self) -> Task:
        """See :class:`Authority`."""
        self._settle(self._task or self._evidence.conclude())
        assert self._task is not None, "it was settled in the line above"  # noqa: S101
        return self._task

    def admit(self, labels: Sequence[Label]) -> Sequence[Label]:
        """See :class:`Authority`."""
        self._classes.canonical(labels)
        return self._classes.known

    def _settle(self, task: Task | None) -> None:
        if task is not None and self._task is None:
            self._task = task
            self._classes = ClassLabels(binary=task is Task.BINARY, known=self._classes.known, most=self._most)
