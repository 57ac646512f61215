"""Records as columns: what a poll returns where making an object of each record would cost more than reading it.

On the path it stands between a reader and the decoder. To whoever looks at single records it is a sequence of them like
any other; whoever wants all partitions, offsets or values takes the columns. A reader whose client makes objects of its
own anyway may return those: :meth:`Records.of` reads the columns off them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import overload

import numpy as np
from numpy.typing import NDArray

from consumers.source import Record, StoredRecord

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True, eq=False)
class Records(Sequence[Record]):
    """Records in the order in which they were polled; one that is asked for is made then.

    Attributes
    ----------
    partitions, offsets, appended
        int32, int64 and int64 (milliseconds since the epoch, -1 where there is none); shape (records,).
    values
        The messages; None is a tombstone.
    keys, headers
        As long as `values`; None where no record has any.
    """

    partitions: NDArray[np.int32]
    offsets: NDArray[np.int64]
    appended: NDArray[np.int64]
    values: Sequence[bytes | None]
    keys: Sequence[bytes | None] | None = None
    headers: Sequence[Headers] | None = None

    @classmethod
    def of(cls, records: Sequence[Record]) -> "Records":
        """Read the columns off records; what has columns already is returned as it is."""
        if isinstance(records, Records):
            return records
        headers = [record.headers for record in records]
        return cls(
            np.array([record.partition for record in records], np.int32),
            np.array([record.offset for record in records], np.int64),
            # Kafka's oldest format has none.
            np.array([-1 if (time := record.timestamp) is None else time for record in records], np.int64),
            [record.value for record in records],
            [record.key for record in records],
            headers if any(headers) else None,
        )

    @classmethod
    def concatenate(cls, parts: Sequence["Records"]) -> "Records":
        """Join records in order."""
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.of(())
        keyed, headed = any(part.keys for part in parts), any(part.headers for part in parts)
        return cls(
            np.concatenate([part.partitions for part in parts]),
            np.concatenate([part.offsets for part in parts]),
            np.concatenate([part.appended for part in parts]),
            list(chain.from_iterable(part.values for part in parts)),
            list(chain.from_iterable(part.keys or [None] * len(part) for part in parts)) if keyed else None,
            list(chain.from_iterable(part.headers or [()] * len(part) for part in parts)) if headed else None,
        )

    def lengths(self) -> NDArray[np.int64]:
        """Return the bytes of each message; shape (records,)."""
        try:
            return np.fromiter(map(len, self.values), np.int64, len(self.values))  # type: ignore[arg-type]  # see below
        except TypeError:  # None has no length; it is rare
            return np.fromiter((len(value or b"") for value in self.values), np.int64, len(self.values))

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> "Records": ...
    def __getitem__(self, place: int | slice) -> "Record | Records":
        if isinstance(place, slice):
            return Records(
                self.partitions[place],
                self.offsets[place],
                self.appended[place],
                self.values[place],
                None if self.keys is None else self.keys[place],
                None if self.headers is None else self.headers[place],
            )
        return StoredRecord(
            int(self.partitions[place]),
            int(self.offsets[place]),
            int(self.appended[place]),
            None if self.keys is None else self.keys[place],
            self.values[place],
            () if self.headers is None else self.headers[place],
        )
