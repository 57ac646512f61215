"""Labels as numbers: classes by their place in a list, values as they are, so that labels that wait are arrays."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.examples import Label
from service.joining.arrived import LABEL_ALONE, Arrived
from service.joining.kinds import IS_NUMBER, LABEL


class Vocabulary:
    """The classes that labels were of. Owned by one thread.

    Parameters
    ----------
    classes
        Those known before.

    Attributes
    ----------
    classes
        In the order in which they were met.
    """

    def __init__(self, classes: Sequence[Label] = ()) -> None:
        self.classes: list[Label] = list(classes)
        self._codes: dict[type, dict[Label, int]] = {}
        for code, label in enumerate(self.classes):
            self._codes.setdefault(type(label), {})[label] = code

    def rows_of(self, arrived: Arrived) -> NDArray[np.void]:
        """Return labels as rows of their kind, one for each row; only those of labels alone mean anything."""
        found = np.zeros(len(arrived.examples), LABEL)
        rows = np.flatnonzero(arrived.kinds == LABEL_ALONE)
        if not len(rows):
            return found
        labels = [arrived.examples.labels[row] for row in rows.tolist()]
        found["id"], found["time"], found["checksum"] = arrived.ids, arrived.times, arrived.checksums
        found["weight"], found["partition"] = arrived.examples.weights, arrived.partitions
        if type(labels[0]) is float:
            found["code"], found["value"][rows] = IS_NUMBER, np.array(labels, np.float64)
        else:
            found["code"][rows] = self._codes_of(labels)
        return found

    def labels_of(self, rows: NDArray[np.void]) -> list[Label]:
        """Return the labels of rows."""
        codes, values = rows["code"], rows["value"]
        if (codes == IS_NUMBER).all():
            found: list[Label] = values.tolist()
            return found
        return list(map(self.classes.__getitem__, codes.tolist()))

    def _codes_of(self, labels: list[Label]) -> list[int]:
        types = set(map(type, labels))
        if len(types) == 1:
            known = self._codes.setdefault(types.pop(), {})
            for label in dict.fromkeys(labels):
                if label not in known:
                    self._admit(label)
            return list(map(known.__getitem__, labels))
        for label in labels:
            if label not in self._codes.setdefault(type(label), {}):
                self._admit(label)
        return [self._codes[type(label)][label] for label in labels]

    def _admit(self, label: Label) -> None:
        self._codes.setdefault(type(label), {})[label] = len(self.classes)
        self.classes.append(label)
