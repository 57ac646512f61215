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
        self._codes = {(type(label), label): code for code, label in enumerate(self.classes)}

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
            found["code"][rows] = [self._code(label) for label in labels]
        return found

    def labels_of(self, rows: NDArray[np.void]) -> list[Label]:
        """Return the labels of rows."""
        return [
            value if code == IS_NUMBER else self.classes[code]
            for code, value in zip(rows["code"].tolist(), rows["value"].tolist(), strict=True)
        ]

    def _code(self, label: Label) -> int:
        key = type(label), label
        code = self._codes.get(key)
        if code is None:
            code = self._codes[key] = len(self.classes)
            self.classes.append(label)
        return code
