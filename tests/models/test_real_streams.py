"""On real streams the learner's defaults are worth having, at the label delay of a microbatch."""

import numpy as np
import pytest

from models.examples import Examples, FeatureKey, Features, Kind, Label, Task
from models.learner import LearnerOptions
from models.torch_learner import TorchLearner
from tests.support.streams import rows


def examples(name: str, task: Task) -> Examples:
    """Return a stream's rows."""
    read = rows(name)
    names = [[key for key in read[0][0] if isinstance(read[0][0][key], kind)] for kind in (float, str)]
    values = np.array([[features[key] for key in names[0]] for features, _ in read], np.float64)
    columns = {key: [str(features[key]) for features, _ in read] for key in names[1]}
    keys = tuple(FeatureKey(key, Kind.NUMBER) for key in names[0])
    labels: list[Label] = [float(label) if task is Task.REGRESSION else label for _, label in read]
    features = Features(len(read), keys, values.reshape(len(read), -1), columns)
    return Examples(features, labels, np.ones(len(read), np.float32), np.full(len(read), np.nan))


@pytest.mark.parametrize(
    ("name", "task", "score", "least"),
    [
        ("elec2", Task.BINARY, "accuracy", 0.785),
        ("weather_noaa", Task.BINARY, "accuracy", 0.79),
        ("sms_spam", Task.BINARY, "accuracy", 0.95),
        ("outdoor", Task.MULTICLASS, "accuracy", 0.4),
        ("fried_synth", Task.REGRESSION, "r2", 0.92),
    ],
)
def test_defaults_learn_real_streams(name: str, task: Task, score: str, least: float) -> None:
    """Users would have to tune what is meant to work as it comes."""
    given = examples(name, task)
    made = TorchLearner(LearnerOptions(kind="mlp", device="cpu"), task)
    for start in range(0, len(given), 64):
        made.learn(given.slice(start, start + 64))
    assert made.status().scores["stream"][score] >= least
