"""Histograms that live in the trainer's status, not in a metrics library: so they survive a restart of the trainer."""

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from service.monitoring.status import HistogramStatus

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

BUCKETS = {
    "microbatch_events": (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384),
    "microbatch_wait_seconds": _SECONDS,
    "update_seconds": _SECONDS,
    "freshness_seconds": _SECONDS,
    "checkpoint_seconds": _SECONDS,
}
"""Upper bounds of each of the trainer's histograms."""


class Histogram:
    """Counts of observations by size. Owned by one thread; another may take :meth:`to_json` at any time.

    Parameters
    ----------
    buckets
        Upper bounds, inclusive, growing; one more bucket for what is above the last is added.
    """

    def __init__(self, buckets: Sequence[float]) -> None:
        self._bounds: NDArray[np.float64] = np.asarray(buckets, np.float64)
        if not np.all(np.diff(self._bounds) > 0):
            raise ValueError(f"a histogram's bounds must grow; they are {list(buckets)}")
        self._counts: NDArray[np.int64] = np.zeros(len(self._bounds) + 1, np.int64)
        self._sum = 0.0

    @classmethod
    def from_json(cls, data: HistogramStatus) -> Self:
        """Return the histogram that :meth:`to_json` gave."""
        histogram = cls(data.buckets)
        histogram._counts[:] = data.counts
        histogram._sum = data.sum
        return histogram

    @property
    def count(self) -> int:
        """Observations so far."""
        return int(self._counts.sum())

    @property
    def sum(self) -> float:
        """Of all observations so far."""
        return self._sum

    def observe(self, value: float) -> None:
        """Count one observation; one that is not finite is left out."""
        self.observe_many(np.asarray([value]))

    def observe_many(self, values: ArrayLike) -> None:
        """Count many observations, any shape; those that are not finite are left out."""
        observed = np.asarray(values, np.float64).ravel()
        observed = observed[np.isfinite(observed)]
        self._counts += np.bincount(np.searchsorted(self._bounds, observed), minlength=len(self._counts))
        self._sum += float(observed.sum())

    def to_json(self) -> HistogramStatus:
        """Return it as the status file carries it."""
        return HistogramStatus(buckets=self._bounds.tolist(), counts=self._counts.tolist(), sum=self._sum)


def learning_histograms(saved: dict[str, HistogramStatus] | None = None) -> dict[str, Histogram]:
    """Return the trainer's histograms by name, continued from `saved` where its bounds are still the same.

    A histogram whose bounds have changed between two versions of Headrace begins anew: its counts mean nothing now.
    """
    histograms = {}
    for name, buckets in BUCKETS.items():
        before = (saved or {}).get(name)
        same = before is not None and before.buckets == [float(bound) for bound in buckets]
        histograms[name] = Histogram.from_json(before) if before is not None and same else Histogram(buckets)
    return histograms


def cumulative(histogram: HistogramStatus) -> list[tuple[str, float]]:
    """Return a histogram as Prometheus wants it: upper bound → observations up to it."""
    total = 0
    buckets: list[tuple[str, float]] = []
    for bound, count in zip([*map(str, histogram.buckets), "+Inf"], histogram.counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets
