"""How much refused is too much: what keeps one wrong producer, or one wrong setting, from eating a whole topic."""

from collections import Counter, deque
from collections.abc import Iterable
from typing import NamedTuple


class _Stretch(NamedTuple):
    events: int
    refused: Counter[str]


class PauseRule:
    """Watches the last events for the share of them that was refused. Owned by one thread.

    It counts events, not letters: a message of a thousand events of which one is bad is no reason to pause.

    Parameters
    ----------
    share
        The share of refused events at which to pause; None: never.
    window
        How many of the last events count. Before there were so many, nothing is too much.
    """

    def __init__(self, share: float | None, window: int) -> None:
        self._share = share
        self._window = window
        self._stretches: deque[_Stretch] = deque()
        self._events = 0

    def begin_anew(self) -> None:
        """Forget what was counted."""
        self._stretches.clear()
        self._events = 0

    def count(self, events: int, reasons: Iterable[str]) -> str | None:
        """Count the next events, and why some of them were refused.

        Returns
        -------
        str or None
            What to say where it is too much.
        """
        if self._share is None or not events:
            return None
        self._stretches.append(_Stretch(events, Counter(reasons)))
        self._events += events
        while self._events - self._stretches[0].events >= self._window:
            self._events -= self._stretches.popleft().events
        if self._events < self._window:
            return None
        refused = self._refused()
        if sum(refused.values()) < self._share * self._window:
            return None
        reasons_said = ", ".join(f"{reason} {round(count)}" for reason, count in refused.most_common())
        return f"{round(sum(refused.values()))} of the last {self._window} events could not be used ({reasons_said})"

    def _refused(self) -> Counter[str]:
        """Return what was refused within the window; of the stretch that it begins in, its part."""
        first, *others = self._stretches
        part = (self._window - (self._events - first.events)) / first.events
        refused: Counter[str] = Counter()
        for reason, count in first.refused.items():
            refused[reason] = count * part  # type: ignore[assignment]  # a share of them is no whole number
        for stretch in others:
            refused.update(stretch.refused)
        return refused
