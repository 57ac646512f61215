"""What the trainer reports of dead letters and of a pause: looked up in the file that the reading program writes."""

from dataclasses import dataclass, field

import structlog

from consumers.dead_letter_pause import Pause
from consumers.dead_letters import DeadLetters
from consumers.errors import SourceUnavailable

_log = structlog.get_logger("headrace.trainer")


@dataclass(frozen=True, slots=True)
class LetterFigures:
    """The dead letters of a model at one moment.

    Attributes
    ----------
    counts
        Reason → how many letters there ever were.
    unsent, unsent_pruned
        Letters that wait to be forwarded, and those that ever had to make room before they were.
    pause
        Why nothing more is read; None where it is.
    """

    counts: dict[str, int] = field(default_factory=dict)
    unsent: int = 0
    unsent_pruned: int = 0
    pause: Pause | None = None


class LetterWatch:
    """Looks at the dead letters of one model. Owned by one thread.

    Parameters
    ----------
    letters
        The file.
    """

    def __init__(self, letters: DeadLetters) -> None:
        self._letters = letters
        self._last = LetterFigures()

    def look(self) -> LetterFigures:
        """Return how it is; as it was last, where the file cannot be read at the moment.

        Raises
        ------
        LogUnreadable
        """
        letters = self._letters
        try:
            counts, pause = letters.counts(), letters.pauses.current()
            self._last = LetterFigures(counts, letters.outbox.unsent(), letters.outbox.pruned(), pause)
        except SourceUnavailable as error:
            # Counters that fell to nothing for a moment would look like a restart of the world.
            _log.warning("the dead letters cannot be read; reporting them as before", error=str(error))
        return self._last
