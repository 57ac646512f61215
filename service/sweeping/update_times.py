"""The times of the updates of one cell."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from service.sweeping.cells import Timing

FIFTHS = 5
"""Parts of the timed updates whose rates are kept beside the rate of all."""


@dataclass(slots=True)
class UpdateTimes:
    """Collects the times of updates of `size` events each."""

    size: int
    seconds: list[float] = field(default_factory=list)

    def timing(self) -> Timing | None:
        """Return what they come to; None where there is none."""
        if not self.seconds:
            return None
        times = np.array(self.seconds)
        parts = np.array_split(times, min(FIFTHS, len(times)))
        return Timing(
            updates=len(times),
            mean=float(times.mean()),
            median=float(np.median(times)),
            p99=percentile(self.seconds, 0.99),
            fifths=tuple(float(self.size * len(part) / max(part.sum(), 1e-9)) for part in parts),
        )


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest of `values` (at least one) that so large a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, int(np.ceil(share * len(ordered))) - 1)]
