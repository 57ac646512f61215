"""Requests that arrive together are computed together: one pass over the parameters for all of them.

On the path it stands between the prediction routes and the parameters. A computation for one row takes almost as long
as one for fifty, so a busy server gains much; nobody waits for it, because only what arrived within one turn of the
event loop is taken together. How much that may be is measured (``pass_times.py``).
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from models.learner import Predictions
from service.decoding.flattening import FeatureInvalid
from service.predictor import Served
from service.rest.pass_times import PassTimes

Rows = Sequence[Mapping[str, Any]]
Answer = tuple[Served, Predictions]


Keys = Sequence[int]
"""One number a row, by which it is said who answers it: see ``arms.py``."""

Settle = Callable[[Answer | Exception], None]
"""Takes what was answered, or what went wrong; it must not raise."""


class _Waiting(NamedTuple):
    rows: Rows
    settle: Settle
    keys: Keys | None


class Coalescer:
    """Computes for all who ask within one turn of the event loop. Belongs to that loop.

    Parameters
    ----------
    predict
        Computes for some rows; raises :class:`~service.decoding.flattening.FeatureInvalid` for one that it cannot use.
    predict_by
        The same where rows have keys; needed where somebody asks with any.
    """

    def __init__(
        self, predict: Callable[[Rows], Answer], predict_by: Callable[[Rows, Keys], Answer] | None = None
    ) -> None:
        self._predict = predict
        self._predict_by = predict_by
        self._waiting: list[_Waiting] = []
        self._times = PassTimes()

    async def predict(self, rows: Rows, keys: Keys | None = None) -> Answer:
        """Return what `predict` returns for `rows`, and raise what it raises for them."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def settle(found: Answer | Exception) -> None:
            if answer.done():
                return  # whoever waited is gone
            if isinstance(found, Exception):
                answer.set_exception(found)
            else:
                answer.set_result(found)

        self.ask(rows, settle, keys)
        return await answer

    def ask(self, rows: Rows, settle: Settle, keys: Keys | None = None) -> None:
        """Have `settle` called with the same, within the next turn of the event loop."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._compute)
        self._waiting.append(_Waiting(rows, settle, keys))

    def _compute(self) -> None:
        waiting, self._waiting = self._waiting, []
        for group in _groups(waiting, self._times.most()):
            self._answer(group)

    def _answer(self, group: Sequence[_Waiting]) -> None:
        began = time.perf_counter()
        try:
            served, predictions = self._of(group)
        except FeatureInvalid as error:
            if len(group) == 1:
                _fail(group, error)
                return
            # One of them is to blame, and the others must not suffer for it.
            for each in group:
                self._answer([each])
        # Whatever it is, those who wait must hear of it; the routes know what to make of it.
        except Exception as error:  # noqa: BLE001
            _fail(group, error)
        else:
            self._times.note(sum(map(_values_of, group)), time.perf_counter() - began)
            _share_out(group, served, predictions)

    def _of(self, group: Sequence[_Waiting]) -> Answer:
        """Compute for all of a group; a model's requests all have keys, or none has."""
        rows = [row for each in group for row in each.rows]
        if self._predict_by is None or group[0].keys is None:
            return self._predict(rows)
        return self._predict_by(rows, [key for each in group for key in each.keys or ()])


def _values_of(waiting: _Waiting) -> int:
    """Return how many values rows have, each counting as one beside them."""
    return sum(map(len, waiting.rows)) + len(waiting.rows)


def _groups(waiting: Sequence[_Waiting], most: int) -> Iterator[list[_Waiting]]:
    """Yield who is computed for together: rows of different features make a matrix as large as their product."""
    group: list[_Waiting] = []
    size = 0
    for each in waiting:
        adds = _values_of(each)
        if group and size + adds > most:
            yield group
            group, size = [], 0
        group.append(each)
        size += adds
    if group:
        yield group


def _fail(waiting: Sequence[_Waiting], error: Exception) -> None:
    for each in waiting:
        each.settle(error)


def _share_out(waiting: Sequence[_Waiting], served: Served, predictions: Predictions) -> None:
    start = 0
    for each in waiting:
        stop = start + len(each.rows)
        each.settle((served, predictions if len(waiting) == 1 else _slice(predictions, start, stop)))
        start = stop


def _slice(predictions: Predictions, start: int, stop: int) -> Predictions:
    return Predictions(
        predictions.classes,
        None if predictions.probabilities is None else predictions.probabilities[start:stop],
        None if predictions.values is None else predictions.values[start:stop],
        None if predictions.contenders is None else predictions.contenders[start:stop],
    )
