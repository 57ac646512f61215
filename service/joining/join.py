"""The label join: observations and labels that come at different times become the examples to learn. Start here.

On the path it stands between the microbatcher and the learner, in each lane, for only there the order of events is the
same again in a replay: what it does follows from its state and the log alone. Of a microbatch it makes the examples
that are complete now, in the order of the rows that completed them, and behind them the observations whose time is up
(by the log's time, so that this follows from the log, too). The rest waits, in two tables (``table.py``): observations
with the features that they were observed with, and labels that came first, or of which the last or the sum counts.

An example that was joined counts as its label's event, and one that is learned because no label came as its
observation's: so the number and the checksum of what was learned are of the events that said what was to be learned.
"""

from pathlib import Path
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from consumers.track import Track
from models.examples import Examples, Label
from models.learner import LearnerState
from service.errors import CheckpointInvalid
from service.joining.arrived import EXAMPLE, OBSERVED, Arrived
from service.joining.emission import Emission, Source
from service.joining.kinds import LABEL, OBSERVATION
from service.joining.matching import CLOSED, LAPSED, OPEN, Matching, Terms
from service.joining.outcomes import EVICTED, JOINED, TIMED_OUT, UNMATCHED, Outcomes
from service.joining.past import PastIds
from service.joining.table import BLOCK, Table
from service.joining.vocabulary import Vocabulary
from service.monitoring.status import JoinStatus
from service.settings.join import JoinSettings

_log = structlog.get_logger("headrace.join")

SCHEMA = 1
_LEAST_AT_ONCE = 1024
"""Observations that may time out with one microbatch, at least, or twice its size: an update's size stays bounded."""


_SILENT_AT_ONCE = 16_384
"""The same, where no event comes."""


class Join:
    """Joins the microbatches of one lane. Owned by one thread.

    Parameters
    ----------
    settings
        The section ``join`` of a model.
    folder
        Where features go that have no room in memory.
    default
        The label of observations whose label does not come; None: they are not learned.
    default_weight
        How much more of a row each of those is that are kept of them.
    taught
        Whether observations are of use at once, too, because a teacher may speak of them.
    size
        Rows that a block of the tables is made of.

    Attributes
    ----------
    outcomes
        What became of all that came.
    """

    def __init__(
        self,
        settings: JoinSettings,
        folder: Path,
        *,
        default: Label | None = None,
        default_weight: float = 1.0,
        taught: bool = False,
        size: int = BLOCK,
    ) -> None:
        self._settings = settings
        self._default, self._default_weight = default, default_weight
        self._taught = taught
        self._terms = Terms(settings.wait * 1000, settings.duplicates, settings.late == "learn")
        self._patience = settings.patience * 1000
        self._observations = Table(OBSERVATION, folder, settings.max_memory, size)
        self._labels = Table(LABEL, folder, 0, size)
        self._lapsed = Table(OBSERVATION, folder, 0, size)
        self._past = PastIds()
        self._vocabulary = Vocabulary()
        self._clocks: NDArray[np.float64] = np.empty(0)
        self.outcomes = Outcomes()

    def take(self, examples: Examples, track: Track) -> Examples:
        """Return what is to be learned now that these rows have come; it has ``checksums`` unless it is `examples`.

        Parameters
        ----------
        examples
            Of a microbatch, in the order of the log.
        track
            Where each of its rows came from.
        """
        if examples.labelled is None and examples.featured is None and self._is_empty:
            return examples
        arrived = Arrived.of(examples, track, by_event_time=self._settings.clock == "event")
        self._advance(arrived)
        emission = Emission(examples, self._observations, self._lapsed, self._vocabulary)
        has_id = arrived.has_id
        goes_on = arrived.kinds == EXAMPLE
        goes_on |= (arrived.kinds == OBSERVED) & (self._taught | ~has_id)
        emission.rows(np.flatnonzero(goes_on), arrived.kinds != OBSERVED, arrived.checksums)
        named = np.flatnonzero(has_id)
        if len(named):
            matching = Matching(self._terms, arrived, named, self._vocabulary.rows_of(arrived))
            self._look_up(matching)
            matching.run(self.outcomes)
            self._emit(emission, matching)
            self._change(matching, arrived)
        self._time_out(emission, len(examples))
        self._bound()
        return emission.examples(self.outcomes)

    def overdue(self, silence: float) -> int | None:
        """Return how late it is so many seconds after the newest event, in milliseconds, if an observation is due then.

        Never where time is what events say.
        """
        if self._settings.clock == "event" or not len(self._observations):
            return None
        late = int(float(self._clocks.max(initial=0)) + 1000 * silence)
        return late if self._observations.earliest() + self._terms.wait < late else None

    def time_passes(self, milliseconds: float) -> Examples:
        """Return what is to be learned where no event has come, and it is so late in all partitions."""
        np.maximum(self._clocks, milliseconds, out=self._clocks)
        emission = Emission(Examples.empty(), self._observations, self._lapsed, self._vocabulary)
        self._time_out(emission, _SILENT_AT_ONCE // 2)
        return emission.examples(self.outcomes)

    def status(self) -> JoinStatus:
        """Return what waits, and what became of all that came."""
        newest, oldest = float(self._clocks.max(initial=-np.inf)), self._observations.earliest()
        counts = self.outcomes.counts
        ended = counts[JOINED] + counts[TIMED_OUT]
        return JoinStatus(
            observations=len(self._observations),
            labels=len(self._labels),
            bytes=sum(table.nbytes for _, table in self._tables()),
            oldest_seconds=(newest - oldest) / 1000 if np.isfinite(oldest) else None,
            matched_share=counts[JOINED] / ended if ended else None,
            outcomes=dict(counts),
            delays=self.outcomes.delays.to_json(),
        )

    def state(self) -> LearnerState:
        """Return what :meth:`restore` takes back; arrays that can change are copied."""
        meta: dict[str, Any] = {"schema": SCHEMA, "outcomes": self.outcomes.to_json()}
        meta["classes"] = self._vocabulary.classes
        arrays: dict[str, Any] = {"clocks/clocks": self._clocks.copy()}
        for name, table in self._tables():
            meta[name], found = table.state(name)
            arrays |= found
        meta["past"], found = self._past.state("past")
        return LearnerState(meta, arrays | found)

    def restore(self, state: LearnerState) -> None:
        """Become what `state` was taken from.

        Raises
        ------
        CheckpointInvalid
        """
        if state.meta.get("schema") != SCHEMA:
            raise CheckpointInvalid(
                f"the checkpoint's observations that wait are of schema {state.meta.get('schema')!r}, this version "
                f"reads {SCHEMA}: use the version of Headrace that wrote it, or forget them with join.enabled: false"
            )
        self.outcomes.restore(state.meta["outcomes"])
        self._vocabulary = Vocabulary(state.meta["classes"])
        self._clocks = state.arrays["clocks/clocks"].copy()
        for name, table in self._tables():
            table.restore(name, state.meta[name], state.arrays)
        self._past.restore("past", state.meta["past"], state.arrays)

    def _tables(self) -> list[tuple[str, Table]]:
        return [("open", self._observations), ("label", self._labels), ("lapsed", self._lapsed)]

    @property
    def _is_empty(self) -> bool:
        return not (len(self._observations) or len(self._labels) or len(self._lapsed))

    def _advance(self, arrived: Arrived) -> None:
        """Move the time of each partition on."""
        last = int(arrived.partitions.max(initial=-1))
        if last >= len(self._clocks):
            self._clocks = np.concatenate([self._clocks, np.full(last + 1 - len(self._clocks), -np.inf)])
        np.maximum.at(self._clocks, arrived.partitions, arrived.times)

    def _look_up(self, matching: Matching) -> None:
        """Find what waits for the ids of a microbatch."""
        ids = matching.distinct
        matching.observed = self._observations.find(ids)
        found = matching.observed >= 0
        matching.is_waiting = found.copy()
        matching.observations[found] = self._observations.rows(matching.observed[found])
        matching.observed_times = matching.observations["time"].copy()
        matching.label_numbers = self._labels.find(ids)
        found = matching.label_numbers >= 0
        matching.is_labelled = found.copy()
        matching.labels[found] = self._labels.rows(matching.label_numbers[found])
        # What waits has no past; and of the rest most is new.
        others = np.flatnonzero(~matching.is_waiting)
        matching.past[others] = self._past.find(ids[others])
        matching.lapsed = self._lapsed.find(ids)
        matching.had_past = matching.past != OPEN

    def _emit(self, emission: Emission, matching: Matching) -> None:
        met = matching.met
        for place, (at, groups, labels) in enumerate(zip(met.at, met.groups, met.labels, strict=True)):
            for source, found in ((Source.ROWS, met.rows), (Source.WAITING, met.waiting), (Source.LAPSED, met.lapsed)):
                chosen = found[place] >= 0
                if not chosen.any():
                    continue
                numbers = found[place][chosen]
                known = None if source is not Source.WAITING else matching.observations[groups[chosen]]
                emission.joined(emission.observed(source, numbers, known), at[chosen], labels[chosen])
        for delays in met.delays:
            self.outcomes.delayed(delays)

    def _change(self, matching: Matching, arrived: Arrived) -> None:
        """Have wait what waits now, and forget what does no longer. Features that met their label are taken before."""
        nothing = np.empty(0, np.int64)
        gone = (matching.observed >= 0) & ~matching.is_waiting
        self._observations.remove(matching.observed[gone], matching.distinct[gone])
        self._lapsed.forget(np.concatenate([*matching.gone_lapsed, nothing]))
        stale = matching.is_changed & (matching.label_numbers >= 0)
        self._labels.remove(matching.label_numbers[stale], matching.distinct[stale])
        kept = matching.labels[matching.is_changed & matching.is_labelled]
        if len(kept):
            self._labels.add(kept)
        self._past.add(matching.distinct[matching.is_closed & ~matching.had_past], CLOSED)
        self._past.change(matching.distinct[matching.is_closed & matching.had_past], CLOSED)
        rows = np.sort(matching.observed_rows[matching.observed_rows >= 0])
        if not len(rows):
            return
        examples = arrived.examples
        observed = np.zeros(len(rows), OBSERVATION)
        for name, column in (
            ("id", arrived.ids),
            ("time", arrived.times),
            ("timestamp", examples.timestamps),
            ("checksum", arrived.checksums),
            ("weight", examples.weights),
            ("partition", arrived.partitions),
            ("source", examples.sources),
        ):
            if column is not None:
                observed[name] = column[rows]
        answered = None if examples.answered is None else examples.answered.take(rows)
        self._observations.add(observed, examples.features.take(rows), answered)

    def _time_out(self, emission: Emission, rows: int) -> None:
        """Take out what has waited too long: at the end of a microbatch, whose labels came in time."""
        newest = float(self._clocks.max(initial=-np.inf))
        due = self._observations.due(self._clocks, self._terms.wait, newest, self._patience)
        due = due[: max(_LEAST_AT_ONCE, 2 * rows)]
        if len(due):
            waited = self._observations.rows(due)
            numbers = self._labels.find(waited["id"])
            has = numbers >= 0
            if has.any():
                labels = self._labels.rows(numbers[has])
                emission.joined(emission.observed(Source.WAITING, due[has], waited[has]), None, labels)
                self.outcomes.count(JOINED, len(labels))
                self.outcomes.delayed(np.maximum(labels["time"] - waited["time"][has], 0))
                self._labels.remove(numbers[has], labels["id"])
                self._past.add(waited["id"][has], CLOSED)
            self._give_up(emission, due[~has], waited[~has])
            self._observations.remove(due, waited["id"])
        due = self._labels.due(self._clocks, self._terms.wait, newest, self._patience)
        if len(due):
            # The label of an observation that still waits goes with it.
            due = due[self._observations.find(self._labels.rows(due)["id"]) < 0]
            self.outcomes.count(UNMATCHED, len(due))
            self._labels.forget(due)
        self._lapsed.forget(self._lapsed.due(self._clocks, self._patience, newest, self._patience))

    def _give_up(self, emission: Emission, numbers: NDArray[np.int64], waited: NDArray[np.void]) -> None:
        """Learn, or forget, observations whose label did not come."""
        if not len(numbers):
            return
        self.outcomes.count(TIMED_OUT, len(numbers))
        self._past.add(waited["id"], LAPSED)
        if self._default is not None:
            share = self._settings.sample
            kept = waited["id"][:, 1] % np.uint64(share) == 0
            if kept.any():
                observed = emission.observed(Source.WAITING, numbers[kept], waited[kept])
                emission.defaulted(observed, waited["checksum"][kept], self._default, self._default_weight)
        if self._terms.learns_late:
            taken, features, answered = self._observations.features(numbers)
            self._lapsed.add(waited[taken], features, answered)

    def _bound(self) -> None:
        """Give up the oldest of what is too much."""
        most = self._settings.max_open
        for table in (self._observations, self._labels, self._lapsed):
            if len(table) > most:
                self._evict(table, len(table) - most)
        while self._observations.nbytes > self._settings.max_bytes and len(self._observations) > 1:
            self._evict(self._observations, min(len(self._observations) - 1, BLOCK))

    def _evict(self, table: Table, count: int) -> None:
        if table is not self._lapsed:
            self.outcomes.count(EVICTED, count)
        table.forget(table.oldest(count))
