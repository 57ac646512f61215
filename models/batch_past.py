"""The bounded past that batch training goes through: the last rows, and the first one of each class."""

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.examples import Examples, FeatureKey, Features, Joint, Kind
from models.learner import Array
from models.moments import JUDGED, Middle, middle_of

PIECE = 64  # rows that are kept together: fewer would cost a step of Python each in every epoch
HELD_OUT = 10  # one piece in so many, the newest, tells when to stop training

Random = np.random.Generator
Values = NDArray[np.float64]


class Past:
    """The last rows, in pieces as they came: what has few columns in common is never made one matrix.

    Parameters
    ----------
    most
        Rows that are kept; a whole piece is dropped at a time, so there may be a few less.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._pieces: deque[Examples] = deque()
        self._rows = 0
        self.firsts = Examples.empty()

    def add(self, examples: Examples) -> None:
        """Keep rows, and drop what is too old."""
        for start in range(0, len(examples), PIECE):
            self._add_piece(_bare(examples.slice(start, start + PIECE)))
        while self._rows > self._most and len(self._pieces) > 1:
            self._rows -= len(self._pieces.popleft())

    def remember(self, firsts: Examples) -> None:
        """Keep rows for ever: the first of each class, so that none is forgotten and their order stays."""
        self.firsts = Examples.concatenate([self.firsts, _bare(firsts)] if len(self.firsts) else [_bare(firsts)])

    def cleaned(self, *, numeric: bool) -> "Past":
        """Return all of it with garbage among the numbers, and among labels that are numbers, at its bounds.

        What comes again with every epoch is no single value any more: moments would take it for what is usual.
        """
        kept = Past(self._most)
        pieces = [self.firsts, *self._pieces]
        keys = dict.fromkeys(key for piece in pieces for key in piece.features.keys)
        middles = {key: _middle([_column(piece, key) for piece in pieces]) for key in keys}
        labels = _middle([np.array(piece.labels, np.float64) for piece in self._pieces]) if numeric else None
        kept.firsts, *rest = (_bounded(piece, middles, labels) for piece in pieces)
        kept._pieces, kept._rows = deque(rest), self._rows
        return kept

    def held_out(self) -> tuple[list[Examples], list[Examples]]:
        """Return the pieces but the newest tenth of them, and that tenth, which is empty while there are few."""
        pieces = list(self._pieces)
        kept = len(pieces) - len(pieces) // HELD_OUT
        return pieces[:kept], pieces[kept:]

    def state(self) -> Array:
        """Return everything as bytes, uint8."""
        parts = [_plain(part) for part in (self.firsts, *self._pieces)]
        return np.frombuffer(msgspec.msgpack.encode(parts), np.uint8).copy()

    def restore(self, packed: Array) -> None:
        """Become what :meth:`state` was taken from."""
        firsts, *pieces = msgspec.msgpack.decode(packed.tobytes())
        self.firsts = _examples(firsts)
        self._pieces = deque(map(_examples, pieces))
        self._rows = sum(map(len, self._pieces))

    def _add_piece(self, piece: Examples) -> None:
        """Keep a piece, with the last one where both are small and alike."""
        self._rows += len(piece)
        last = self._pieces[-1] if self._pieces else None
        if last is not None and len(last) + len(piece) <= PIECE and last.features.keys == piece.features.keys:
            self._pieces[-1] = Examples.concatenate([last, piece])
        else:
            self._pieces.append(piece)


def epoch(pieces: Sequence[Examples], rows: int, random: Random) -> Iterator[Examples]:
    """Yield all rows once, about so many at a time: pieces, and the rows of those that come together, at random."""
    for group in grouped([pieces[place] for place in random.permutation(len(pieces)).tolist()], rows):
        yield group.take(random.permutation(len(group)))


def grouped(pieces: Sequence[Examples], rows: int) -> Iterator[Examples]:
    """Yield the rows of pieces in their order, about so many at a time."""
    group: list[Examples] = []
    joint = Joint()
    for piece in pieces:
        if group and (sum(map(len, group)) + len(piece) > rows or not joint.takes(piece, len(piece))):
            yield Examples.concatenate(group)
            group, joint = [], Joint()
        if not group:
            joint.takes(piece, len(piece))
        group.append(piece)
    if group:
        yield Examples.concatenate(group)


def _bare(examples: Examples) -> Examples:
    """Return rows without what no network learns from, and as copies: views would keep much larger matrices."""
    copied = examples.take(np.arange(len(examples)))
    return Examples(copied.features, copied.labels, copied.weights, copied.timestamps)


def _column(examples: Examples, key: FeatureKey) -> Values:
    """Return a feature's numbers that are there."""
    keys = examples.features.keys
    if key not in keys:
        return np.empty(0)
    values = examples.features.numbers[:, keys.index(key)]
    return values[~np.isnan(values)]


def _middle(parts: Sequence[Values]) -> Middle | None:
    """Return the middle of some values; None where there are few."""
    values = np.concatenate([np.empty(0), *parts])
    return middle_of(values[:, None]) if len(values) >= JUDGED else None


def _bounded(examples: Examples, middles: Mapping[FeatureKey, Middle | None], labels: Middle | None) -> Examples:
    """Return rows within the bounds of the middles; the very same ones where all of them are."""
    numbers = examples.features.numbers.copy()
    for place, key in enumerate(examples.features.keys):
        if (middle := middles[key]) is not None:
            numbers[:, place] = middle.bounded(numbers[:, place, None])[:, 0]
    bounded = replace(examples, features=replace(examples.features, numbers=numbers))
    if labels is None:
        return bounded
    targets = np.array(examples.labels, np.float64)[:, None]
    return replace(bounded, labels=labels.bounded(targets)[:, 0].tolist())


def _plain(examples: Examples) -> dict[str, Any]:
    """Return examples as msgpack can carry them."""
    features = examples.features
    return {
        "keys": [(key.name, key.kind.value) for key in features.keys],
        "numbers": np.ascontiguousarray(features.numbers).tobytes(),
        "categories": features.categories,
        "tokens": features.tokens,
        "labels": json.dumps(list(examples.labels)),  # JSON, for a class may be an integer of any length
        "weights": examples.weights.tobytes(),
        "timestamps": examples.timestamps.tobytes(),
    }


def _examples(plain: Mapping[str, Any]) -> Examples:
    """Return what :func:`_plain` made plain."""
    keys = tuple(FeatureKey(name, Kind(kind)) for name, kind in plain["keys"])
    labels = json.loads(plain["labels"])
    rows = len(labels)
    numbers = np.frombuffer(plain["numbers"], np.float64).reshape(rows, len(keys)).copy()
    return Examples(
        Features(rows, keys, numbers, plain["categories"], plain["tokens"]),
        labels,
        np.frombuffer(plain["weights"], np.float32).copy(),
        np.frombuffer(plain["timestamps"], np.float64).copy(),
    )
