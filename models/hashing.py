"""Strings → numbers that stay the same for ever: feature hashing (Weinberger et al., 2009).

A value's hash depends on the feature's name and kind and on the value, and on nothing else: not on the process, not on
the order in which values were met. So parameters that were learned for a value are found again after a restart and in
a serving process.
"""

from hashlib import blake2b

from models.examples import FeatureKey

MISSING = -1
"""Stands in for a hash where there is no value; hashes are never negative."""

CACHED = 1 << 14
LONGEST_CACHED = 64  # characters; longer strings seldom come back


def hash_value(key: FeatureKey, value: str) -> int:
    """Return a hash of 63 bits of a feature's identity and value."""
    content = f"{key.kind.value}\0{key.name}\0{value}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little") >> 1


class HashCache(dict[str | None, int]):
    """Value → hash for one feature, computed when first asked for; None → :data:`MISSING`.

    Parameters
    ----------
    key
        The feature.
    limit
        Values that are remembered; when there are more, all are forgotten, which costs time but changes no hash.
    """

    def __init__(self, key: FeatureKey, limit: int = CACHED) -> None:
        super().__init__({None: MISSING})
        self._key = key
        self._limit = limit

    def __missing__(self, value: str | None) -> int:
        if value is None:  # another thread is just forgetting all
            return MISSING
        hashed = hash_value(self._key, value)
        self.remember(value, hashed)
        return hashed

    def remember(self, value: str, hashed: int) -> None:
        """Keep the hash of a value that is short enough, forgetting all others where there are too many."""
        if len(value) > LONGEST_CACHED:
            return
        if len(self) >= self._limit:
            self.clear()
            self[None] = MISSING
        self[value] = hashed
