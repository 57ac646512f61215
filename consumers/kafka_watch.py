"""Notices partitions of which nothing comes although they are polled."""

from collections.abc import Iterable


class Watch:
    """Counts, for each partition, the seconds of polling since its last record.

    Only time spent polling counts: a trainer that did not poll for an hour because it had no room must not take its
    partitions for stalled.

    Parameters
    ----------
    stalled_after
        Seconds of polling without a record after which a partition counts as standing.
    """

    def __init__(self, stalled_after: float) -> None:
        self._stalled_after = stalled_after
        self._now = 0.0
        self._since: dict[int, float] = {}

    def polled(self, seconds: float) -> None:
        """Count the time that one poll took."""
        self._now += seconds

    def progressed(self, partition: int) -> None:
        """Note that a record of `partition` came."""
        self._since[partition] = self._now

    def standing(self, partitions: Iterable[int]) -> list[int]:
        """Return those of `partitions` that stand, each once per `stalled_after` seconds of polling."""
        standing = [
            partition
            for partition in partitions
            if self._now - self._since.setdefault(partition, self._now) > self._stalled_after
        ]
        self._since.update(dict.fromkeys(standing, self._now))
        return standing
