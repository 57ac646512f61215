"""What a teacher said, as bytes in the journal, and back: bit for bit, for learning it again must come to the same.

On the path it stands between the lane, which asks (``teaching.py``), and the journal, which keeps the bytes beside the
boundaries of the update that was made of them.
"""

import json

import msgspec
import numpy as np

from models.examples import Examples
from models.taught import Taught
from service.durability.journal_format import UNREADABLE
from service.errors import JournalInvalid


class _Lesson(msgspec.Struct, frozen=True, array_like=True):
    weight: float
    named: int
    # As text, because MessagePack has no integers beyond 64 bits.
    classes: str
    chosen: bytes
    shares: bytes
    values: bytes


def encode_lesson(examples: Examples | None) -> bytes:
    """Return what the teacher says of some rows; nothing where it said nothing."""
    if examples is None or examples.taught is None:
        return b""
    taught = examples.taught
    lesson = _Lesson(
        weight=taught.weight,
        named=taught.chosen.shape[1],
        classes=json.dumps(taught.classes),
        chosen=taught.chosen.astype("<u2").tobytes(),
        shares=taught.shares.astype("<f2").tobytes(),
        values=taught.values.astype("<f8").tobytes(),
    )
    return msgspec.msgpack.encode(lesson)


def decode_lesson(data: bytes, rows: int) -> Taught | None:
    """Return what :func:`encode_lesson` made bytes of; None for none.

    Parameters
    ----------
    data
        From the journal.
    rows
        Of the update.

    Raises
    ------
    JournalInvalid
        It is of other rows, or no lesson.
    """
    if not data:
        return None
    try:
        lesson = msgspec.msgpack.decode(data, type=_Lesson)
        chosen = np.frombuffer(lesson.chosen, "<u2").reshape(rows, lesson.named).astype(np.uint16)
        shares = np.frombuffer(lesson.shares, "<f2").reshape(rows, lesson.named).astype(np.float16)
        values = np.frombuffer(lesson.values, "<f8").astype(np.float64)
        classes = tuple(json.loads(lesson.classes))
    except (*UNREADABLE, TypeError) as error:
        raise JournalInvalid(f"what a teacher said of {rows} events cannot be read: {error}") from error
    if classes:
        fits = not len(values) and chosen.astype(np.int64).max(initial=0) < len(classes)
    else:
        fits = not lesson.named and len(values) == rows
    plain = all(type(each) in (str, int, float, bool) for each in classes) and np.isfinite(values).all()
    if not (fits and plain and 0 < lesson.weight < 1 and lesson.named >= 0):
        raise JournalInvalid(f"what a teacher said of {rows} events is of others")
    return Taught(lesson.weight, classes, chosen, shares, values)
