"""Features as plain arrays: how observations lie in memory while they wait, in files beyond it, and in checkpoints.

Numbers stay a matrix. Of the texts of a column each different one is kept once, as UTF-8, and a row has its number;
lists of texts are kept as MessagePack in the same way. So a row costs no Python object, a checkpoint holds the very
arrays that are in memory, and arrays may lie in a file that is mapped.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.answered import Answered
from models.examples import FeatureKey, Features, Kind

Arrays = Mapping[str, NDArray[Any]]

Value = TypeVar("Value")


class _Layout(msgspec.Struct, array_like=True):
    """What the arrays of some rows mean: written down beside them."""

    rows: int
    keys: list[tuple[str, str]]
    categories: list[str]
    tokens: list[str]
    answers: list[str] | None


def pack(features: Features, answered: Answered | None = None) -> dict[str, NDArray[Any]]:
    """Return features, and what was answered about them, as arrays by name; they are not to be changed."""
    columns = list(features.categories.values()), list(features.tokens.values())
    layout = _Layout(
        len(features),
        [(name, kind.value) for name, kind in features.keys],
        list(features.categories),
        list(features.tokens),
        None if answered is None else list(answered.classes),
    )
    arrays: dict[str, NDArray[Any]] = {
        "layout": np.frombuffer(msgspec.json.encode(layout), np.uint8),
        "numbers": np.ascontiguousarray(features.numbers),
    }
    for place, texts in enumerate(columns[0]):
        content = [text.encode("utf-8", "surrogatepass") for text in _distinct(texts)]
        arrays |= _packed(f"category{place}", texts, content)
    for place, bags in enumerate(columns[1]):
        written = [None if bag is None else _encode_bag(bag) for bag in bags]
        arrays |= _packed(f"tokens{place}", written, _distinct(written))
    if answered is not None:
        arrays |= {
            "versions": np.ascontiguousarray(answered.versions),
            "probabilities": np.ascontiguousarray(answered.probabilities),
            "values": np.ascontiguousarray(answered.values),
        }
    return arrays


def unpack(arrays: Arrays, rows: NDArray[np.intp] | None = None) -> tuple[Features, Answered | None]:
    """Return what :func:`pack` made arrays of: the rows that an array of indices names, in its order, or all."""
    layout = msgspec.json.decode(arrays["layout"].tobytes(), type=_Layout)
    picked: Any = slice(None) if rows is None else rows
    features = Features(
        layout.rows if rows is None else len(rows),
        tuple(FeatureKey(name, Kind(kind)) for name, kind in layout.keys),
        np.array(arrays["numbers"][picked]),
        {name: _texts(arrays, f"category{place}", picked) for place, name in enumerate(layout.categories)},
        {name: _bags(arrays, f"tokens{place}", picked) for place, name in enumerate(layout.tokens)},
    )
    if layout.answers is None:
        return features, None
    columns = (np.array(arrays[name][picked]) for name in ("versions", "probabilities", "values"))
    versions, probabilities, values = columns
    return features, Answered(versions, tuple(layout.answers), probabilities, values)


def take(arrays: Arrays, rows: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
    """Return the arrays of some of the rows."""
    return pack(*unpack(arrays, rows))


def _encode_bag(bag: Sequence[str]) -> bytes:
    # JSON has no half of a surrogate pair, which texts that came as JSON may hold; so each text's bytes are kept.
    return msgspec.msgpack.encode([text.encode("utf-8", "surrogatepass") for text in bag])


def _decode_bag(data: bytes) -> list[str]:
    return [text.decode("utf-8", "surrogatepass") for text in msgspec.msgpack.decode(data, type=list[bytes])]


def _distinct(values: Sequence[Any]) -> list[Any]:
    """Return each different value once, in order of appearance."""
    found = dict.fromkeys(values)
    found.pop(None, None)
    return list(found)


def _packed(name: str, values: Sequence[Any], distinct: Sequence[bytes]) -> dict[str, NDArray[Any]]:
    """Return a column of values, of which `distinct` is each different one as bytes, in order of appearance."""
    numbers = {None: -1} | dict(zip(_distinct(values), range(len(distinct)), strict=True))
    return {
        f"{name}-codes": np.fromiter(map(numbers.__getitem__, values), np.int32, len(values)),
        f"{name}-ends": np.cumsum(np.fromiter(map(len, distinct), np.int64, len(distinct))),
        f"{name}-bytes": np.frombuffer(b"".join(distinct), np.uint8),
    }


def _texts(arrays: Arrays, name: str, picked: Any) -> list[str | None]:
    return _values(arrays, name, picked, lambda data: data.decode("utf-8", "surrogatepass"))


def _bags(arrays: Arrays, name: str, picked: Any) -> list[list[str] | None]:
    return _values(arrays, name, picked, _decode_bag)


def _values(arrays: Arrays, name: str, picked: Any, read: Callable[[bytes], Value]) -> list[Value | None]:
    """Return a column's values; equal ones are one object."""
    codes, ends, content = (arrays[f"{name}-{part}"] for part in ("codes", "ends", "bytes"))
    picked_codes = codes[picked].tolist()
    found: dict[int, Value | None] = {
        code: read(content[(ends[code - 1] if code else 0) : ends[code]].tobytes())
        for code in set(picked_codes)
        if code >= 0
    }
    found[-1] = None
    return [found[code] for code in picked_codes]


def arranged(features: Features) -> Features:
    """Return the same features with the columns in the order of their names, and none without a value.

    So what rows look like depends on them alone, and not on which others they lay beside while they waited.
    """
    full = np.flatnonzero(~np.isnan(features.numbers).all(axis=0)).tolist()
    order = sorted(full, key=features.keys.__getitem__)
    straight = order == list(range(len(features.keys)))
    return Features(
        features.rows,
        features.keys if straight else tuple(features.keys[column] for column in order),
        features.numbers if straight else features.numbers[:, order],
        _filled(features.categories),
        _filled(features.tokens),
    )


def settled(answered: Answered | None) -> Answered | None:
    """Return the same answers with the classes in order, and none that nobody was answered; None for no answer."""
    if answered is None or answered.is_nothing:
        return None
    named = np.flatnonzero(answered.probabilities.any(axis=0)).tolist()
    classes = sorted(answered.classes[place] for place in named)
    return replace(answered, classes=tuple(classes), probabilities=answered.columns_of(classes))


def _filled(columns: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    return {name: columns[name] for name in sorted(columns) if any(value is not None for value in columns[name])}
