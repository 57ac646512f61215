"""How many predictions were answered, and how fast: counted by every serving process, added up by whoever is asked.

Several serving processes share one port, so a scrape reaches any one of them. Each counts in memory-mapped files of its
own, one a model, of one fixed layout; the sum over all files, those of processes that died included, is the server's.
(The metrics library has such a mode, but chooses it by an environment variable at the moment it is imported: counting
would depend on who imported what first.)
"""

import contextlib
import os
import uuid
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.monitoring.status import HistogramStatus

STATUSES = (200, 400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503)
"""The HTTP statuses that a prediction can be answered with."""

SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
"""Upper bounds of the histogram of answering times."""

_BUCKETS = slice(len(STATUSES), len(STATUSES) + len(SECONDS) + 1)
_SUM = _BUCKETS.stop
_WIDTH = _SUM + 1

_SUFFIX = ".counts"


@dataclass(frozen=True, slots=True)
class Counted:
    """Counts of one model.

    Attributes
    ----------
    by_status
        HTTP status → predictions, as text, those that never occurred left out.
    seconds
        Histogram of the time that requests took.
    """

    by_status: Mapping[str, int]
    seconds: HistogramStatus


class PredictionCounts:
    """Counts of this process, beside those of its siblings. Counting belongs to one thread; adding up, to any.

    Parameters
    ----------
    folder
        Where all processes of one server, and nobody else, keep their files; whoever starts the server empties it.
    models
        Names of all models that there are at first.
    """

    def __init__(self, folder: Path, models: Sequence[str]) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        # Process numbers come again, in another container or after a while; a file must not.
        self._own = f"{os.getpid()}-{uuid.uuid4().hex}"
        self._counts: dict[str, Any] = {}
        self.count_for(models)

    def count_for(self, models: Sequence[str]) -> None:
        """Count for these models from now on: for new ones from nothing, for those that are gone no more."""
        # As plain memory of float64: each access to a mapped array makes a new one, which takes longer than the rest.
        new = {model: self._map(model) for model in models if model not in self._counts}
        gone = self._counts.keys() - set(models)
        self._counts = {model: counts for model, counts in (self._counts | new).items() if model not in gone}
        for model in gone:
            self._path(model).unlink(missing_ok=True)

    def predicted(self, model: str, status: int, count: int, seconds: float) -> None:
        """Count one request: its HTTP status, how many predictions that stands for, and how long it took."""
        counts = self._counts.get(model)
        if counts is None:
            return  # the model was removed while it answered
        counts[STATUSES.index(status if status in STATUSES else 500)] += count
        counts[_BUCKETS.start + bisect_left(SECONDS, seconds)] += 1
        counts[_SUM] += seconds

    def refused(self, model: str, status: int) -> None:
        """Count a request that was turned away before anything was done with it; the time of that tells nothing."""
        counts = self._counts.get(model)
        if counts is not None:
            counts[STATUSES.index(status)] += 1

    def total(self) -> dict[str, Counted]:
        """Return the counts of all processes together, for each model. Reads files: not for an event loop."""
        total = {model: np.zeros(_WIDTH) for model in self._counts}
        for path in self._folder.glob(f"*{_SUFFIX}"):
            model = path.name.removesuffix(_SUFFIX).partition(".")[2]
            if model not in total:
                continue
            with contextlib.suppress(OSError):  # a sibling may just have removed it
                found = np.fromfile(path)
                if found.size == _WIDTH:  # not so while a sibling is just making its file
                    total[model] += found
        return {model: _counted(row) for model, row in total.items()}

    def _path(self, model: str) -> Path:
        return self._folder / f"{self._own}.{model}{_SUFFIX}"

    def _map(self, model: str) -> Any:
        mapped: Any = np.memmap(self._path(model), np.float64, "w+", shape=_WIDTH)
        return memoryview(mapped)


def _counted(row: NDArray[np.float64]) -> Counted:
    by_status = {str(status): int(count) for status, count in zip(STATUSES, row, strict=False) if count}
    buckets = row[_BUCKETS].astype(int).tolist()
    return Counted(by_status, HistogramStatus(buckets=list(SECONDS), counts=buckets, sum=float(row[_SUM])))
