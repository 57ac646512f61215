"""Which rows of a microbatch meet which: observations and labels by their ids, many in one call.

On the path it is the middle of the label join (``join.py``). What comes of a row must not depend on where a microbatch
ends, so rows are taken as if one by one, in order. As rows of different ids have nothing to do with each other, the
first rows of all ids are taken at once, then the second ones, and so on: two rounds as a rule. What waits is looked up
before, and changed after; here only arrays with one place for each id are read and written.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from service.joining.arrived import EXAMPLE, LABEL_ALONE, OBSERVED, Arrived
from service.joining.index import NOWHERE, Ids
from service.joining.kinds import LABEL, OBSERVATION
from service.joining.outcomes import DUPLICATE, JOINED, LATE, SUPERSEDED, UNMATCHED, Outcomes

OPEN, CLOSED, LAPSED = 0, 1, 2
"""What is known of an id that does not wait: nothing; it has met its label; its label did not come in time."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the configuration says of matching; see :class:`service.settings.join.JoinSettings`.

    Attributes
    ----------
    wait
        Milliseconds.
    duplicates
        ``first``, ``last`` or ``sum``.
    learns_late
        Whether late labels are learned.
    """

    wait: float
    duplicates: str
    learns_late: bool

    @property
    def at_once(self) -> bool:
        """Whether the first label makes an example."""
        return self.duplicates == "first"


@dataclass(slots=True)
class Met:
    """Observations that have met their labels. All arrays have shape (examples,).

    Attributes
    ----------
    at
        Row of the microbatch with which they met.
    groups
        Their ids, as places among those that occur.
    rows, waiting, lapsed
        Where the features are: a row of the microbatch, or else a number in the table of what waits, or else in that
        of what waited in vain; -1 where they are not there.
    labels
        Of the kind :data:`service.joining.kinds.LABEL`.
    delays
        Milliseconds from the observation to the label.
    """

    at: list[NDArray[np.intp]] = field(default_factory=list)
    groups: list[NDArray[np.intp]] = field(default_factory=list)
    rows: list[NDArray[np.int64]] = field(default_factory=list)
    waiting: list[NDArray[np.int64]] = field(default_factory=list)
    lapsed: list[NDArray[np.int64]] = field(default_factory=list)
    labels: list[NDArray[np.void]] = field(default_factory=list)
    delays: list[NDArray[np.float64]] = field(default_factory=list)


class Matching:
    """Takes the rows of one microbatch.

    Parameters
    ----------
    terms
        By which labels count.
    arrived, rows
        The microbatch, and which of its rows have an id.
    labels
        Of the kind :data:`service.joining.kinds.LABEL`, one for each row of the microbatch; of no meaning for
        observations.

    Attributes
    ----------
    distinct
        The ids that occur, shape (ids, 2). All that follows has one place for each.
    observed, observations, is_waiting
        The number of the observation that waited in its table, what that says of it (of the kind
        :data:`service.joining.kinds.OBSERVATION`), and whether it still does.
    observed_rows, observed_times
        The row of the microbatch that is the observation that waits; and the time of that, or of the one of the table.
    is_labelled, labels, label_numbers, is_changed
        Whether a label waits, which, its number in its table if it was there, and whether that is no longer so.
    lapsed
        The number of an observation that waited in vain, but is still known.
    past
        What is known of ids that do not wait: :data:`OPEN`, :data:`CLOSED` or :data:`LAPSED`.
    had_past, is_closed
        Of which something was known before; and which were closed here.
    gone_lapsed
        Numbers of observations that waited in vain and are not known any more.
    met
        What became an example.
    """

    def __init__(self, terms: Terms, arrived: Arrived, rows: NDArray[np.intp], labels: NDArray[np.void]) -> None:
        self._terms = terms
        self._kinds = arrived.kinds
        self._times = arrived.times
        self._row_labels = labels
        ids = arrived.ids[rows]
        order = _grouped(ids)
        sorted_ids = ids[order]
        begins = np.ones(len(ids), np.bool_)
        begins[1:] = (sorted_ids[1:, 0] != sorted_ids[:-1, 0]) | (sorted_ids[1:, 1] != sorted_ids[:-1, 1])
        groups = begins.cumsum() - 1
        self._order = rows[order]
        self._groups = groups
        self._ranks = np.arange(len(ids)) - np.flatnonzero(begins)[groups]
        self.distinct: Ids = sorted_ids[begins]
        count = len(self.distinct)
        self.observed = np.full(count, NOWHERE, np.int64)
        self.observed_rows = np.full(count, NOWHERE, np.int64)
        self.is_waiting = np.zeros(count, np.bool_)
        self.observations = np.zeros(count, OBSERVATION)
        self.observed_times = np.zeros(count)
        self.is_labelled = np.zeros(count, np.bool_)
        self.labels = np.zeros(count, LABEL)
        self.label_numbers = np.full(count, NOWHERE, np.int64)
        self.is_changed = np.zeros(count, np.bool_)
        self.lapsed = np.full(count, NOWHERE, np.int64)
        self.past = np.zeros(count, np.int8)
        self.had_past = np.zeros(count, np.bool_)
        self.is_closed = np.zeros(count, np.bool_)
        self.gone_lapsed: list[NDArray[np.int64]] = []
        self.met = Met()

    def run(self, outcomes: Outcomes) -> None:
        """Take all rows, and count what becomes of them."""
        for rank in range(int(self._ranks.max(initial=-1)) + 1):
            here = self._ranks == rank
            rows, groups = self._order[here], self._groups[here]
            kinds = self._kinds[rows]
            for kind, take in (
                (EXAMPLE, self._take_examples),
                (OBSERVED, self._take_observations),
                (LABEL_ALONE, self._take_labels),
            ):
                chosen = kinds == kind
                if chosen.any():
                    take(rows[chosen], groups[chosen], outcomes)

    def _has_observation(self, groups: NDArray[np.intp]) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = self.is_waiting[groups] | (self.observed_rows[groups] >= 0)
        return found

    def _take_examples(self, _: NDArray[np.intp], groups: NDArray[np.intp], outcomes: Outcomes) -> None:
        """Let an event that has both take the place of what waits."""
        closed = groups[self._has_observation(groups)]
        outcomes.count(SUPERSEDED, len(closed))
        self._close(closed)
        labelled = groups[self.is_labelled[groups]]
        outcomes.count(DUPLICATE, len(labelled))
        self._drop_labels(labelled)

    def _take_observations(self, rows: NDArray[np.intp], groups: NDArray[np.intp], outcomes: Outcomes) -> None:
        fresh = ~self._has_observation(groups) & (self.past[groups] == OPEN)
        outcomes.count(DUPLICATE, len(groups) - int(fresh.sum()))
        rows, groups = rows[fresh], groups[fresh]
        labelled = self.is_labelled[groups]
        in_time = self._times[rows] - self.labels["time"][groups] <= self._terms.wait
        stale = groups[labelled & ~in_time]
        outcomes.count(UNMATCHED, len(stale))
        self._drop_labels(stale)
        self.observed_rows[groups] = rows
        self.observed_times[groups] = self._times[rows]
        if self._terms.at_once:
            meets = labelled & in_time
            self._meet(rows[meets], groups[meets], self.labels[groups[meets]], outcomes, JOINED)
            self._drop_labels(groups[meets])

    def _take_labels(self, rows: NDArray[np.intp], groups: NDArray[np.intp], outcomes: Outcomes) -> None:
        observed, past = self._has_observation(groups), self.past[groups]
        in_time = self._times[rows] - self.observed_times[groups] <= self._terms.wait
        late = (observed & ~in_time) | (~observed & (past == LAPSED))
        again = ~observed & (past == CLOSED)
        waits = ~late & ~again
        if self._terms.at_once:
            meets = observed & in_time
            self._meet(rows[meets], groups[meets], self._row_labels[rows[meets]], outcomes, JOINED)
            again |= waits & ~observed & self.is_labelled[groups]
            waits &= ~observed & ~again
        outcomes.count(DUPLICATE, int(again.sum()))
        self._keep(rows[waits], groups[waits], outcomes)
        outcomes.count(LATE, int(late.sum()))
        if self._terms.learns_late:
            known = late & (observed | (self.lapsed[groups] >= 0))
            self._meet(rows[known], groups[known], self._row_labels[rows[known]], outcomes, None)

    def _keep(self, rows: NDArray[np.intp], groups: NDArray[np.intp], outcomes: Outcomes) -> None:
        """Have labels wait; where one waits already, the last one or the sum does."""
        more = self.is_labelled[groups]
        before = self.labels[groups]
        labels = self._row_labels[rows].copy()
        if self._terms.duplicates == "sum":
            for name in ("value", "checksum"):
                labels[name][more] += before[name][more]
        else:
            outcomes.count(DUPLICATE, int(more.sum()))
        # The wait counts from the first of them.
        labels["time"][more] = before["time"][more]
        self.labels[groups] = labels
        self.is_labelled[groups] = True
        self.is_changed[groups] = True

    def _meet(
        self,
        at: NDArray[np.intp],
        groups: NDArray[np.intp],
        labels: NDArray[np.void],
        outcomes: Outcomes,
        outcome: str | None,
    ) -> None:
        """Make examples of observations and labels."""
        if not len(at):
            return
        rows, waiting = self.observed_rows[groups], np.where(self.is_waiting[groups], self.observed[groups], NOWHERE)
        nowhere = (rows < 0) & (waiting < 0)
        self.met.at.append(at)
        self.met.groups.append(groups)
        self.met.rows.append(rows)
        self.met.waiting.append(waiting)
        self.met.lapsed.append(np.where(nowhere, self.lapsed[groups], NOWHERE))
        self.met.labels.append(labels)
        if outcome is not None:
            outcomes.count(outcome, len(at))
            self.met.delays.append(np.maximum(labels["time"] - self.observed_times[groups], 0))
        lapsed = self.lapsed[groups[nowhere]]
        self.gone_lapsed.append(lapsed[lapsed >= 0])
        self.lapsed[groups] = NOWHERE
        self._close(groups)

    def _close(self, groups: NDArray[np.intp]) -> None:
        self.is_waiting[groups] = False
        self.observed_rows[groups] = NOWHERE
        self.past[groups] = CLOSED
        self.is_closed[groups] = True

    def _drop_labels(self, groups: NDArray[np.intp]) -> None:
        self.is_labelled[groups] = False
        self.is_changed[groups] = True


def _grouped(ids: Ids) -> NDArray[np.intp]:
    """Return the order in which equal ids stand together, each in the order in which they came."""
    order = ids[:, 0].argsort(kind="stable")
    words, more = ids[order, 0], ids[order, 1]
    # The first words of two ids are hardly ever the same.
    if ((words[1:] == words[:-1]) & (more[1:] != more[:-1])).any():
        return np.lexsort((ids[:, 1], ids[:, 0]))
    return order
