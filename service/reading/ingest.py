"""From the log to decoded chunks: the loop that polls and decodes, and what the learning side sees of it.

On the path it stands between the reader and the microbatcher, for which it is the feed. What cannot be used leaves the
path here, into the dead letters, before its offset is passed. What it hands over is bounded: when learning lags, it
stops polling, and the log holds what is to come. The loop runs in a process of its own (``ingest_process.py``), because
Python runs one thread at a time, or in a thread (``ingest_thread.py``).
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from consumers.errors import SourceUnavailable
from consumers.microbatch import Decoded
from consumers.source import Positions, Reader, Record, Source
from models.examples import Examples, Label, Task
from service.decoding.tasks import TaskGate
from service.errors import RegistryUnavailable
from service.events import DecodedEvents, EventDecoder
from service.reading.arrivals import Arrivals
from service.reading.refusals import Refusals

_log = structlog.get_logger("headrace.ingest")

_POLL_RECORDS = 2000
"""Records a poll: enough for one decoding call to be cheap an event, few enough for an event not to wait for others."""

_POLL_SECONDS = 0.05
"""How long a poll waits when there is nothing: the time within which a commit or the end is noticed."""

_BACK_OFF_LAST = 10.0
"""Longest pause between two tries to reach the log, in seconds."""

_PAUSED_SECONDS, _PAUSED_LOOK_EVERY = 0.5, 10.0
"""While learning is paused: seconds between two looks whether it may go on, and between two at the log's end."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where reading begins, and what is known of the stream before that place.

    Attributes
    ----------
    positions
        Partition → the next event to take.
    task
        None where no label has settled it.
    classes
        Those met before, canonical, in order.
    identity
        Of the log that the positions are of; empty where none was read yet.
    """

    positions: Positions
    task: Task | None = None
    classes: tuple[Label, ...] = ()
    identity: str = ""


class Ingest(Protocol):
    """What the learning side sees: a feed for the microbatcher, and how the log is doing."""

    @property
    def task(self) -> Task | None:
        """What is predicted; None while the labels leave that open."""

    @property
    def classes(self) -> tuple[Label, ...]:
        """The classes met so far, those of each chunk taken included, in the order in which they were met."""

    @property
    def identity(self) -> str:
        """Which log is read, whatever its name; empty until the first chunk, and where the log cannot tell."""

    @property
    def ends(self) -> Mapping[int, int]:
        """Partition → offset after its last record, as last heard of."""

    @property
    def waiting_for_source(self) -> bool:
        """Whether the log cannot be reached at the moment."""

    def take(self, timeout: float) -> Decoded[Examples] | None:
        """Return the next chunk, waiting at most `timeout` seconds.

        Raises
        ------
        ConsumerError
            Reading cannot go on without an operator's decision.
        """

    def commit(self, positions: Positions) -> None:
        """Have the positions committed to the log soon; advisory."""

    def close(self) -> None:
        """Stop polling and let go of connections."""


class Outlet(Protocol):
    """Where the loop hands over what it has, and hears what is wanted of it."""

    def opened(self, identity: str) -> None:
        """Tell which log is read."""

    def put(self, decoded: Decoded[Examples], gate: TaskGate) -> None:
        """Hand a chunk over that `gate` has let pass, waiting until there is room."""

    def report(self, ends: Mapping[int, int], *, waiting: bool) -> None:
        """Tell how the log is doing."""

    def notice(self, message: str) -> None:
        """Tell the operator something."""

    def to_commit(self) -> Positions | None:
        """Return positions to commit, once each."""

    def pause(self, seconds: float) -> bool:
        """Wait, and return whether to go on; `seconds` may be 0."""


class IngestLoop:
    """Polls, decodes and hands over, until its outlet says that it is enough.

    Parameters
    ----------
    source, start
        What to read, and from where.
    decoder, gate
        Bytes → events → examples of the model's task.
    refusals
        Where unusable events go, and what says that there are too many of them.
    outlet
        Where the rest goes.
    max_delay
        Seconds that an event may wait for others.
    """

    def __init__(
        self,
        source: Source,
        start: Start,
        decoder: EventDecoder,
        gate: TaskGate,
        *,
        refusals: Refusals,
        outlet: Outlet,
        max_delay: float,
    ) -> None:
        self._source = source
        self._identity = start.identity
        self._positions = dict(start.positions)
        """After what was handed over."""
        self._decoder = decoder
        self._gate = gate
        self._refusals = refusals
        self._outlet = outlet
        self._arrivals = Arrivals(max_delay)
        self._stopped = False

    def run(self) -> None:
        """Run until the outlet has enough.

        Raises
        ------
        ConsumerError
            Reading cannot go on without an operator's decision.
        """
        try:
            self._refusals.begin(self._positions)
            while self._goes_on():
                if self._refusals.paused(self._positions, look=True) is None:
                    self._read()
                else:
                    self._stand_still()
        finally:
            self._refusals.close()

    def _read(self) -> None:
        """Read until it is enough, or too much was refused."""
        reader = self._open()
        if reader is None:
            return
        try:
            while self._goes_on(self._arrivals.rest()) and self._step(reader):
                pass
        finally:
            reader.close()

    def _stand_still(self) -> None:
        """Read nothing until an operator has reading go on; tell how far the log has grown meanwhile."""
        look_at = 0.0
        while (pause := self._refusals.paused(self._positions, look=True)) is not None:
            if look_at == 0:
                self._outlet.notice(pause.detail)
                _log.warning(pause.detail)
            if time.monotonic() >= look_at:
                self._look()
                look_at = time.monotonic() + _PAUSED_LOOK_EVERY
            self._tell()
            if not self._goes_on(_PAUSED_SECONDS):
                return
        self._refusals.resumed()
        _log.info("reading goes on after a pause")

    def _look(self) -> None:
        """Look how the log is doing, without reading it."""
        try:
            reader = self._source.open(self._positions, self._identity)
        except SourceUnavailable as error:
            self._cannot_reach(error)
            return
        try:
            self._outlet.opened(reader.identity)
            self._serve(reader)
        finally:
            reader.close()

    def _open(self) -> Reader | None:
        """Open the source, trying again for as long as it cannot be reached."""
        delay = 0.0
        while self._goes_on(delay):
            try:
                reader = self._source.open(self._positions, self._identity)
            except SourceUnavailable as error:
                self._cannot_reach(error)
                delay = min(max(error.retry_after, delay * 2), _BACK_OFF_LAST)
            else:
                self._identity = reader.identity
                self._outlet.opened(reader.identity)
                return reader
        return None

    def _step(self, reader: Reader) -> bool:
        """Poll once and hand over what that gives; return whether to read on: not where a part of it was dropped."""
        try:
            records: Sequence[Record] = reader.poll(_POLL_RECORDS, _POLL_SECONDS)
        except SourceUnavailable as error:
            self._cannot_reach(error)
            return self._goes_on(error.retry_after)
        arrived = self._arrivals.polled(records)
        self._serve(reader)
        self._tell()
        if not records:
            self._hand_over(self._gate.poll(), arrived)
        if not self._prepare(records):
            return False
        # In pieces, where events are many, or have so little in common that together they took too much memory.
        for piece in self._decoder.pieces(records):
            self._hand_over(self._gate.offer(self._refusals.refuse_again(piece)), arrived)
            if not self._reads_on():
                return False
        return self._reads_on()

    def _prepare(self, records: Sequence[Record]) -> bool:
        """Have all that decoding needs ready, waiting for as long as it takes; return whether to go on."""
        delay = 0.0
        while True:
            try:
                self._decoder.prepare(records)
            except RegistryUnavailable as error:
                self._cannot_reach(error)
                delay = min(max(error.retry_after, delay * 2), _BACK_OFF_LAST)
                if not self._goes_on(delay):
                    return False
            else:
                return True

    def _reads_on(self) -> bool:
        return not self._stopped and self._refusals.paused(self._positions) is None

    def _serve(self, reader: Reader) -> None:
        """Tell where the log ends, and commit what is to be committed."""
        self._outlet.report(reader.ends(), waiting=False)
        positions = self._outlet.to_commit()
        if positions is not None:
            reader.commit(positions)

    def _hand_over(self, released: Sequence[DecodedEvents], arrived: float) -> None:
        """Keep the letters, and only then hand over what passes their offsets."""
        for events in released:
            if not self._refusals.keep(events, self._outlet):
                self._stopped = True
                return
            unused = events.events - len(events.examples)
            decoded = Decoded(events.examples, events.track, events.positions, arrived, unused)
            self._outlet.put(decoded, self._gate)
            self._positions |= events.positions
            self._refusals.passed(events, self._positions, self._outlet)

    def _goes_on(self, seconds: float = 0.0) -> bool:
        """Wait, and return whether to go on."""
        self._stopped = self._stopped or not self._outlet.pause(seconds)
        return not self._stopped

    def _tell(self) -> None:
        for message in self._refusals.notices():
            self._outlet.notice(message)

    def _cannot_reach(self, error: SourceUnavailable | RegistryUnavailable) -> None:
        self._outlet.report({}, waiting=True)
        self._outlet.notice(str(error))
        _log.warning("reading waits; trying again", error=str(error))
