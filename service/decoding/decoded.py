"""What decoding gives: examples with where they came from, and the events that gave none."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from consumers.source import Positions
from consumers.track import Track
from models.examples import Examples
from service.decoding.columns import compact
from service.decoding.event_problems import Problem
from service.decoding.record_batch import Origins, RecordBatch
from service.decoding.rejection import Rejected, rejections


@dataclass(frozen=True, slots=True)
class DecodedEvents:
    """What some records held.

    Attributes
    ----------
    examples, track
        The usable rows, and where each came from.
    positions
        After all the records, those included that gave no row.
    rejected
        Unusable events, in order.
    events
        All events, unusable and unlabelled ones included.
    unlabelled
        Labels without features, and observations without a label, where they are of no use.
    origins, batch, counts
        What tells of a row which event of which record it is: for whoever rejects rows later.
    """

    examples: Examples
    track: Track
    positions: Positions
    rejected: list[Rejected]
    events: int
    unlabelled: int
    origins: Origins
    batch: RecordBatch
    counts: NDArray[np.int64]

    def refuse(self, problems: dict[int, Problem]) -> "DecodedEvents":
        """Return the same without some rows, which are rejected: row → why.

        Positions are not held up by them: where only refused rows followed within a message, it is passed.
        """
        if not problems:
            return self
        kept = np.setdiff1d(np.arange(len(self.examples)), list(problems))
        examples = self.examples.take(kept)
        origins = self.origins.take(kept)
        refused = rejections(self.batch, {self.origins.at(row): problem for row, problem in problems.items()})
        return replace(
            self,
            examples=replace(examples, features=compact(examples.features)),
            track=self.batch.track(origins, self.counts),
            rejected=self.rejected + refused,
            origins=origins,
        )
