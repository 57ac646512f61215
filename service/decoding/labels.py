"""Labels in canonical form: what the learner sees as one class is one class in JSON, and the other way round.

1 and 1.0 are one class. 1, true and "1" are three, but as keys of a JSON object they would be the same, so that a set
of classes holds only one of them; and a binary task holds only two classes.
"""

from collections.abc import Callable, Sequence

from models.examples import Label, Task
from service.decoding.event_problems import Problem

MAXIMUM_CLASSES = 10_000
"""Classes of one model, where no fewer are configured; one more is most likely an id, or a number to predict."""

_LARGEST_INTEGER = 2**63
_PLAIN = (str, int, bool)


class ClassLabels:
    """The classes known so far; takes in new ones as the task allows.

    Parameters
    ----------
    binary
        Whether there may be two classes only.
    known
        Classes known before, canonical.
    on_class
        Called with each class that is taken in.
    most
        Classes that there may be.
    admit
        Takes labels, gives a place to those that may have one, and returns all classes: another decides, and what has
        no place then is refused. None: places are given here.
    """

    def __init__(
        self,
        *,
        binary: bool,
        known: Sequence[Label] = (),
        on_class: Callable[[Label], None] | None = None,
        most: int = MAXIMUM_CLASSES,
        admit: Callable[[Sequence[Label]], Sequence[Label]] | None = None,
    ) -> None:
        self._limit = 2 if binary else most
        self._on_class = on_class
        self._ask = admit
        self._by_name: dict[str, Label] = {_json_name(label): label for label in known}
        self._by_type: dict[type, set[Label]] = {kind: set() for kind in _PLAIN}
        for label in known:
            self._by_type[type(label)].add(label)

    @property
    def known(self) -> tuple[Label, ...]:
        """All classes, in the order in which they were first seen."""
        return tuple(self._by_name.values())

    def canonical(self, labels: Sequence[Label]) -> tuple[Sequence[Label], dict[int, Problem]]:
        """Return the labels as classes, and the rows whose label can be none, with the reason."""
        types = set(map(type, labels))
        if len(types) == 1 and types <= self._by_type.keys() and self._by_type[types.pop()].issuperset(labels):
            return labels, {}
        classes = [_integral(label) for label in labels]
        if self._ask is not None and len(self._by_name) < self._limit:
            new = {(type(each), each): each for each in classes if self._is_new(each)}
            self._follow(self._ask(list(new.values())) if new else ())
        problems = {row: problem for row, label in enumerate(classes) if (problem := self._admit(label))}
        return classes, problems

    def _is_new(self, label: Label) -> bool:
        return type(label) is not float and _json_name(label) not in self._by_name

    def _follow(self, classes: Sequence[Label]) -> None:
        """Take over the classes that another has given places to."""
        for label in classes[len(self._by_name) :]:
            self._add(_json_name(label), label)

    def _admit(self, label: Label) -> Problem | None:
        """Take in a class; return why it cannot be one."""
        if type(label) is float:
            return Problem("label", f"{label!r} is not a whole number, so it is no class")
        name = _json_name(label)
        known = self._by_name.get(name)
        if known is not None:
            return None if type(known) is type(label) else _confusable(label, known)
        if len(self._by_name) >= self._limit:
            return Problem("label", self._too_many(label))
        self._add(name, label)
        return None

    def _add(self, name: str, label: Label) -> None:
        self._by_name[name] = label
        self._by_type[type(label)].add(label)
        if self._on_class is not None:
            self._on_class(label)

    def _too_many(self, label: Label) -> str:
        if self._limit > 2:
            return f"there are {self._limit} classes already, the most that events.max_classes allows"
        first, second = self._by_name.values()
        return f"{_shown(label)} would be a third class beside {_shown(first)} and {_shown(second)}; the task is binary"


def numeric(labels: Sequence[Label]) -> tuple[Sequence[Label], dict[int, Problem]]:
    """Return the labels as floats, for regression, and the rows whose label is no number, with the reason."""
    types = set(map(type, labels))
    if types == {float}:
        return labels, {}
    if types <= {int, float}:
        return [float(label) for label in labels], {}
    problems = {
        row: Problem("label", f"{_shown(label)} is no number, and the task is {Task.REGRESSION}")
        for row, label in enumerate(labels)
        if type(label) not in (int, float)
    }
    return [0.0 if row in problems else float(label) for row, label in enumerate(labels)], problems


def _integral(label: Label) -> Label:
    """Return the integer that a float stands for, and other labels as they are."""
    if type(label) is float and label.is_integer() and abs(label) <= _LARGEST_INTEGER:
        return int(label)
    return label


def _json_name(label: Label) -> str:
    """Return the label as the key of a JSON object."""
    if type(label) is bool:
        return "true" if label else "false"
    return str(label)


def _confusable(label: Label, known: Label) -> Problem:
    return Problem("label", f"{_shown(label)} could not be told from the class {_shown(known)} in JSON")


def _shown(label: Label) -> str:
    """Return the label for a message, in bounded length."""
    return f"the {type(label).__name__} {str(label)[:50]!r}"
