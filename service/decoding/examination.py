"""Judges decoded events: which are examples, which wait for a label, which are unusable and why.

On the path it stands between decoding and learning; it works on columns, and looks at single values only where
something is wrong.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.examples import Examples, Features
from service.decoding.answer_columns import WRONG, answers_in
from service.decoding.columns import assemble, compact
from service.decoding.event_names import ids_of, sources_of
from service.decoding.event_problems import Problem
from service.decoding.record_batch import Origins, RecordBatch
from service.decoding.table import Column, Table
from service.decoding.times import event_times
from service.settings.event_options import RECORD_KEY, EventOptions

MAXIMUM_LABEL = 1_000
"""Characters of a label; also of an id."""

_LABELS = frozenset({str, int, float, bool, NoneType})
_IDS = frozenset({str, int, NoneType})
_LARGEST_INTEGER = 2**63 - 1
_LARGEST_WEIGHT = float(np.finfo(np.float32).max)


@dataclass(slots=True)
class Verdict:
    """What became of the events of a table.

    Attributes
    ----------
    examples, origins
        The usable rows, and which events they are.
    unlabelled
        Events that are no examples and not joined to any: observations without a label, and labels without features.
    problems
        Row of the table → why it is unusable.
    """

    examples: Examples
    origins: Origins
    unlabelled: int
    problems: dict[int, Problem] = field(default_factory=dict)


def examine(
    table: Table,
    options: EventOptions,
    batch: RecordBatch,
    *,
    observations: bool = False,
    joined: bool = False,
    of_model: str = "",
) -> Verdict:
    """Judge all events of `table`.

    Parameters
    ----------
    table, options
        The events, and how they are to be read.
    batch
        Holds the records that they came from.
    observations
        Whether those without a label are of use: where a teacher says what it would be.
    joined
        Whether labels are joined to what was observed before: of use is then, too, what has an id and lacks a label or
        the features.
    of_model
        The identity of the model: what another one answered is nothing that it could be scored on.
    """
    features, invalid = assemble(len(table), table.features, options.features)
    problems: dict[int, Problem] = {}
    for problem in invalid:
        blame = f"feature {problem.name[:100]!r}: " if problem.name else ""
        problems.setdefault(problem.row, Problem("feature", blame + problem.message))
    weights, times = _examine_parts(table, problems)
    answered, bad = answers_in(table.parts["prediction"], of_model)
    _note(problems, bad, "prediction", WRONG)
    bare = table.without_features if options.format == "envelope" else _rows_without_value(features)
    labels = table.parts["label"]
    labelled = np.array([label is not None for label in labels], np.bool_)
    waiting = _examine_bare(bare, labelled[bare], _have_id(table, bare, options, batch), options, problems)
    ids = ids_of(table, options, batch, joined=joined)
    featured = np.ones(len(table), np.bool_)
    featured[waiting] = False
    wanted = labelled & featured
    if observations:
        wanted |= featured
    if joined and ids is not None:
        wanted |= ids.any(axis=1)
    wanted[list(problems)] = False
    examples = Examples(
        features,
        labels,
        weights,
        times,
        ids,
        sources_of(table, options, batch),
        labelled,
        featured=featured,
        answered=answered,
    )
    if wanted.all():
        return Verdict(_marked(examples), table.origins, 0)
    usable = np.flatnonzero(wanted)
    examples = examples.take(usable)
    examples = _marked(replace(examples, features=compact(examples.features)))
    return Verdict(examples, table.origins.take(usable), len(table) - len(usable) - len(problems), problems)


def _marked(examples: Examples) -> Examples:
    """Return the same without the marks that say the same of all rows."""
    assert examples.labelled is not None and examples.featured is not None  # noqa: S101, PT018 (for the type checker)
    return replace(
        examples,
        labelled=None if examples.labelled.all() else examples.labelled,
        featured=None if examples.featured.all() else examples.featured,
    )


def _examine_parts(table: Table, problems: dict[int, Problem]) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return weights and times; note what is wrong with any part of an event."""
    _note(problems, _bad_labels(table.parts["label"]), "label", "a label is a text, number or boolean of usual size")
    _note(problems, _bad_ids(table.parts["id"]), "not_an_event", "an id is a text or an integer of usual size")
    weights, bad = _weights(table.parts["weight"])
    _note(problems, bad, "weight", "a weight is a finite number, at least 0")
    times, bad = event_times(table.parts["timestamp"])
    _note(problems, bad, "timestamp", "a timestamp is ISO 8601, or seconds or milliseconds since the epoch")
    return weights, times


def _note(problems: dict[int, Problem], rows: Iterable[int], reason: str, detail: str) -> None:
    for row in rows:
        problems.setdefault(row, Problem(reason, detail))


def _bad_labels(labels: Column) -> list[int]:
    types = set(map(type, labels))
    if types <= {float, bool, NoneType}:
        return [row for row, label in enumerate(labels) if type(label) is float and label - label != 0]
    distinct = set(labels) if types <= _LABELS else None
    if distinct is not None and all(map(_label_usable, distinct)):
        return []
    return [row for row, label in enumerate(labels) if label is not None and not _label_usable(label)]


def _label_usable(label: Any) -> bool:
    kind = type(label)
    if kind is str:
        return len(label) <= MAXIMUM_LABEL
    if kind is int or kind is float:
        return -_LARGEST_INTEGER <= label <= _LARGEST_INTEGER or (kind is float and label - label == 0)
    return kind in _LABELS


def _bad_ids(ids: Column) -> list[int]:
    types = set(map(type, ids))
    if types == {NoneType}:
        return []
    if types <= {str, NoneType} and max(map(len, filter(None, ids)), default=0) <= MAXIMUM_LABEL:
        return []
    return [row for row, name in enumerate(ids) if not id_usable(name)]


def id_usable(name: Any) -> bool:
    """Return whether an event may be called so; None is no name."""
    if type(name) is str:
        return len(name) <= MAXIMUM_LABEL
    return name is None or (type(name) is int and abs(name) <= _LARGEST_INTEGER)


def _weights(values: Column) -> tuple[NDArray[np.float32], Sequence[int]]:
    """Return the weights, 1 where there is none, and the rows whose weight is unusable."""
    types = set(map(type, values))
    if types == {NoneType}:
        return np.ones(len(values), np.float32), []
    bad = [row for row, value in enumerate(values) if value is not None and not _weight_usable(value)]
    if bad:
        unusable = set(bad)
        values = [None if row in unusable else value for row, value in enumerate(values)]
    return np.array([1.0 if value is None else value for value in values], np.float32), bad


def _weight_usable(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= _LARGEST_WEIGHT


def _rows_without_value(features: Features) -> NDArray[np.intp]:
    """Return the rows in which every feature is missing."""
    empty = np.isnan(features.numbers).all(axis=1)
    if not empty.any():
        return np.empty(0, np.intp)
    for column in (*features.categories.values(), *features.tokens.values()):
        empty &= np.array([value is None for value in column], np.bool_)
    return np.flatnonzero(empty)


def _examine_bare(
    bare: NDArray[np.intp],
    labelled: NDArray[np.bool_],
    named: NDArray[np.bool_],
    options: EventOptions,
    problems: dict[int, Problem],
) -> NDArray[np.intp]:
    """Return which of the rows without features are labels of observations; note those that are nothing at all.

    A flat event without any feature, id left out, is an example of nothing but its label: usable.

    Parameters
    ----------
    bare
        Rows without features.
    labelled, named
        Which of these have a label, and an id.
    options, problems
        How events are to be read, and what is wrong with them.
    """
    _note(problems, bare[~labelled].tolist(), "not_an_event", "the event has neither features nor a label")
    if options.format == "envelope":
        _note(problems, bare[labelled & ~named].tolist(), "not_an_event", "a label without features needs an id")
    return bare[labelled & named]


def _have_id(table: Table, rows: NDArray[np.intp], options: EventOptions, batch: RecordBatch) -> NDArray[np.bool_]:
    """Return which of some rows have an id."""
    if options.id == RECORD_KEY:
        records = table.origins.records[rows].tolist()
        return np.array([batch.records[record].key is not None for record in records], np.bool_)
    ids = table.parts["id"]
    return np.array([ids[row] is not None for row in rows.tolist()], np.bool_)
