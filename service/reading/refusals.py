"""What the reading loop does with events that cannot be used: keeps them first, then asks whether it was too many.

On the path it stands beside the loop in ``ingest.py``. A letter is on disk before its offset is passed; where the disk
takes none, reading waits. Where too much is refused, reading stops until an operator has it go on, restarts included.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Protocol

import structlog

from consumers.dead_letter_forwarding import Forwarder
from consumers.dead_letter_pause import Pause
from consumers.dead_letters import DeadLetter, DeadLetters
from consumers.errors import AppendFailed, SourceUnavailable
from consumers.source import ALL, Position, Positions, Share
from service.config import Settings
from service.decoding.decoded import DecodedEvents
from service.decoding.rejection import Rejected
from service.reading.known_letters import KnownLetters
from service.reading.pause_rule import PauseRule
from service.settings.dead_letters import DeadLetterSettings
from service.wiring import make_forwarder

_log = structlog.get_logger("headrace.ingest")

PAUSED_BY_LETTERS = "dead_letters"
"""The reason of a pause, as metrics and the model's state name it."""

_RETRY_SECONDS = 1.0
"""Between two tries to write where the disk takes nothing."""

_AT_ONCE = 10_000
"""Letters written in one transaction."""

_LOOK_SECONDS = 1.0
"""Between two looks whether somebody else has paused this model."""


class Operator(Protocol):
    """Who hears of what goes wrong, and says when to stop."""

    def notice(self, message: str) -> None:
        """Tell the operator something."""

    def pause(self, seconds: float) -> bool:
        """Wait, and return whether to go on."""


class Refusals:
    """The refused events of one model, for one loop. Owned by its thread.

    Parameters
    ----------
    table
        Where letters are kept.
    topic, model
        What is read, and for whom.
    settings
        When to pause.
    forwarder
        Takes copies to another topic; None where there is none. Closed with this.
    share
        The partitions that are read here; other loops read the others.
    """

    def __init__(
        self,
        table: DeadLetters,
        topic: str,
        model: str,
        settings: DeadLetterSettings,
        *,
        forwarder: Forwarder | None = None,
        share: Share = ALL,
    ) -> None:
        self._table = table
        self._topic = topic
        self._model = model
        self._rule = PauseRule(settings.pause_share, settings.pause_window)
        self._forwarder = forwarder
        self._share = share
        self._known: KnownLetters | None = None
        self._pause: Pause | None = None
        self._looked_at = 0.0

    def begin(self, positions: Positions) -> None:
        """Get ready to read from `positions` on.

        Raises
        ------
        SourceUnavailable, LogUnreadable
        """
        self._known = KnownLetters(self._table, self._topic, positions, self._share)
        self._pause = self._table.pauses.current()
        if self._forwarder is not None:
            self._forwarder.start()

    def refuse_again(self, decoded: DecodedEvents) -> DecodedEvents:
        """Return what was decoded without what was refused when it was read before."""
        return decoded if self._known is None else self._known.refuse(decoded)

    def keep(self, events: DecodedEvents, operator: Operator) -> bool:
        """Put refused events on disk, waiting for as long as it takes none; return whether to go on.

        Raises
        ------
        DiskUnreliable, LogUnreadable
        """
        if not events.rejected:
            return True
        letters = [_letter(self._topic, rejected) for rejected in events.rejected]
        # A few at a time: the old ones make room before the next come. One that is kept already is known.
        parts = [letters[start : start + _AT_ONCE] for start in range(0, len(letters), _AT_ONCE)]
        return all(_insist(partial(self._table.add, part), operator) for part in parts)

    def passed(self, events: DecodedEvents, positions: Positions, operator: Operator) -> None:
        """Count events that were handed over, and pause at `positions` where too many of them were refused.

        What was refused when it was read before does not count: an operator may have decided on it since.
        """
        new = events.rejected if self._known is None else self._known.new_among(events.rejected)
        seen = events.events - (len(events.rejected) - len(new))
        excess = self._rule.count(seen, (rejected.reason for rejected in new))
        if excess is None or self._table.pauses.current() is not None:
            return
        detail = _what_to_do(excess, self._model)
        _insist(lambda: self._table.pauses.begin(PAUSED_BY_LETTERS, detail, positions), operator)
        self._look()

    def paused(self, positions: Positions, *, look: bool = False) -> Pause | None:
        """Return the pause that holds at `positions`; None while reading may go on.

        What lies before the place where the pause began may be read again: recovery needs it.
        """
        if look or time.monotonic() - self._looked_at > _LOOK_SECONDS:
            self._look()
            self._join(positions)
        if self._pause is None:
            return None
        return self._pause if _covers(positions, self._share.of_positions(self._pause.positions)) else None

    def resumed(self) -> None:
        """Begin a fresh window: an operator says that it may go on."""
        self._rule.begin_anew()

    def notices(self) -> Iterable[str]:
        """Return what the operator should know of the forwarding, each once."""
        return () if self._forwarder is None else self._forwarder.notices()

    def close(self) -> None:
        """Stop forwarding."""
        if self._forwarder is not None:
            self._forwarder.close()

    def _join(self, positions: Positions) -> None:
        """Where another loop has begun a pause, note in it how far this one came: a restart reads up to there."""
        if self._pause is None or self._pause.positions.keys() >= positions.keys():
            return
        try:
            self._table.pauses.join(positions)
            self._pause = self._table.pauses.current()
        except (AppendFailed, SourceUnavailable) as error:
            _log.warning("how far reading came before the pause cannot be noted yet", error=str(error))

    def _look(self) -> None:
        self._looked_at = time.monotonic()
        try:
            self._pause = self._table.pauses.current()
        except SourceUnavailable as error:
            _log.warning("whether learning is paused cannot be read; as before", error=str(error))


def make_refusals(settings: Settings, model: str, table: DeadLetters, topic: str, share: Share = ALL) -> Refusals:
    """Return what a loop that reads `topic`, or a share of it, for `model` does with refused events."""
    # One forwards for all: the letters are in one table.
    forwarder = make_forwarder(settings, model) if share.number == 0 else None
    return Refusals(table, topic, model, settings.models[model].dead_letters, forwarder=forwarder, share=share)


def _insist(write: Callable[[], object], operator: Operator) -> bool:
    """Write, trying again for as long as the disk takes nothing; return False where that is given up."""
    told = False
    while True:
        try:
            write()
        except AppendFailed as error:
            _log.error("learning waits for the dead letters", error=str(error))
            if not told:
                operator.notice(f"learning waits: {error}")
            told = True
            if not operator.pause(_RETRY_SECONDS):
                return False
        else:
            return True


def _covers(positions: Positions, others: Mapping[int, Position]) -> bool:
    """Whether `positions` are at or beyond `others`, in every partition."""
    nowhere = Position(0)
    return all(positions.get(partition, nowhere) >= position for partition, position in others.items())


def _what_to_do(excess: str, model: str) -> str:
    return (
        f"learning of {model} is paused: {excess}. Look at them: headrace dead-letters list --model {model}. "
        f"Put right what is wrong, restart if that was a setting, send them again: headrace dead-letters redrive "
        f"--model {model}, and go on: headrace dead-letters resume --model {model}"
    )


def _letter(topic: str, rejected: Rejected) -> DeadLetter:
    return DeadLetter(
        topic=topic,
        partition=rejected.partition,
        offset=rejected.offset,
        index=rejected.index,
        reason=rejected.reason,
        detail=rejected.detail,
        key=rejected.key,
        value=rejected.value,
        headers=rejected.headers,
        timestamp=rejected.timestamp,
        whole=rejected.whole,
    )
