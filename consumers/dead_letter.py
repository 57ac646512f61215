"""A dead letter: an event that could not be used, with all that it takes to look at it and to send it again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from consumers.dead_letter_file import OVERHEAD, TOO_LARGE, WAITING

FIELDS = 'topic, partition, "offset", "index", reason, detail, key, value, headers, timestamp, refused_at, whole'
"""The columns of a letter, in the order of its attributes."""

KEPT_FIELDS = f"id, {FIELDS}, sent, redrive, redrive_at, batch"
"""The columns of a letter with what became of it."""

_HEADERS = msgspec.msgpack.Decoder(tuple[tuple[str, bytes], ...])


class Place(NamedTuple):
    """Which event of which message: what a letter is known by, for ever."""

    topic: str
    partition: int
    offset: int
    event: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}/{self.event}"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that could not be used.

    Attributes
    ----------
    topic, partition, offset
        The message that it came in.
    index
        Its number within the message.
    reason
        One of a fixed set of words, for counting.
    detail
        What exactly was wrong, for a person.
    key, value, headers
        Of the message; the value is the event's own bytes, or the whole message's where its events could not be told
        apart.
    timestamp
        The message's, in milliseconds since the epoch.
    refused_at
        When it was refused, in milliseconds since the epoch; 0: when it is added.
    whole
        Whether it stands for the whole message, whatever that may hold.
    """

    topic: str
    partition: int
    offset: int
    index: int
    reason: str
    detail: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp: int
    refused_at: int = 0
    whole: bool = False

    @property
    def place(self) -> Place:
        """What it is known by."""
        return Place(self.topic, self.partition, self.offset, self.index)


@dataclass(frozen=True, slots=True)
class KeptLetter:
    """A letter with what became of it.

    Attributes
    ----------
    id
        Its number in the file.
    letter
        What was refused.
    sent
        When it was forwarded, in milliseconds since the epoch; None where it was not.
    forwarding
        ``off`` (to be kept only), ``waiting``, ``sent`` or ``too_large`` (for the topic; it stays here).
    redrive
        ``none``, ``begun`` (marked, but nobody came to say how it ended: it may have been sent again) or ``done``.
    redrive_at
        When that mark was set, in milliseconds since the epoch; None without one.
    batch
        Names the append that it was sent again with; None where it was not.
    """

    id: int
    letter: DeadLetter
    sent: int | None
    forwarding: str
    redrive: str
    redrive_at: int | None
    batch: str | None


def row_of(letter: DeadLetter, now: int) -> tuple[object, ...]:
    """Return `letter` as values of :data:`FIELDS` and its size in bytes; `now` is in milliseconds."""
    headers = msgspec.msgpack.encode(letter.headers)
    said = (letter.reason, letter.detail, letter.key, letter.value, headers, letter.timestamp)
    size = len(letter.key or b"") + len(letter.value or b"") + len(headers) + OVERHEAD
    return (*letter.place, *said, letter.refused_at or now, letter.whole, size)


def kept_letter(row: Sequence[Any]) -> KeptLetter:
    """Return the letter that a row of :data:`KEPT_FIELDS` holds."""
    number, *said, headers, timestamp, refused_at, whole, sent, redrive, redrive_at, batch = row
    topic, partition, offset, index, reason, detail, key, value = said
    place = (topic, partition, offset, index)
    letter = DeadLetter(
        *place, reason, detail, key, value, _HEADERS.decode(headers), timestamp, refused_at, bool(whole)
    )
    forwarding = {None: "off", WAITING: "waiting", TOO_LARGE: "too_large"}.get(sent, "sent")
    when = sent if forwarding == "sent" else None
    return KeptLetter(number, letter, when, forwarding, redrive or "none", redrive_at, batch)
