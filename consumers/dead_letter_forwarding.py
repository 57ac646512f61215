"""Copies of dead letters to a topic of their own, for tools that look there: by a thread that nothing waits for.

The file comes first: a letter is on disk before its offset is passed. From there this thread appends it to the topic,
at least once: what was appended but not yet marked when the program died is appended again, and its
``headrace-id`` is the same. A topic or a broker that takes nothing for a while costs nothing but room in the file.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from consumers.dead_letter import KeptLetter
from consumers.dead_letters import DeadLetters
from consumers.errors import ConsumerError, RecordTooLarge, TopicMissing
from consumers.source import NewRecord, Sink

_log = logging.getLogger("headrace.dead_letters")

_AT_ONCE, _BYTES_AT_ONCE = 200, 4 * 1024 * 1024

_LOOK = 0.25
"""Seconds between two looks for letters that wait."""

_PAUSES = (1.0, 30.0)
"""The first and the longest pause between two tries while the topic takes nothing, in seconds."""

_END_SECONDS = 1.0
"""How long :meth:`Forwarder.close` waits for the thread."""


class Forwarder:
    """Forwards the letters of a file. Its thread ends with :meth:`close`.

    Parameters
    ----------
    letters
        The file; this uses a connection of its own, which it closes.
    topic
        The topic's name, for messages.
    make_sink
        Opens the topic; called again after each failure.
    create_topic
        Makes the topic with the broker's defaults; it raises a ConsumerError where it may not.
    model
        Whose letters they are; goes into a header.
    """

    def __init__(
        self,
        letters: DeadLetters,
        topic: str,
        make_sink: Callable[[], Sink],
        create_topic: Callable[[], None],
        model: str,
    ) -> None:
        self._letters = letters
        self._topic = topic
        self._make_sink = make_sink
        self._create_topic = create_topic
        self._model = model
        self._sink: Sink | None = None
        self._failing = False
        self._stop = threading.Event()
        self._notices: deque[str] = deque(maxlen=10)
        self._pruned: int | None = None
        self._thread = threading.Thread(target=self._run, name="dead-letters", daemon=True)

    def start(self) -> None:
        """Begin to forward."""
        self._thread.start()

    def notices(self) -> list[str]:
        """Return what an operator should know, each once."""
        return [self._notices.popleft() for _ in range(len(self._notices))]

    def close(self) -> None:
        """Stop; what waits is forwarded after the next start. Does not wait for a broker that does not answer."""
        self._stop.set()
        if self._thread.ident is None:
            self._letters.close()
        else:
            self._thread.join(_END_SECONDS)

    def step(self) -> int:
        """Forward some of what waits; return how many letters.

        Raises
        ------
        ConsumerError
            They wait on.
        """
        letters = self._letters.outbox.waiting(_AT_ONCE, _BYTES_AT_ONCE)
        if not letters:
            return 0
        if self._sink is None:
            self._sink = self._make_sink()
        try:
            self._append(letters)
        except TopicMissing as error:
            self._create(error)
            self._append(letters)
        return len(letters)

    def _append(self, letters: Sequence[KeptLetter]) -> None:
        """Append `letters` and note it; where one is too large, each by itself."""
        assert self._sink is not None, "letters are forwarded only where there is a sink"  # noqa: S101
        try:
            self._sink.append([_copy(letter, self._model) for letter in letters])
        except RecordTooLarge as error:
            if len(letters) > 1:
                for letter in letters:
                    self._append([letter])
                return
            place = letters[0].letter.place
            self._letters.outbox.too_large(letters[0])
            self._say(f"the dead letter {place} is kept here only: {error}")
            return
        self._letters.outbox.sent(letters)

    def _create(self, missing: TopicMissing) -> None:
        """Make the topic, where that is allowed."""
        try:
            self._create_topic()
        except ConsumerError as error:
            raise TopicMissing(f"{missing}. Headrace tried to and was refused ({error})") from error
        _log.info("created the topic %s for dead letters", self._topic)

    def _run(self) -> None:
        pause = _LOOK
        while not self._stop.wait(pause):
            try:
                forwarded = self.step()
                self._watch_pruning()
            # Whatever it is, letters that come later must not wait for ever.
            except Exception as error:  # noqa: BLE001
                pause = min(max(_PAUSES[0], pause * 2), _PAUSES[1])
                self._failed(error)
                continue
            if forwarded and self._failing:
                self._failing = False
                _log.info("dead letters are forwarded to %s again", self._topic)
            pause = 0.0 if forwarded else _LOOK
        self._drop()
        self._letters.close()

    def _failed(self, error: Exception) -> None:
        """Tell the operator, once for each time that it goes wrong, and begin with another sink."""
        self._drop()
        if not self._failing:
            self._say(f"dead letters wait to go on to {self._topic}; learning goes on, and none is lost: {error}")
        self._failing = True

    def _watch_pruning(self) -> None:
        pruned = self._letters.outbox.pruned()
        if self._pruned is not None and pruned > self._pruned:
            self._say(
                f"{pruned} dead letters had to make room before they could be forwarded to {self._topic}: raise "
                f"dead_letters.keep, or see why the topic takes none"
            )
        self._pruned = pruned

    def _say(self, message: str) -> None:
        self._notices.append(message)
        _log.warning("%s", message)

    def _drop(self) -> None:
        if self._sink is not None:
            try:
                self._sink.close()
            except (ConsumerError, OSError):
                _log.debug("the sink of dead letters did not close in order")
            self._sink = None


def _copy(kept: KeptLetter, model: str) -> NewRecord:
    """Return the record that tells of a letter: bytes and key as they were, headers with ours behind them."""
    letter = kept.letter
    refused = datetime.fromtimestamp(letter.refused_at / 1000, UTC).isoformat(timespec="milliseconds")
    said = {
        "id": str(letter.place),
        "model": model,
        "topic": letter.topic,
        "partition": str(letter.partition),
        "offset": str(letter.offset),
        "index": str(letter.index),
        "reason": letter.reason,
        "detail": letter.detail,
        "time": refused,
        "timestamp": str(letter.timestamp),
    }
    ours = tuple((f"headrace-{name}", text.encode()) for name, text in said.items())
    return NewRecord(letter.value or b"", letter.key, (*letter.headers, *ours))
