"""What was refused stays refused when the log is read again: a letter is learned once it is sent again, never before.

On the path it stands between the decoder and the task gate. A restart reads what lies behind the last checkpoint again,
perhaps with settings under which yesterday's letters can be used. Learning them there would teach them twice once an
operator sends them again, and would make other microbatches out of the log than those that the journal knows.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from consumers.dead_letters import DeadLetters, Known
from consumers.source import ALL, Positions, Share
from service.decoding.decoded import DecodedEvents
from service.decoding.event_problems import Problem
from service.decoding.record_batch import RecordBatch
from service.decoding.rejection import Rejected


class KnownLetters:
    """The letters that reading may meet again. Owned by one thread.

    Parameters
    ----------
    table
        The model's dead letters.
    topic, positions
        What is read, and from where.
    share
        The partitions of it that are read.

    Raises
    ------
    SourceUnavailable, LogUnreadable
    """

    def __init__(self, table: DeadLetters, topic: str, positions: Positions, share: Share = ALL) -> None:
        self._left: dict[tuple[int, int], list[Known]] = {}
        self._places: set[tuple[int, int, int]] = set()
        for known in table.known(topic, positions):
            if not share.has(known.partition):
                continue
            self._left.setdefault((known.partition, known.offset), []).append(known)
            self._places.add((known.partition, known.offset, known.event))

    def refuse(self, decoded: DecodedEvents) -> DecodedEvents:
        """Return what was decoded without the events that were refused before, which are refused again."""
        if not self._left:
            return decoded
        problems: dict[int, Problem] = {}
        for record, letters in self._met(decoded.batch):
            rows = np.flatnonzero(decoded.origins.records == record)
            for letter in letters:
                problems |= dict.fromkeys(_rows_of(letter, rows, decoded), Problem(letter.reason, letter.detail))
        return decoded.refuse(problems)

    def new_among(self, rejected: Sequence[Rejected]) -> list[Rejected]:
        """Return those that were not refused before; to be asked once for each."""
        if not self._places:
            return list(rejected)
        new = [each for each in rejected if (each.partition, each.offset, each.index) not in self._places]
        self._places.difference_update((each.partition, each.offset, each.index) for each in rejected)
        return new

    def _met(self, batch: RecordBatch) -> list[tuple[int, list[Known]]]:
        """Return the records that have letters, with them; each place is met once."""
        places = zip(batch.partitions.tolist(), batch.offsets.tolist(), strict=True)
        return [(record, letters) for record, place in enumerate(places) if (letters := self._left.pop(place, None))]


def _rows_of(letter: Known, rows: NDArray[np.intp], decoded: DecodedEvents) -> list[int]:
    """Return which of a record's rows a letter stands for."""
    if letter.whole:
        return [int(row) for row in rows]
    return [int(row) for row in rows if decoded.origins.events[row] == letter.event]
