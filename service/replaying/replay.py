"""Events into a target at a given rate, batch by batch: the loop behind ``headrace replay`` and ``headrace demo``."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from service.replaying.replay_targets import Delivered, Target

Item = TypeVar("Item")

_SLICES_A_SECOND = 10
"""A given rate is kept by batches of a tenth of a second each, where that is less than a full batch."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay has come.

    Attributes
    ----------
    sent
        Events that were delivered, those included that were refused.
    delivered
        What became of them.
    seconds
        Since the first one.
    """

    sent: int
    delivered: Delivered
    seconds: float

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.sent / self.seconds if self.seconds > 0 else 0.0


def replay(
    events: Iterable[bytes],
    target: Target,
    notice: Callable[[Progress], None],
    *,
    batch: int,
    unit: int = 1,
    rate: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Progress:
    """Send `events` in order, and return what became of them.

    Parameters
    ----------
    events
        JSON objects without line breaks.
    target
        Where they go.
    notice
        Called after each batch.
    batch
        Events that are sent at once, at most; or one `unit`, where that is more.
    unit
        Events that are sent together in any case, those of one message.
    rate
        Events per second; None for as fast as they are taken.
    clock, sleep
        Monotonic seconds, and a way of waiting.

    Raises
    ------
    DeliveryFailed, ConsumerError
    """
    began = clock()
    most = batch if rate is None else min(batch, int(rate / _SLICES_A_SECOND))
    size = max(1, most // unit) * unit
    done = Progress(0, Delivered(0), 0.0)
    for some in batches(events, size):
        if rate is not None:
            # Due by the number of events sent, not by the last batch: a slow answer is caught up with.
            sleep(max(0.0, began + done.sent / rate - clock()))
        delivered = done.delivered + target.send(some)
        done = Progress(done.sent + len(some), delivered, clock() - began)
        notice(done)
    return done


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of `size` items, the last one perhaps shorter."""
    remaining = iter(items)
    while some := list(islice(remaining, size)):
        yield some
