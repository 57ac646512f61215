"""The soak's producer, a program of its own: ``python -m benchmarks.soak_producer ADDRESS TOPIC PARTITIONS``.

It sends events to all of the topic's partitions but the last, which gets two messages a second that nobody can use.
Each line that it reads is a rate in events a second from then on (``inf`` for as fast as it can); the end of its input
is its own. An error of the broker's costs it a new client and nothing else: what counts is what is in the topic, not
what it believes to have sent.
"""

import contextlib
import itertools
import queue
import sys
import threading
import time
from collections.abc import Iterable

from kafka import KafkaProducer
from kafka.errors import KafkaError

from benchmarks.topics import events

_DIFFERENT_EVENTS = 20_000
_STEP_SECONDS = 0.01
_AT_ONCE = 5_000

_POISON = b'{"features": {"n0": 1.0, "city"'
_POISON_SECONDS = 0.5

_CATCH_UP_SECONDS = 0.5
"""What a broker's standstill kept from being sent is made up for so far back; the rest is not sent at all."""


class Producing:
    """Sends to a topic at a rate that may change.

    Parameters
    ----------
    address, topic, partitions
        Where to.
    """

    def __init__(self, address: str, topic: str, partitions: int) -> None:
        self._address = address
        self._topic = topic
        self._poison = partitions - 1
        places = itertools.cycle(range(partitions - 1))
        self._next = itertools.cycle(list(zip(events(_DIFFERENT_EVENTS), places, strict=False)))
        self._producer: KafkaProducer | None = None
        self._poison_at = 0.0

    def run(self, rates: "queue.Queue[float | None]") -> None:
        """Send until the queue says None."""
        rate = rates.get()
        due, before = 0.0, time.monotonic()
        while rate is not None:
            now = time.monotonic()
            due = min(due + rate * (now - before), rate * _CATCH_UP_SECONDS, _AT_ONCE)
            before = now
            number = int(due)
            due -= number
            self._send(itertools.chain(self._poison_due(now), itertools.islice(self._next, number)))
            with contextlib.suppress(queue.Empty):
                rate = rates.get(timeout=0.0 if number == _AT_ONCE else _STEP_SECONDS)
        self._close()

    def _poison_due(self, now: float) -> Iterable[tuple[bytes, int]]:
        if now < self._poison_at:
            return ()
        self._poison_at = now + _POISON_SECONDS
        return ((_POISON, self._poison),)

    def _send(self, messages: Iterable[tuple[bytes, int]]) -> None:
        try:
            if self._producer is None:
                self._producer = KafkaProducer(bootstrap_servers=self._address, linger_ms=10, batch_size=131_072)
            for value, partition in messages:
                self._producer.send(self._topic, value, partition=partition)
        except (KafkaError, OSError, RuntimeError) as error:
            print(f"sending failed: {error!r}", file=sys.stderr, flush=True)
            self._close()
            time.sleep(1)

    def _close(self) -> None:
        if self._producer is not None:
            with contextlib.suppress(KafkaError, OSError, RuntimeError):
                self._producer.close(30)
            self._producer = None


def main() -> None:
    """Send as the lines of the input have it, until they end."""
    address, topic, partitions = sys.argv[1:]
    producing = Producing(address, topic, int(partitions))
    rates: queue.Queue[float | None] = queue.Queue()
    thread = threading.Thread(target=producing.run, args=(rates,))
    thread.start()
    for line in sys.stdin:
        rates.put(float(line))
    rates.put(None)
    thread.join()


if __name__ == "__main__":
    main()
