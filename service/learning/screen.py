"""What becomes of a microbatch before the learner sees it: labels are joined, duplicates and one source's surplus go.

On the path it stands between the microbatcher and the learner, in each lane (``lane.py``). Here, and not earlier,
because only here the order of the rows is the same again when a restart learns the journal's microbatches once more.
Labels are joined once for each microbatch (``joining/join.py``). As to the rest, it looks first and remembers only what
was learned: a microbatch that a device failed over is looked at again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.examples import Examples
from models.influence import KeyShares
from models.learner import LearnerState
from service.joining.join import Join
from service.learning.dedup import DedupWindow, Ids

DEDUP, INFLUENCE, JOIN = "dedup", "influence", "join"
"""Names of the states in a checkpoint."""


@dataclass(frozen=True, slots=True)
class Screened:
    """A microbatch as it is to be learned.

    Attributes
    ----------
    examples
        Its rows that are no duplicates; those that are scored only have weight 0.
    duplicates
        Which of all its rows are duplicates, shape (rows,).
    limited
        Rows of weight 0 because their source has had its share.
    """

    examples: Examples
    duplicates: NDArray[np.bool_]
    limited: int


@dataclass(slots=True)
class Screen:
    """Looks at microbatches in the order of learning. Owned by one thread.

    Attributes
    ----------
    dedup, shares, join
        None where the configuration does not ask for them.
    """

    dedup: DedupWindow | None = None
    shares: KeyShares | None = None
    join: Join | None = None

    def look(self, examples: Examples) -> Screened:
        """Return what is to be learned of some rows; changes nothing."""
        duplicates = np.zeros(len(examples), np.bool_)
        if self.dedup is not None and examples.ids is not None:
            duplicates = self.dedup.duplicates(_names(examples, examples.ids))
            if duplicates.any():
                examples = examples.take(np.flatnonzero(~duplicates))
        limited = 0
        if self.shares is not None and examples.sources is not None:
            weights = self.shares.limited(examples.sources, examples.weights)
            if weights is not examples.weights:
                limited = int(np.count_nonzero(examples.weights) - np.count_nonzero(weights))
                examples = replace(examples, weights=weights)
        return Screened(examples, duplicates, limited)

    def learned(self, given: Examples, screened: Screened) -> None:
        """Note that the rows given were learned as :meth:`look` returned them."""
        if self.dedup is not None and given.ids is not None:
            self.dedup.add(_names(given, given.ids))
        kept = screened.examples
        if self.shares is not None and kept.sources is not None:
            self.shares.add(kept.sources, kept.weights)

    def passed(self, examples: Examples) -> Examples:
        """Return what is to be learned of some rows, and note that it is."""
        screened = self.look(examples)
        self.learned(examples, screened)
        return screened.examples

    def states(self) -> dict[str, LearnerState]:
        """Return what :meth:`restore` takes back, by name."""
        found = {DEDUP: self.dedup, INFLUENCE: self.shares, JOIN: self.join}
        return {name: each.state() for name, each in found.items() if each is not None}

    def restore(self, states: Mapping[str, LearnerState]) -> None:
        """Become what `states` were taken from; what was not kept then starts from nothing.

        Raises
        ------
        CheckpointInvalid, StateMismatch
        """
        if self.dedup is not None and DEDUP in states:
            self.dedup.restore(states[DEDUP])
        if self.shares is not None and INFLUENCE in states:
            self.shares.restore(states[INFLUENCE])
        if self.join is not None and JOIN in states:
            self.join.restore(states[JOIN])


def _names(examples: Examples, ids: Ids) -> Ids:
    """Return what rows are known by: an observation that a teacher speaks of is no duplicate of its label."""
    if examples.labelled is None:
        return ids
    names = ids.copy()
    # The window looks for the newest id of a first word, so the first words must differ.
    names[~examples.labelled & ids.any(axis=1), 0] ^= np.uint64(1)
    return names
