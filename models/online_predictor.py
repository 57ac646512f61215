"""River's model in a serving process: out of published bytes, checked before they are taken for anything.

The bytes are a header and a pickle. Unpickling runs whatever code the bytes name, so they are only ever read from the
service's own ``publish_dir`` and ``data_dir``, which must be writable by nobody else; never from the network.
"""

import pickle
import struct
import zlib
from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.errors import StateMismatch
from models.examples import Features
from models.learner import Array, Json, Predictions, check_spec
from models.online_model import OnlineModel

BLOB = "river/model"
SCHEMA = 1
_HEADER = struct.Struct("<QQI4x")  # length of the pickle, rows learned, CRC-32 of the pickle
_SMALLEST = 4096


def pack(model: OnlineModel) -> tuple[NDArray[np.uint8], int]:
    """Return a model as bytes, uint8, and how many of them are used.

    The capacity is a power of two, so that the array's shape, and with it the published layout, seldom changes.
    """
    pickled = pickle.dumps(model, protocol=5)
    used = _HEADER.size + len(pickled)
    blob = np.zeros(max(_SMALLEST, 1 << (used - 1).bit_length()), np.uint8)
    header = _HEADER.pack(len(pickled), model.rows, zlib.crc32(pickled))
    blob[:used] = np.frombuffer(header + pickled, np.uint8)
    return blob, used


def unpack(blob: NDArray[np.uint8]) -> OnlineModel:
    """Return the model that `blob` holds.

    Raises
    ------
    StateMismatch
        The bytes are damaged, or from a version of River or of this package that no longer reads them.
    """
    length, _, checksum = _HEADER.unpack(blob[: _HEADER.size].tobytes())
    pickled = blob[_HEADER.size : _HEADER.size + length].tobytes()
    if len(pickled) != length or zlib.crc32(pickled) != checksum:
        raise StateMismatch("the online model's bytes do not match their checksum: read them again")
    try:
        model = pickle.loads(pickled)  # noqa: S301 - from the service's own folders only, see above
    except (pickle.UnpicklingError, AttributeError, ImportError, TypeError, ValueError) as error:
        raise StateMismatch(f"the online model was saved by another version ({error}): start it anew") from error
    if not isinstance(model, OnlineModel):
        raise StateMismatch(f"expected the online model, found {type(model).__name__}: start it anew")
    return model


class OnlinePredictor:
    """Answers from published bytes, which may be replaced under its hands between one call and the next.

    Parameters
    ----------
    blob
        uint8; what :func:`pack` made, perhaps mapped from a file.
    """

    def __init__(self, blob: NDArray[np.uint8]) -> None:
        self._blob = blob
        self._header = b""
        self._model: OnlineModel | None = None

    @classmethod
    def from_published(cls, spec: Json, arrays: Mapping[str, Array]) -> Self:
        """Return a predictor over published arrays.

        Raises
        ------
        StateMismatch
            `spec` is that of another learner or of an unknown schema version.
        """
        check_spec(spec, "online", SCHEMA)
        if BLOB not in arrays:
            raise StateMismatch(f"{BLOB} is not among the published arrays: restart the serving process")
        return cls(arrays[BLOB])

    def predict(self, features: Features) -> Predictions:
        """See :class:`models.learner.Predictor`.

        Raises
        ------
        StateMismatch
            The bytes were being replaced: ask again.
        """
        header = self._blob[: _HEADER.size].tobytes()
        if self._model is None or header != self._header:
            # The copy is what is checked: the bytes may change under the hands of whoever reads them twice.
            copy = np.array(self._blob)
            self._model, self._header = unpack(copy), copy[: _HEADER.size].tobytes()
        return self._model.predict(features)
