"""What every loop counts with: the events that are measured, after a warm-up, until there are enough of them.

Only the standard library: it runs in the environments of other libraries.
"""

import time
from dataclasses import dataclass, field


@dataclass
class Meter:
    """Counts events, and takes the time of those after a warm-up.

    Attributes
    ----------
    warm_up
        Events before the time is taken: connections, caches and compilers are ready then.
    events, seconds
        It is enough after so many further events, or after so many seconds of them.
    """

    warm_up: int
    events: int
    seconds: float
    _seen: int = 0
    _began: tuple[int, float, float] | None = None
    _ended: tuple[int, float, float] = field(default=(0, 0.0, 0.0))

    def add(self, count: int) -> bool:
        """Count events that are done with; return whether to go on."""
        self._seen += count
        now = (self._seen, time.perf_counter(), time.process_time())
        if self._began is None:
            if self._seen >= self.warm_up:
                self._began = now
            return True
        self._ended = now
        return self._seen - self._began[0] < self.events and now[1] - self._began[1] < self.seconds

    def result(self) -> dict[str, float]:
        """Return the events measured, their seconds, and the processor time that this process took for them.

        Raises
        ------
        RuntimeError
            There were not more events than the warm-up took.
        """
        if self._began is None or self._ended[0] <= self._began[0]:
            raise RuntimeError(f"{self._seen} events were seen: not more than the warm-up of {self.warm_up}")
        events, seconds, processor = (after - before for before, after in zip(self._began, self._ended, strict=True))
        return {"events": events, "seconds": seconds, "processor_seconds": processor}
