"""What is known of each row that waits, beside its features: the kinds of structured arrays."""

import numpy as np

OBSERVATION = np.dtype(
    [
        ("id", np.uint64, 2),
        ("time", np.float64),
        ("timestamp", np.float64),
        ("source", np.uint64),
        ("checksum", np.uint64),
        ("weight", np.float32),
        ("partition", np.int32),
    ]
)
"""An observation: its id's digest; its time on the join's clock, in milliseconds; its event time, in seconds; the
digest of its source; what its event adds to a checksum (see :meth:`consumers.track.Track.checksum`); weight and
partition."""

LABEL = np.dtype(
    [
        ("id", np.uint64, 2),
        ("time", np.float64),
        ("value", np.float64),
        ("checksum", np.uint64),
        ("code", np.int32),
        ("weight", np.float32),
        ("partition", np.int32),
    ]
)
"""A label: as above; its class as a number, or else its value, where `code` is :data:`IS_NUMBER`."""

IS_NUMBER = -1
