"""Which share of all requests a row belongs to, where challengers answer some of them: always the same for an id.

On the path it stands before the coalescer, for models with ``contest.answers`` alone. What it makes is a number that is
even over all ids; who answers which numbers is published with the parameters (``models/contest_published.py``), so that
a challenger that was put out, or promoted, answers at once what it should.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from service.rest.prediction_answers import InstanceId

# Sorted, because the order in which a client names features means nothing.
_encode = msgspec.json.Encoder(order="sorted").encode


def keys_of(model: str, rows: Sequence[Mapping[str, Any]], ids: Sequence[InstanceId] | None = None) -> Sequence[int]:
    """Return a number from 0 to 2^64 - 1 for each row, by its id, or by its features where it has none.

    Parameters
    ----------
    model
        Its name: with another model the same id has another number, so that two experiments do not hang together.
    rows
        Features as they were decoded.
    ids
        One a row; by default none has one.
    """
    salt = model.encode()[:64]
    named = [None] * len(rows) if ids is None else ids
    return [
        int.from_bytes(blake2b(_encode(row if name is None else name), digest_size=8, key=salt).digest(), "little")
        for row, name in zip(rows, named, strict=True)
    ]
