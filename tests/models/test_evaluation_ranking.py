"""Calibration and the area under the curve over a window, against direct computations."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.evaluation import Prequential
from models.evaluation_ranking import RELIABILITY_BINS, area_under_curve, calibration_error, reliability
from models.examples import Task

Floats = NDArray[np.float64]


def drawn(rows: int, seed: int, *, claimed: float = 1.0) -> tuple[Floats, NDArray[np.bool_]]:
    """Return probabilities around 2 %, what came of them, and how many times too high they are said to be."""
    random = np.random.default_rng(seed)
    probability = random.beta(1, 49, rows)
    return np.minimum(1, probability * claimed), random.random(rows) < probability


def test_rare_events_are_looked_at_in_bins_of_equal_weight() -> None:
    """Of clicks at 2 % all would lie in the first bin, and nothing would be seen of which are said too probable."""
    probability, happened = drawn(20_000, 0)
    weight = np.where(np.arange(20_000) % 2, 1.0, 3.0)
    bins = reliability(probability, happened, weight)
    assert len(bins) == RELIABILITY_BINS
    assert [each.share for each in bins] == pytest.approx([0.1] * RELIABILITY_BINS, abs=1e-3)
    assert sum(each.share for each in bins) == pytest.approx(1)
    for each in bins:
        inside = (probability >= each.lowest) & (probability <= each.highest)
        assert each.predicted == pytest.approx(np.average(probability[inside], weights=weight[inside]))
        assert each.observed == pytest.approx(np.average(happened[inside], weights=weight[inside]))
    assert calibration_error(bins) < 0.003


def test_a_probability_that_says_too_much_is_an_error_of_as_much() -> None:
    """Negatives kept one in ten, and not corrected for, would look as good as probabilities that mean what they say."""
    probability, happened = drawn(20_000, 1, claimed=5.0)
    expected = (probability - happened).mean()
    assert calibration_error(reliability(probability, happened, np.ones(20_000))) == pytest.approx(expected, rel=1e-9)
    assert expected > 0.07


def test_rows_of_one_probability_share_a_bin_whatever_their_order() -> None:
    """The error would depend on how the log happened to interleave what is equal."""
    probability = np.repeat([0.25, 0.75], [700, 300])
    happened = np.random.default_rng(2).random(1000) < probability
    mixed = np.random.default_rng(3).permutation(1000)
    bins = reliability(probability, happened, np.ones(1000))
    again = reliability(probability[mixed], happened[mixed], np.ones(1000))
    assert [(each.lowest, each.highest, each.share) for each in bins] == [(0.25, 0.25, 0.7), (0.75, 0.75, 0.3)]
    assert bins == again


def test_what_says_nothing_is_left_out() -> None:
    """One NaN would make the whole window's error NaN; a row of no weight would shift the bins."""
    nothing = np.array([np.nan, 0.5]), np.array([True, True]), np.array([1.0, 0.0])
    assert reliability(*nothing) == ()
    assert calibration_error(()) == 0
    assert area_under_curve(*nothing) is None


def test_the_area_is_exact_in_the_window() -> None:
    """Scores that differ by less than a bin of the histogram would count as equal."""
    random = np.random.default_rng(4)
    positive = random.random(600) < 0.3
    score = (0.5 + 1e-5 * (random.normal(size=600) + positive)).round(7).astype(np.float32)
    weight = random.choice([0.5, 1.0, 2.0], 600).astype(np.float32)
    evaluation = Prequential(Task.BINARY, 500, "cpu", learned=True)
    evaluation.grow(2)
    both = torch.tensor(np.stack([1 - score, score], 1))
    evaluation.update(both, torch.tensor(positive).long(), weight)
    last, inside = score[-500:], positive[-500:]
    above = (last[inside][:, None] > last[~inside]) + 0.5 * (last[inside][:, None] == last[~inside])
    pairs = weight[-500:][inside][:, None].astype(float) * weight[-500:][~inside]
    exact = (above * pairs).sum() / pairs.sum()
    assert evaluation.scores()["window"]["roc_auc"] == pytest.approx(exact, abs=1e-12)
    assert 0.6 < exact < 0.9


def test_many_classes_are_calibrated_where_the_answer_is_right_as_often_as_it_says() -> None:
    """A multiclass model that is always sure would look as trustworthy as one that knows when it does not know."""
    random = np.random.default_rng(5)
    shares = random.dirichlet(np.ones(4), 3000).astype(np.float32)
    targets = torch.tensor([random.choice(4, p=row / row.sum()) for row in shares.astype(float)])
    errors = []
    for said in (shares, np.eye(4, dtype=np.float32)[shares.argmax(1)]):
        evaluation = Prequential(Task.MULTICLASS, 3000, "cpu", learned=True)
        evaluation.grow(4)
        evaluation.update(torch.tensor(said), targets, np.ones(3000, np.float32))
        window = evaluation.scores()["window"]
        errors.append(window["calibration_error"])
    assert errors[0] < 0.04
    assert errors[1] == pytest.approx(1 - window["accuracy"])
    assert evaluation.reliability()[0].predicted == 1
    assert "calibration_error" not in evaluation.scores()["stream"]
