"""The scores of a task, and how people read them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.examples import Task


@dataclass(frozen=True, slots=True)
class Measure:
    """A score.

    Attributes
    ----------
    key, name
        For programs, and for people.
    higher
        Whether more is better.
    share
        Whether it is a share, from 0 to 1.
    """

    key: str
    name: str
    higher: bool = False
    share: bool = False


_CLASSES = (
    Measure("accuracy", "accuracy", higher=True, share=True),
    Measure("log_loss", "log loss"),
    Measure("balanced_accuracy", "balanced accuracy", higher=True, share=True),
    Measure("roc_auc", "ROC AUC", higher=True, share=True),
)
_NUMBERS = (Measure("mae", "mean absolute error"), Measure("rmse", "RMSE"), Measure("r2", "R²", higher=True))

MEASURES: Mapping[Task, Sequence[Measure]] = {
    Task.BINARY: _CLASSES,
    Task.MULTICLASS: _CLASSES[:3],
    Task.REGRESSION: _NUMBERS,
}
"""Task → its scores; the first is what learners are ranked by."""


def number(value: float | None, measure: Measure) -> str:
    """Return a score: shares and those near 1 to three places, others to four digits."""
    if value is None:
        return "–"
    if measure.share or measure.key in ("r2", "log_loss"):
        return f"{value:.3f}" if abs(value) < 1000 else f"{value:.2g}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.4g}"


def in_words(value: float | None, measure: Measure) -> str:
    """Return a score as a sentence has it: shares in per cent."""
    return f"{value:.1%}" if measure.share and value is not None else number(value, measure)


def mark(value: float, measure: Measure) -> str:
    """Return a score as it is written at an axis."""
    return f"{value:.4g}" if not measure.share else f"{value * 100:.4g}%"
