"""kafka-python's bare poll: the client's own rate, at which nothing is done with the records."""

from benchmarks.loops.meter import Meter
from benchmarks.loops.polling import polls

_RECORDS = 2000
"""A poll; more than by default, which makes it faster."""


def run(address: str, topic: str, meter: Meter) -> None:
    """Read only."""
    for found in polls(address, topic, _RECORDS):
        if not meter.add(len(found)):
            return
