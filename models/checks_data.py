"""Examples for ``checks.py``: every kind of feature, drawn from a seed, with labels that follow from them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from models.examples import Examples, FeatureKey, Features, Kind, Label, Task

Column = TypeVar("Column")

CITIES = ("Oslo", "Lima", "Pune", "Nara")
WORDS = ("big", "red", "old", "odd", "new")
NUMBERS = (
    FeatureKey("price", Kind.NUMBER),
    FeatureKey("size", Kind.NUMBER),
    FeatureKey("express", Kind.BOOLEAN),
    FeatureKey("embedding[0]", Kind.VECTOR),
    FeatureKey("embedding[1]", Kind.VECTOR),
    FeatureKey("city", Kind.NUMBER),
)


def examples(task: Task, rows: int, seed: int = 0) -> Examples:
    """Return `rows` rows in which one number in twenty is missing, and ``city`` is both a number and a category."""
    random = np.random.default_rng([seed, rows])
    numbers = random.normal(size=(rows, len(NUMBERS))) * [100.0, 1.0, 1.0, 1.0, 0.1, 1.0] + [1e4, 0, 0, 0, 5.0, 0]
    numbers[:, 2] = numbers[:, 2] > 0
    cities = random.integers(len(CITIES), size=rows)
    score = (numbers[:, 0] - 1e4) / 100 + numbers[:, 3] + 2.0 * (cities == 1) - 0.5
    numbers[random.random(numbers.shape) < 0.05] = np.nan
    features = Features(
        rows,
        NUMBERS,
        numbers,
        {"city": [CITIES[city] if city else None for city in cities.tolist()]},
        {"words": [random.choice(WORDS, random.integers(4)).tolist() or None for _ in range(rows)]},
    )
    weights = random.choice([0.5, 1.0, 2.0], rows).astype(np.float32)
    return Examples(features, _labels(task, score), weights, np.full(rows, np.nan))


def _labels(task: Task, score: np.ndarray) -> Sequence[Label]:
    """Return labels that follow from a score of roughly standard deviation 1.7."""
    if task is Task.REGRESSION:
        return [1000 + 25 * value for value in score.tolist()]
    if task is Task.BINARY:
        return [value > 0 for value in score.tolist()]
    return [("low", "mid", "high")[place] for place in np.digitize(score, [-0.8, 0.8]).tolist()]


def told_by_city(task: Task, rows: int, seed: int = 0) -> Examples:
    """Return :func:`examples` whose labels follow from the category ``city`` alone."""
    given = examples(task, rows, seed)
    noise = 0.1 * np.random.default_rng([seed, rows, 1]).normal(size=rows)
    scores = [CITIES.index(city or CITIES[0]) - 1.5 for city in given.features.categories["city"]]
    return replace(given, labels=_labels(task, np.array(scores) + noise))


def with_features(given: Examples, prefix: str) -> Examples:
    """Return `given` with a number, a category and tokens more, the first row lacking them."""
    rows = len(given)
    features = given.features
    ramp = np.linspace(-1, 1, rows)[:, None]
    ramp[0] = np.nan
    more = replace(
        features,
        keys=(*features.keys, FeatureKey(f"{prefix} number", Kind.NUMBER)),
        numbers=np.hstack([features.numbers, ramp]),
        categories={**features.categories, f"{prefix} category": [None, *"ab" * rows][:rows]},
        tokens={**features.tokens, f"{prefix} tokens": [None, *[["x", "y"]] * rows][:rows]},
    )
    return replace(given, features=more)


def with_labels(given: Examples, labels: Sequence[Label]) -> Examples:
    """Return `given` with other labels."""
    return replace(given, labels=labels)


def with_weights(given: Examples, weight: float) -> Examples:
    """Return `given` with one weight for all rows."""
    return replace(given, weights=np.full(len(given), weight, np.float32))


def broken_into(given: Examples, rows: int) -> Iterator[Examples]:
    """Yield pieces of `rows` rows."""
    for start in range(0, len(given), rows):
        yield given.slice(start, start + rows)


def reordered(given: Examples) -> Examples:
    """Return `given` with its columns in the opposite order, and with columns in which no row has a value."""
    features = given.features
    empty = np.full((len(given), 1), np.nan)
    return replace(
        given,
        features=replace(
            features,
            keys=(FeatureKey("nothing", Kind.NUMBER), *features.keys[::-1]),
            numbers=np.hstack([empty, features.numbers[:, ::-1]]),
            categories={"nothing": [None] * len(given), **_backwards(features.categories)},
            tokens={"nothing": [None] * len(given), **_backwards(features.tokens)},
        ),
    )


def _backwards(columns: Mapping[str, Column]) -> dict[str, Column]:
    """Return columns in the opposite order."""
    return {name: columns[name] for name in reversed(list(columns))}
