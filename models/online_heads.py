"""River's models behind one small interface, one for each task: a row → probabilities or a value, and learning it.

Each is a linear model trained by stochastic gradient descent on the rows of ``online_rows.py``. A step is never longer
than what would bring its own example to its optimum, whatever its weight, its number of features and its rate: a plain
gradient step is, where a row has many features at once, and that is how linear regression over one-hot columns diverges
(compare normalised least mean squares, Nagumo and Noda 1967).
"""

import math
from collections.abc import Callable
from typing import Any, Protocol

from river import stats
from river.linear_model import LinearRegression, LogisticRegression
from river.optim import SGD, AdaGrad
from river.optim.base import Loss, Optimizer
from river.optim.losses import Absolute, Huber, RegressionLoss, Squared

from models.errors import LearnerOptionsInvalid
from models.examples import Task
from models.learner import LearnerOptions
from models.moments import WARM
from models.online_rows import LIMIT, Row, bounded

RATES = {
    (Task.BINARY, "sgd"): 0.1,
    (Task.BINARY, "adagrad"): 0.3,
    (Task.MULTICLASS, "sgd"): 0.2,
    (Task.MULTICLASS, "adagrad"): 0.3,
    (Task.REGRESSION, "sgd"): 0.03,
    (Task.REGRESSION, "adagrad"): 0.2,
}
LOSSES = {
    Task.BINARY: ("auto", "bce", "ce"),
    Task.MULTICLASS: ("auto", "ce"),
    Task.REGRESSION: ("auto", "huber", "mse", "mae"),
}
# Beyond one standard deviation a Huber error counts linearly: outliers pull no harder than that. River's squared loss
# has no half in it, so its curvature is 2.
_HUBER: tuple[Callable[[], Loss], float] = (lambda: Huber(1.0), 1.0)
REGRESSION_LOSSES: dict[str, tuple[Callable[[], Loss], float]] = {
    "auto": _HUBER,
    "huber": _HUBER,
    "mse": (Squared, 2.0),
    "mae": (Absolute, 1.0),
}
LOGISTIC_CURVATURE = 0.25  # at most
NEGLIGIBLE = 1e-3  # a class whose logit has a smaller gradient is left alone: most of many classes are


class Head(Protocol):
    """What differs between tasks."""

    @property
    def deviation(self) -> float:
        """Standard deviation of the labels so far, for regression; 1 for classes."""

    def predict(self, row: Row) -> list[float]:
        """Return the probabilities of the classes by index, or one value; changes nothing."""

    def learn(self, row: Row, target: float, weight: float) -> None:
        """Learn one row; `target` is a class index or a label, `weight` positive."""

    def begin_anew(self) -> None:
        """Give up what was learned, but for the classes, and for how labels are distributed."""


class Settings:
    """The options that mean something to River's models, checked.

    Parameters
    ----------
    options
        Those of the configuration: ``loss``, ``optimizer`` (``sgd`` or ``adagrad``), ``learning_rate`` and
        ``weight_decay`` are used.
    task
        What is predicted.

    Raises
    ------
    LearnerOptionsInvalid
    """

    def __init__(self, options: LearnerOptions, task: Task) -> None:
        name = "sgd" if options.optimizer == "auto" else options.optimizer
        if (task, name) not in RATES:
            raise LearnerOptionsInvalid(f"optimizer: the online learner knows auto, sgd and adagrad, not {name!r}")
        if options.loss not in LOSSES[task]:
            known = ", ".join(LOSSES[task])
            raise LearnerOptionsInvalid(
                f"loss: for a {task} task the online learner knows {known}, not {options.loss!r}"
            )
        self.loss = options.loss
        self.adaptive = name == "adagrad"
        self.rate = RATES[task, name] if options.learning_rate == "auto" else float(options.learning_rate)
        self.decay = options.weight_decay

    def arguments(self, loss: Loss | None = None) -> dict[str, Any]:
        """Return the arguments of a linear model of River's."""
        optimizer: Optimizer = AdaGrad(self.rate) if self.adaptive else SGD(self.rate)
        chosen = {} if loss is None else {"loss": loss}
        return {"optimizer": optimizer, "l2": self.decay, "intercept_lr": min(self.rate, 0.1), **chosen}

    def bounded(self, weight: float, row: Row, curvature: float) -> float:
        """Return `weight`, or what is left of it so that the step ends at the example's optimum at the latest."""
        norm = 1.0 + sum([value * value for value in row.values()])
        return min(weight, 1.0 / (self.rate * curvature * norm))


class BinaryHead:
    """Logistic regression."""

    deviation = 1.0

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.begin_anew()

    def begin_anew(self) -> None:
        """See :class:`Head`."""
        self._model: Any = LogisticRegression(**self._settings.arguments())

    def predict(self, row: Row) -> list[float]:
        """See :class:`Head`."""
        probability = float(self._model.predict_proba_one(row)[True])
        return [1.0 - probability, probability]

    def learn(self, row: Row, target: float, weight: float) -> None:
        """See :class:`Head`."""
        self._model.learn_one(row, target == 1, self._settings.bounded(weight, row, LOGISTIC_CURVATURE))


class GivenGradient(RegressionLoss):
    """A loss whose gradient is the target itself: for a model that is part of a larger one."""

    def __call__(self, y_true: Any, y_pred: Any) -> Any:  # noqa: ARG002 - River's signature
        """Return nothing of use: only the gradient is asked for."""
        return 0.0

    def gradient(self, y_true: Any, y_pred: Any) -> Any:  # noqa: ARG002 - River's signature
        """Return the target."""
        return y_true


class MulticlassHead:
    """Softmax regression; a class gets its place when it is first learned.

    It is made of one of River's linear models for each class rather than of River's ``SoftmaxRegression``, which has no
    intercept, takes no weights, and is three times as slow where there are many classes.
    """

    deviation = 1.0

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._models: list[Any] = []  # Any: River's methods carry no types

    def _fresh(self) -> Any:
        """Return a model of one class that has learned nothing."""
        return LinearRegression(**self._settings.arguments(GivenGradient()))

    def begin_anew(self) -> None:
        """See :class:`Head`."""
        self._models = [self._fresh() for _ in self._models]

    def predict(self, row: Row) -> list[float]:
        """See :class:`Head`."""
        logits = [model.predict_one(row) for model in self._models]
        top = max(logits, default=0.0)
        shares = [math.exp(logit - top) for logit in logits]
        total = sum(shares)
        return [share / total for share in shares]

    def learn(self, row: Row, target: float, weight: float) -> None:
        """See :class:`Head`."""
        while len(self._models) <= target:
            self._models.append(self._fresh())
        weight = self._settings.bounded(weight, row, LOGISTIC_CURVATURE)
        for index, (model, share) in enumerate(zip(self._models, self.predict(row), strict=True)):
            gradient = share - (index == target)
            if abs(gradient) > NEGLIGIBLE:
                model.learn_one(row, gradient, weight)


class RegressionHead:
    """Linear regression to the standardised target.

    A prediction leaves the range of the labels seen by half its width at most.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._curvature = REGRESSION_LOSSES[settings.loss][1]
        self.begin_anew()
        self._labels = stats.Var(ddof=0)
        self._low = math.inf
        self._high = -math.inf

    def begin_anew(self) -> None:
        """See :class:`Head`."""
        self._model: Any = LinearRegression(**self._settings.arguments(REGRESSION_LOSSES[self._settings.loss][0]()))

    @property
    def deviation(self) -> float:
        """See :class:`Head`."""
        return math.sqrt(self._labels.get())

    def predict(self, row: Row) -> list[float]:
        """See :class:`Head`."""
        if self._low > self._high:
            return [0.0]
        margin = (self._high - self._low) / 2
        value = self._labels.mean.get() + self._model.predict_one(row) * math.sqrt(self._labels.get())
        return [min(max(value, self._low - margin), self._high + margin)]

    def learn(self, row: Row, target: float, weight: float) -> None:
        """See :class:`Head`."""
        target = min(max(target, -LIMIT), LIMIT)
        if self._labels.mean.n >= WARM:
            target = bounded(target, self._labels.mean.get(), self.deviation)
        self._labels.update(target)
        self._low, self._high = min(self._low, target), max(self._high, target)
        if self.deviation > 0:
            scaled = (target - self._labels.mean.get()) / self.deviation
            self._model.learn_one(row, scaled, self._settings.bounded(weight, row, self._curvature))


HEADS: dict[Task, Callable[[Settings], Head]] = {
    Task.BINARY: BinaryHead,
    Task.MULTICLASS: MulticlassHead,
    Task.REGRESSION: RegressionHead,
}
