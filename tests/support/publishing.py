"""Parameters that show which version they are of, for tests of publishing and subscribing."""

from typing import Any

import numpy as np

from models.learner import Array, Json, Published
from service.publication import Publisher
from service.publishing.subscription import Subscription, View

SPEC: Json = {"learner": "linear", "classes": ["late", 1, True, None], "nothing": float("inf")}


class ManualClock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def filled(version: int, *, spec: Json = SPEC, shape: tuple[int, ...] = (50, 3)) -> Published:
    """Return parameters of which every element is the version's number."""
    arrays: dict[str, Array] = {
        "weights": np.full(shape, version, np.float32),
        "counts": np.full(7, version, np.int64),
        "empty": np.empty((0, 4), np.float32),
        "scalar": np.array(version, np.float64),
    }
    return Published(spec, arrays)


def header(version: int) -> Json:
    return {"model": "default", "version": version, "learner": "microbatch", "published_at": 1.5, "restored_from": None}


def publish(publisher: Publisher, version: int, **more: Any) -> None:
    publisher.publish(filled(version, **more), header(version))


def values(view: View) -> set[float]:
    """Return all values that occur in a view."""
    return {float(value) for array in view.arrays.values() for value in np.unique(array)}


def version_of(reader: Subscription) -> int:
    """Read, see that it is all of one version, and return that."""
    found, seen = reader.read(values)
    assert seen == {float(found["version"])}
    return int(found["version"])
