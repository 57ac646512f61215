"""Predictions come from the published parameters, else from a checkpoint's, else from none; each says which."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from models.examples import Features, Task
from models.learner import LearnerOptions
from service.config import Settings
from service.errors import PublicationMissing
from service.predictor import ServingModel
from service.wiring import model_paths
from tests.support.serving import (
    LINEAR,
    ONLINE,
    checkpoint,
    examples_of,
    header_of,
    publish,
    serving_settings,
    taught,
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return serving_settings(tmp_path)


def serving(settings: Settings) -> ServingModel:
    paths = model_paths(settings, "default")
    model = ServingModel(paths.publication, paths.checkpoints, "microbatch")
    model.refresh()
    return model


@pytest.mark.parametrize("options", [LINEAR, ONLINE, LearnerOptions(kind="mlp", device="cpu")], ids=lambda o: o.kind)
@pytest.mark.parametrize("task", list(Task))
def test_what_is_served_is_what_was_learned(settings: Settings, task: Task, options: LearnerOptions) -> None:
    """Without it, clients get predictions that the learner would never give."""
    learner = taught(task, options)
    asked = examples_of(task, rows=20, seed=9).features
    publish(settings, learner, 4)
    served, found = serving(settings).predict(asked)
    expected = learner.predictor().predict(asked)
    assert (served.version, served.learner, served.origin) == (4, learner.name, "publication")
    assert found.classes == expected.classes
    for one, other in ((found.probabilities, expected.probabilities), (found.values, expected.values)):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_version_0_answers_before_anything_was_learned(settings: Settings) -> None:
    """Without it, a new service is an error page until its first label."""
    model = serving(settings)
    served, found = model.predict(examples_of(Task.BINARY, rows=3).features)
    assert model.attached
    assert (served.version, served.origin) == (0, "nothing")
    assert found.probabilities is not None
    assert found.probabilities.shape == (3, 0)
    assert model.served() == served


@pytest.mark.parametrize("options", [LINEAR, ONLINE], ids=lambda options: options.kind)
def test_a_checkpoint_stands_in_for_a_publication(settings: Settings, options: LearnerOptions) -> None:
    """Without it, a machine that starts anew predicts nothing until its trainer is back."""
    learner = taught(options=options)
    checkpoint(settings, learner, 7, options)
    asked = examples_of(Task.BINARY, rows=20, seed=9).features
    served, found = serving(settings).predict(asked)
    expected = learner.predictor().predict(asked).probabilities
    assert (served.version, served.learner, served.origin) == (7, learner.name, "checkpoint")
    assert found.probabilities is not None
    assert expected is not None
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)


def test_a_newer_checkpoint_is_taken_and_a_publication_wins(settings: Settings) -> None:
    """Without it, a server that began without a trainer serves old parameters for ever."""
    checkpoint(settings, taught(), 7, LINEAR)
    model = serving(settings)
    checkpoint(settings, taught(seed=1), 8, LINEAR)
    model.refresh()
    served = model.served()
    assert served is not None
    assert served.version == 8
    publish(settings, taught(seed=2), 9)
    model.refresh()
    served = model.served()
    assert served is not None
    assert (served.version, served.origin) == (9, "publication")


def test_a_checkpoint_that_cannot_be_read_is_no_version_0(settings: Settings) -> None:
    """Without it, a damaged disk makes the service say that nothing was ever learned."""
    checkpoint(settings, taught(), 7, LINEAR)
    for path in model_paths(settings, "default").checkpoints.rglob("segments/*/*"):
        path.write_bytes(b"damaged")
    model = serving(settings)
    assert not model.attached
    assert model.served() is None
    with pytest.raises(PublicationMissing, match="checkpoint"):
        model.predict(Features.empty(1))
    checkpoint(settings, taught(), 8, LINEAR)
    model.refresh()
    assert model.attached


def test_a_new_trainer_is_followed(settings: Settings) -> None:
    """Without it, a server answers from a dead trainer's parameters after a restart."""
    publish(settings, taught(), 4, epoch=1)
    model = serving(settings)
    publish(settings, taught(seed=5), 5, epoch=2)
    served, _ = model.predict(examples_of(Task.BINARY, rows=1).features)
    assert served.version == 5


def test_age_is_since_publication(settings: Settings) -> None:
    """Without it, nobody sees that a dead trainer's parameters are being served."""
    publish(settings, taught(), 4, at=time.time() - 30)
    served = serving(settings).served()
    assert served is not None
    assert served.age() == pytest.approx(30, abs=5)


def test_threads_get_whole_versions_while_a_trainer_publishes(settings: Settings) -> None:
    """Without it, a prediction mixes two versions, or fails while the trainer is busy."""
    asked = examples_of(Task.BINARY, rows=4, seed=9).features
    learner = taught()
    expected: dict[int, np.ndarray] = {}
    publisher = publish(settings, learner, 0)
    model = serving(settings)
    found: list[tuple[int, np.ndarray]] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            served, predictions = model.predict(asked)
            assert predictions.probabilities is not None
            found.append((served.version, predictions.probabilities.copy()))

    def remember(version: int) -> None:
        probabilities = learner.predictor().predict(asked).probabilities
        assert probabilities is not None
        expected[version] = probabilities.copy()

    remember(0)
    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    for version in range(1, 60):
        learner.learn(examples_of(Task.BINARY, seed=100 + version))
        publisher.publish(learner.published(), header_of(learner, version))
        remember(version)
    stop.set()
    for asker in askers:
        asker.join()
    assert len({version for version, _ in found}) > 1
    for version, probabilities in found:
        np.testing.assert_allclose(probabilities, expected[version], atol=1e-5)
