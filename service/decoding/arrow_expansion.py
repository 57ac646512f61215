"""How large the rows of an Arrow record batch may become as Python's objects: computed before any is made.

On the path it stands between Arrow's bytes and JSON. A stream of a kilobyte may name a list of a billion nulls, which
take no bytes at all, or one long text a million times over, by a dictionary. What is computed here is a bound: the
longest list of a column counts with the largest value of the column. Types that let values share memory in other ways
(views, unions) are not taken.
"""

from typing import Any

import numpy as np

_SCALAR = 32  # bytes; what a small object of Python's takes, roughly
_TEXT = 64
_PLACE = 8


def bytes_of_row(pa: Any, batch: Any) -> int:
    """Return what the largest row of a batch may take, in bytes.

    Parameters
    ----------
    pa
        The module ``pyarrow``.
    batch
        A record batch, validated in full.

    Raises
    ------
    ValueError
        A column is of a type that is not taken.
    """
    return sum(_PLACE + _bytes_of(pa, column) for column in batch.columns)


def _bytes_of(pa: Any, array: Any) -> int:
    """Return what the largest value of an array may take."""
    kind, types = array.type, pa.types
    if len(array) == 0:
        return 0
    inner = _inner(pa, array)
    if inner is not None:
        return _bytes_of(pa, inner)
    if types.is_struct(kind):
        return sum(_PLACE + _bytes_of(pa, array.field(index)) for index in range(kind.num_fields))
    if _is_list(types, kind):
        return _bytes_of_list(pa, array)
    return _bytes_of_scalar(pa, array)


def _inner(pa: Any, array: Any) -> Any | None:
    """Return the array that holds the values of one that only refers to them; None for all others."""
    if isinstance(array.type, pa.BaseExtensionType):
        return array.storage
    if pa.types.is_dictionary(array.type):
        return array.dictionary
    return array.values if pa.types.is_run_end_encoded(array.type) else None


def _bytes_of_scalar(pa: Any, array: Any) -> int:
    kind, types = array.type, pa.types
    if types.is_fixed_size_binary(kind):
        return _TEXT + int(kind.byte_width)
    if any(test(kind) for test in (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)):
        return _TEXT + _longest(_offsets_of_texts(pa, array))
    if types.is_null(kind) or types.is_primitive(kind) or types.is_decimal(kind):
        return _SCALAR
    raise ValueError(f"columns of type {kind} are not taken")


def _is_list(types: Any, kind: Any) -> bool:
    tests = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_map)
    return any(test(kind) for test in tests)


def _bytes_of_list(pa: Any, array: Any) -> int:
    fixed = pa.types.is_fixed_size_list(array.type)
    longest = array.type.list_size if fixed else _longest(array.offsets.to_numpy())
    return int(longest) * (_PLACE + _bytes_of(pa, array.values))


def _offsets_of_texts(pa: Any, array: Any) -> Any:
    """Return where the texts of an array begin and end."""
    large = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    offsets = np.frombuffer(array.buffers()[1], np.int64 if large else np.int32)
    return offsets[array.offset : array.offset + len(array) + 1]


def _longest(offsets: Any) -> int:
    return int(np.diff(offsets).max(initial=0))
