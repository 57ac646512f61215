"""Streams whose concept changes, made by River's generators: at once, gradually, back and forth, without end."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any

from river.datasets import synth

from benchmarks.learning.streams import DRIFTING_GROUP, Source
from models.examples import Label, Task

ROWS = 20_000
SEGMENT = 5_000
"""Rows of each concept where concepts change at once."""

Rows = Iterable[tuple[dict[Any, Any], Any]]
Concept = Callable[[int], Rows]
"""Takes a seed; rows without end."""


def _source(
    task: Task, make: Callable[[int], Rows], drifts: tuple[int, ...] = (), concepts: tuple[int, ...] = ()
) -> Source:
    """Return a source of at most ``ROWS`` rows; names of features become strings, and classes too."""

    def read(rows: int | None, seed: int) -> list[tuple[dict[str, Any], Label]]:
        made = islice(make(seed), min(rows or ROWS, ROWS))
        return [({str(key): value for key, value in row.items()}, _label(label, task)) for row, label in made]

    return Source(DRIFTING_GROUP, task, ROWS, read, drifts=drifts, concepts=concepts)


def _label(label: Any, task: Task) -> Label:
    return float(label) if task is Task.REGRESSION else str(int(label))


def _abrupt(task: Task, *concepts: Concept) -> Source:
    """Return one concept after another, each from one row to the next; one that comes back goes on with new rows."""

    def make(seed: int) -> Iterator[tuple[dict[Any, Any], Any]]:
        going = {concept: iter(concept(seed)) for concept in concepts}
        return chain.from_iterable(islice(going[concept], SEGMENT) for concept in concepts)

    drifts = tuple(SEGMENT * place for place in range(1, len(concepts)))
    return _source(task, make, drifts, tuple(concepts.index(concept) for concept in concepts))


def _gradual(before: Concept, after: Concept) -> Source:
    """Return a stream that turns from one concept to the other over 4,000 rows around its middle."""

    def make(seed: int) -> Rows:
        # Any: River says SyntheticDataset and means what can be iterated over.
        first: Any = before(seed)
        second: Any = after(seed + 1)
        stream: Rows = synth.ConceptDriftStream(first, second, position=ROWS // 2, width=4_000, seed=seed)
        return stream

    return _source(Task.BINARY, make)


def _agrawal(function: int) -> Concept:
    return lambda seed: synth.Agrawal(classification_function=function, seed=seed, perturbation=0.05)


def _sea(variant: int) -> Concept:
    return lambda seed: synth.SEA(variant=variant, noise=0.1, seed=seed)


def _blobs(number: int) -> Concept:
    """Return blobs of two classes in ten dimensions."""
    return lambda seed: synth.RandomRBF(seed_model=100 * seed + number, seed_sample=seed, n_classes=2, n_features=10)


def _led(swapped: int) -> Concept:
    """Return digits of an LED display of which some segments have changed places with others (feature drift)."""
    return lambda seed: synth.LEDDrift(
        seed=seed, noise_percentage=0.1, irrelevant_features=True, n_drift_features=swapped
    )


_BLOBS = (_blobs(1), _blobs(2))
_LED = (_led(0), _led(5))

DRIFTING = {
    "sea-abrupt": _abrupt(Task.BINARY, _sea(0), _sea(3), _sea(2), _sea(1)),
    "agrawal-abrupt": _abrupt(Task.BINARY, _agrawal(0), _agrawal(2), _agrawal(4), _agrawal(6)),
    "blobs-recurring": _abrupt(Task.BINARY, *_BLOBS, *_BLOBS),
    "led-features": _abrupt(Task.MULTICLASS, *_LED, *_LED),
    "agrawal-gradual": _gradual(_agrawal(0), _agrawal(2)),
    "hyperplane-rotating": _source(
        Task.BINARY, lambda seed: synth.Hyperplane(seed=seed, n_features=10, n_drift_features=5, mag_change=0.001)
    ),
    "friedman-drift": _source(
        Task.REGRESSION,
        lambda seed: synth.FriedmanDrift("gra", position=(5_000, 12_000), transition_window=1_000, seed=seed),
    ),
}
"""Concepts that come back are the same object twice."""
