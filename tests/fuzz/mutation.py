"""JSON changed as JSON: coverage does not reach into the decoder's C, so that blind changes would all be malformed."""

import json
import random
from typing import Any

ODD: list[Any] = [
    None,
    True,
    "",
    "\u0000",
    "\U0001f600",
    "x" * 1001,
    0,
    -0.0,
    1e308,
    2**53 + 1,
    2**63,
    2**64,
    10**400,
    1763683200123,
    "2025-11-21T00:00:00Z",
    "0001-01-01T00:00:00+23:59",
    [],
    {},
    [[]],
    [1, "x"],
    {"a": {"a": {}}},
    {"a.b": 1, "a": {"b": 1}},
]
"""Values that somebody once forgot."""

RAW = [b"1e400", b"-1e400", b"NaN", b'"\\ud800"', b'"\\udc00\\ud800"', b"9" * 5000, b"\xef\xbb\xbf", b"01", b"{}{}"]
"""What Python's own JSON cannot write."""


def mutate(data: bytes, most: int, seed: int) -> bytes | None:
    """Return `data` with a value of its JSON changed; None where there is no JSON in it.

    Parameters
    ----------
    data
        JSON, or one byte that chooses something and then JSON.
    most
        Bytes that the result may have.
    seed
        Of what is changed, and how.
    """
    chance = random.Random(seed)
    start = 0 if data[:1] in b"[{" else 1
    try:
        value = json.loads(data[start:])
    except (ValueError, RecursionError):
        return None
    for _ in range(chance.randint(1, 3)):
        value = _changed(value, chance)
    try:
        text = json.dumps(value, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        return None
    if chance.random() < 0.2:
        place = chance.choice([b"1", b'"x"', b"null", b"true"])
        text = text.replace(place, chance.choice(RAW), 1)
    changed = data[:start] + text
    return changed if len(changed) <= most else None


def _changed(value: Any, chance: random.Random) -> Any:
    """Return `value` with something in it replaced, removed, repeated or nested."""
    if isinstance(value, dict) and value and chance.random() < 0.8:
        key = chance.choice(list(value))
        if chance.random() < 0.2:
            return {**value, chance.choice([key + ".x", "", "label", "features", "\u0000"]): value[key]}
        if chance.random() < 0.1:
            return {name: each for name, each in value.items() if name != key}
        return {**value, key: _changed(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.8:
        place = chance.randrange(len(value))
        if chance.random() < 0.2:
            return value + value[place : place + 1] * chance.choice([1, 2, 40])
        return [*value[:place], _changed(value[place], chance), *value[place + 1 :]]
    return chance.choice([chance.choice(ODD), [value], {"n": value}, [value, value]])
