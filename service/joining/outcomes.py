"""What became of observations and labels: counted as long as the model lives, for the state and the metrics."""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from service.monitoring.histograms import Histogram
from service.monitoring.status import HistogramStatus

JOINED, TIMED_OUT, LATE, DUPLICATE = "joined", "timed_out", "late", "duplicate"
UNMATCHED, SUPERSEDED, EVICTED = "unmatched", "superseded", "evicted"

OUTCOMES = {
    JOINED: "Observations that met their label.",
    TIMED_OUT: "Observations whose label did not come in time.",
    LATE: "Labels that came when their observation had waited too long.",
    DUPLICATE: "Observations and labels beyond the one of their id that counts.",
    UNMATCHED: "Labels whose observation did not come in time.",
    SUPERSEDED: "Observations whose id then came with features and a label in one event.",
    EVICTED: "Observations and labels that were given up because too much waited.",
}
"""Each outcome, and what it means."""

DELAYS = (0.01, 0.1, 1, 5, 15, 60, 300, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400, 259_200, 604_800, 2_592_000)
"""Upper bounds, in seconds, of the delays from observation to label."""


class Outcomes:
    """Counts. Owned by one thread."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys(OUTCOMES, 0)
        self.delays = Histogram(DELAYS)

    def count(self, outcome: str, rows: int) -> None:
        """Count so many rows."""
        self.counts[outcome] += rows

    def delayed(self, milliseconds: NDArray[np.float64]) -> None:
        """Note how long labels took."""
        self.delays.observe_many(milliseconds / 1000)

    def to_json(self) -> dict[str, Any]:
        """Return it as a checkpoint carries it."""
        return {"counts": dict(self.counts), "delays": msgspec.to_builtins(self.delays.to_json())}

    def restore(self, data: Mapping[str, Any]) -> None:
        """Become what :meth:`to_json` was taken from."""
        self.counts = dict.fromkeys(OUTCOMES, 0) | dict(data["counts"])
        saved = msgspec.convert(data["delays"], HistogramStatus)
        self.delays = Histogram.from_json(saved) if saved.buckets == list(map(float, DELAYS)) else Histogram(DELAYS)
