"""Requests computed together get what each of them would have got alone."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from models.learner import Predictions
from service.decoding.flattening import FeatureInvalid
from service.errors import PublicationMissing
from service.predictor import Served
from service.rest.coalescing import Coalescer

SERVED = Served(3, "microbatch", 0.0, None, "publication")
Rows = Sequence[Mapping[str, Any]]


class Doubling:
    """Predicts twice the feature `x`; refuses a negative one, as the check of features would."""

    def __init__(self, *, classes: bool = False) -> None:
        self.sizes: list[int] = []
        self._classes = classes

    def __call__(self, rows: Rows) -> tuple[Served, Predictions]:
        self.sizes.append(len(rows))
        for index, row in enumerate(rows):
            if row["x"] < 0:
                raise FeatureInvalid(index, "x", "negative")
        values = np.array([2.0 * row["x"] for row in rows])
        if self._classes:
            return SERVED, Predictions(("a",), values[:, None].astype(np.float32))
        return SERVED, Predictions(values=values)


def ask(predict: Callable[[Rows], tuple[Served, Predictions]], *requests: Rows) -> list[Any]:
    """Ask for all `requests` at once; return their answers or errors."""

    async def together() -> list[Any]:
        coalescer = Coalescer(predict)
        return await asyncio.gather(*(coalescer.predict(rows) for rows in requests), return_exceptions=True)

    return asyncio.run(together())


def values_of(answer: tuple[Served, Predictions]) -> list[float]:
    assert answer[1].values is not None
    return [float(value) for value in answer[1].values]


def test_everybody_gets_their_own_rows() -> None:
    """Without it, one client gets another client's predictions."""
    predict = Doubling()
    answers = ask(predict, [{"x": 1}], [{"x": 2}, {"x": 3}], [], [{"x": 4}])
    assert predict.sizes == [4]
    assert [values_of(answer) for answer in answers] == [[2.0], [4.0, 6.0], [], [8.0]]
    assert all(answer[0] == SERVED for answer in answers)


def test_probabilities_are_shared_out_too() -> None:
    """Without it, classification fails as soon as two clients ask at once."""
    answers = ask(Doubling(classes=True), [{"x": 1}], [{"x": 2}])
    assert [answer[1].probabilities.tolist() for answer in answers] == [[[2.0]], [[4.0]]]
    assert answers[1][1].classes == ("a",)


def test_a_bad_row_costs_only_its_request() -> None:
    """Without it, one client's mistake fails the requests of others, or blames a row that they did not send."""
    first, second, third = ask(Doubling(), [{"x": 1}], [{"x": 2}, {"x": -1}], [{"x": 3}])
    assert values_of(first) == [2.0]
    assert isinstance(second, FeatureInvalid)
    assert (second.index, second.field) == (1, "x")
    assert values_of(third) == [6.0]


def test_one_alone_is_computed_once() -> None:
    """Without it, a bad request is computed for ever."""
    predict = Doubling()
    assert isinstance(ask(predict, [{"x": -1}])[0], FeatureInvalid)
    assert predict.sizes == [1]


def test_many_features_are_not_taken_together() -> None:
    """Without it, a few clients that send thousands of different features fill the memory with their product."""
    predict = Doubling()
    wide = {f"f{i}": 1 for i in range(1500)} | {"x": 1}
    answers = ask(predict, [wide], [wide], [{"x": 1}])
    assert predict.sizes == [1, 2]
    assert [values_of(answer) for answer in answers] == [[2.0]] * 3


def test_everybody_hears_of_a_failure() -> None:
    """Without it, requests hang when the parameters cannot be reached."""

    def missing(_: Rows) -> tuple[Served, Predictions]:
        raise PublicationMissing("not there")

    assert [type(answer) for answer in ask(missing, [{"x": 1}], [{"x": 2}])] == [PublicationMissing] * 2


def test_a_client_that_went_away_disturbs_nobody() -> None:
    """Without it, a request that was cancelled fails those that were computed with it."""

    async def cancelled() -> list[float]:
        coalescer = Coalescer(Doubling())
        gone = asyncio.ensure_future(coalescer.predict([{"x": 1}]))
        stays = asyncio.ensure_future(coalescer.predict([{"x": 2}]))
        asyncio.get_running_loop().call_soon(gone.cancel)
        await asyncio.sleep(0)
        answer = await stays
        with pytest.raises(asyncio.CancelledError):
            await gone
        return values_of(answer)

    assert asyncio.run(cancelled()) == [4.0]
