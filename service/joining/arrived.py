"""The rows of a microbatch as the label join looks at them: what each is, its id, its time, and where it came from."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from consumers.track import Track
from models.examples import Examples
from service.joining.index import Ids

EXAMPLE, OBSERVED, LABEL_ALONE = 0, 1, 2
"""What a row is."""


class Arrived(NamedTuple):
    """Rows in the order of the log. All arrays have shape (rows,) at least.

    Attributes
    ----------
    examples
        As they came.
    kinds
        int8; :data:`EXAMPLE`, :data:`OBSERVED` or :data:`LABEL_ALONE`.
    ids
        Zeros where a row has none.
    times
        float64; on the join's clock, in milliseconds.
    checksums
        uint64; what each row's event adds to a checksum.
    partitions
        int32.
    """

    examples: Examples
    kinds: NDArray[np.int8]
    ids: Ids
    times: NDArray[np.float64]
    checksums: NDArray[np.uint64]
    partitions: NDArray[np.int32]

    @classmethod
    def of(cls, examples: Examples, track: Track, *, by_event_time: bool) -> "Arrived":
        """Return the rows of a microbatch."""
        kinds = np.full(len(examples), EXAMPLE, np.int8)
        if examples.labelled is not None:
            kinds[~examples.labelled] = OBSERVED
        if examples.featured is not None:
            kinds[~examples.featured] = LABEL_ALONE
        ids = np.zeros((len(examples), 2), np.uint64) if examples.ids is None else examples.ids
        times = track.appended.astype(np.float64)
        if by_event_time:
            # An event that says it is of the future would have everything time out.
            happened = np.minimum(examples.timestamps * 1000, times)
            times = np.where(np.isnan(happened), times, happened)
        return cls(examples, kinds, ids, times, track.checksums(), track.partitions)

    @property
    def has_id(self) -> NDArray[np.bool_]:
        """Which rows have an id."""
        found: NDArray[np.bool_] = (self.ids[:, 0] | self.ids[:, 1]) != 0
        return found
