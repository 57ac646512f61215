"""The thread that polls and decodes, so that learning never waits for the log: records in, chunks of examples out.

On the path it stands between the reader and the microbatcher, for which it is the feed. What cannot be used leaves the
path here, into the dead letters, before its offset is passed. What it hands over is bounded: when learning lags, it
stops polling, and the log holds what is to come.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from consumers.dead_letters import DeadLetter, DeadLetters
from consumers.errors import SourceUnavailable
from consumers.microbatch import Decoded
from consumers.prefetch import Prefetcher
from consumers.source import Positions, Reader, Record, Source
from models.examples import Examples
from service.events import DecodedEvents, EventDecoder, Rejected
from service.tasks import TaskGate

_log = structlog.get_logger("headrace.ingest")

_POLL_RECORDS = 2000
"""Records a poll: enough for one decoding call to be cheap an event, few enough for an event not to wait for others."""

_POLL_SECONDS = 0.05
"""How long a poll waits when there is nothing: the time within which a commit or the end is noticed."""

_BACK_OFF_LAST = 10.0
"""Longest pause between two tries to reach the log, in seconds."""


class Ingest:
    """Polls and decodes in a thread of its own; a feed for the microbatcher.

    Parameters
    ----------
    source, positions
        What to read, and from where.
    decoder, gate
        Bytes → events → examples of the model's task.
    dead_letters
        Where unusable events go.
    max_rows, max_bytes
        Bounds on what is decoded and waits for the learner.
    notice
        Called with what to tell the operator when the log cannot be reached.
    """

    def __init__(
        self,
        source: Source,
        positions: Positions,
        decoder: EventDecoder,
        gate: TaskGate,
        dead_letters: DeadLetters,
        *,
        max_rows: int,
        max_bytes: int,
        notice: Callable[[str], None],
    ) -> None:
        self.gate = gate
        self._source = source
        self._positions = positions
        self._decoder = decoder
        self._dead_letters = dead_letters
        self._notice = notice
        self._queue: Prefetcher[Examples] = Prefetcher(max_rows=max_rows, max_bytes=max_bytes)
        self._ends: Mapping[int, int] = {}
        self._commit: Positions | None = None
        self._waiting = True
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)

    def start(self) -> None:
        """Begin to poll."""
        self._thread.start()

    def take(self, timeout: float) -> Decoded[Examples] | None:
        """Return the next chunk, waiting at most `timeout` seconds.

        Raises
        ------
        ConsumerError
            Reading cannot go on without an operator's decision.
        """
        return self._queue.take(timeout)

    @property
    def ends(self) -> Mapping[int, int]:
        """Partition → offset after its last record, as last heard of."""
        return self._ends

    @property
    def waiting_for_source(self) -> bool:
        """Whether the log cannot be reached at the moment."""
        return self._waiting

    def commit(self, positions: Positions) -> None:
        """Have the positions committed to the log soon; advisory."""
        self._commit = positions

    def close(self) -> None:
        """Stop polling and let go of connections."""
        self._stop.set()
        self._queue.close()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                reader = self._open()
                if reader is None:
                    return
                try:
                    self._read(reader)
                finally:
                    reader.close()
        # Whatever it is, the learning thread must hear of it: it raises it again and ends in order.
        except BaseException as error:  # noqa: BLE001
            self._queue.fail(error)

    def _open(self) -> Reader | None:
        """Open the source, trying again for as long as it cannot be reached."""
        delay = 0.0
        while not self._stop.wait(delay):
            try:
                return self._source.open(self._positions)
            except SourceUnavailable as error:
                self._cannot_reach(error)
                delay = min(max(error.retry_after, delay * 2), _BACK_OFF_LAST)
        return None

    def _read(self, reader: Reader) -> None:
        while not self._stop.is_set():
            try:
                records: Sequence[Record] = reader.poll(_POLL_RECORDS, _POLL_SECONDS)
            except SourceUnavailable as error:
                self._cannot_reach(error)
                self._stop.wait(error.retry_after)
                continue
            self._waiting = False
            self._ends = reader.ends()
            if self._commit is not None:
                positions, self._commit = self._commit, None
                reader.commit(positions)
            arrived = time.monotonic()
            for decoded in self.gate.offer(self._decoder.decode(records)) if records else self.gate.poll():
                self._hand_over(decoded, arrived)

    def _hand_over(self, events: DecodedEvents, arrived: float) -> None:
        if events.rejected:
            self._dead_letters.add([self._letter(rejected) for rejected in events.rejected])
        unused = events.events - len(events.examples)
        self._queue.put(Decoded(events.examples, events.track, events.positions, arrived, unused))

    def _letter(self, rejected: Rejected) -> DeadLetter:
        return DeadLetter(
            topic=self._source.topic,
            partition=rejected.partition,
            offset=rejected.offset,
            index=rejected.index,
            reason=rejected.reason,
            detail=rejected.detail,
            key=rejected.key,
            value=rejected.value,
            headers=rejected.headers,
            timestamp=rejected.timestamp,
        )

    def _cannot_reach(self, error: SourceUnavailable) -> None:
        self._waiting = True
        self._notice(str(error))
