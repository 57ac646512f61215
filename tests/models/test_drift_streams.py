"""Learners on streams that drift: it is noticed where it happens, and what is configured to follow brings them back."""

from itertools import pairwise

import numpy as np
import pytest

from models.drift_options import FORGETFUL, DriftOptions, Reaction
from models.examples import Examples, Task
from models.learner import Learner, LearnerOptions, LearnerState
from models.registry import create_learner, load_predictor
from models.torch_learner import TorchLearner
from tests.support.drifting import ROWS, WIDTH, Drift, cut, drifting, errors, rows_to_be_back

CONCEPT = 3000  # rows
LATE = 1200  # rows after a drift within which it must have been noticed


def learner(kind: str, task: Task, react: Reaction = "none", **drift: str) -> Learner:
    """Return a learner that watches for drift."""
    options = DriftOptions(react=react, **drift)  # type: ignore[arg-type] # tests know them
    return create_learner(LearnerOptions(kind=kind, device="cpu"), task, None, options)


def noticed(made: Learner, examples: Examples) -> list[int]:
    """Return after how many rows a learner reported drift."""
    reports = [made.learn(given) for given in cut(examples)]
    return [(place + 1) * ROWS for place, report in enumerate(reports) if report.drift]


def expect_same(left: LearnerState, right: LearnerState) -> None:
    """Check that two states are the same, bit for bit."""
    assert left.meta == right.meta
    assert left.arrays.keys() == right.arrays.keys()
    for name, array in left.arrays.items():
        np.testing.assert_array_equal(array, right.arrays[name], err_msg=name)


@pytest.mark.parametrize("kind", ["mlp", "online"])
@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("drift", ["abrupt", "gradual", "recurring", "features"])
def test_each_kind_of_drift_is_noticed(drift: Drift, task: Task, kind: str) -> None:
    """An operator would not hear of it, and nothing would follow; or would hear of drift where there is none."""
    examples = drifting(drift, task, CONCEPT)
    found = noticed(learner(kind, task), examples)
    early = WIDTH if drift == "gradual" else 0
    for drifted in range(CONCEPT, len(examples), CONCEPT):
        assert any(drifted - early < at < drifted + LATE for at in found), (drifted, found)
    assert all(at > CONCEPT - early for at in found)


@pytest.mark.parametrize("task", list(Task))
def test_page_hinkley_notices_as_well(task: Task) -> None:
    """The other detector would be a setting without an effect."""
    found = noticed(learner("mlp", task, detector="page-hinkley"), drifting("abrupt", task, CONCEPT))
    assert found
    assert all(CONCEPT < at < CONCEPT + LATE for at in found[:1])


@pytest.mark.parametrize("kind", ["linear", "mlp", "online"])
@pytest.mark.parametrize("task", list(Task))
def test_what_does_not_drift_is_left_alone(task: Task, kind: str) -> None:
    """A learner that only learns would be reported, and begin anew for nothing."""
    made = learner(kind, task, "reset")
    assert noticed(made, drifting("none", task, CONCEPT)) == []
    assert made.status().drift == 0


@pytest.mark.parametrize("react", ["reset", "forget", "background"])
@pytest.mark.parametrize("task", [Task.BINARY, Task.REGRESSION])
def test_what_follows_makes_up_for_the_drift(task: Task, react: Reaction) -> None:
    """A reaction would be worse than none on the very streams that it is for."""
    examples = drifting("abrupt", task, CONCEPT)
    alone, reacting = (errors(learner("mlp", task, chosen), examples)[CONCEPT:] for chosen in ("none", react))
    assert reacting.mean() < 0.8 * alone.mean()


@pytest.mark.parametrize("react", ["reset", "background"])
@pytest.mark.parametrize("task", [Task.BINARY, Task.REGRESSION])
def test_an_old_concept_that_returns_is_learned_again(task: Task, react: Reaction) -> None:
    """What was forgotten would stay so: the way back would take longer each time."""
    found = errors(learner("mlp", task, react), drifting("recurring", task, CONCEPT))
    for drifted in range(CONCEPT, len(found), CONCEPT):
        back = rows_to_be_back(found, drifted, drifted + CONCEPT)
        assert back is not None
        assert back <= CONCEPT // 2


@pytest.mark.parametrize(
    ("kind", "react"),
    [
        *((kind, react) for kind in ("linear", "mlp", "online") for react in ("reset", "forget", "background")),
        ("auto", "background"),
    ],
)
def test_a_restart_amid_a_reaction_goes_on_exactly(kind: str, react: Reaction) -> None:
    """After a crash the same events would give other parameters under the same version."""
    microbatches = list(cut(drifting("abrupt", Task.BINARY, 1500)))
    left = learner(kind, Task.BINARY, react)
    drift = next(place for place, given in enumerate(microbatches) if left.learn(given).drift)
    for given in microbatches[drift + 1 : drift + 3]:
        left.learn(given)
    if react == "background" and isinstance(left, TorchLearner):
        assert "duel" in left.state().meta["expert"]["beside"]
    right = learner(kind, Task.BINARY, react)
    right.restore(left.state())
    expect_same(left.state(), right.state())
    for given in microbatches[drift + 3 :]:
        left.learn(given)
        right.learn(given)
    expect_same(left.state(), right.state())


@pytest.mark.parametrize("react", ["reset", "background"])
def test_whoever_serves_follows_to_the_successor(react: Reaction) -> None:
    """Servers would go on with parameters of which half are the old expert's."""
    made = learner("mlp", Task.BINARY, react)
    examples = drifting("abrupt", Task.BINARY, 1500)
    published = made.published()
    mapped = {name: array.copy() for name, array in published.arrays.items()}
    for given in cut(examples):
        made.learn(given)
        before, published = published, made.published()
        if published.spec is not before.spec:
            mapped = {name: array.copy() for name, array in published.arrays.items()}
        for name, array in published.arrays.items():
            ranges = [(0, array.size)] if published.changed is None else published.changed.get(name, ())
            for start, stop in ranges:
                mapped[name].reshape(-1)[start:stop] = array.reshape(-1)[start:stop]
    assert made.status().drift >= 1
    features = examples.slice(0, 20).features
    served = load_predictor(published.spec, mapped).predict(features)
    assert served.probabilities is not None
    np.testing.assert_array_equal(served.probabilities, made.try_out(features).predictions.probabilities)


def test_a_reaction_may_be_chosen_later() -> None:
    """A change of the settings would end the trainer with an error, or give up what was learned."""
    reactions: list[Reaction] = ["background", "none", "background", "reset", "forget"]
    learners = [learner("mlp", Task.BINARY, react) for react in reactions]
    examples = drifting("abrupt", Task.BINARY, 1000)
    for given in cut(examples.slice(0, 1600)):
        learners[0].learn(given)
    for before, after in pairwise(learners):
        after.restore(before.state())
        features = examples.slice(0, 20).features
        answers = [made.try_out(features).predictions.probabilities for made in (before, after)]
        assert answers[0] is not None
        assert answers[1] is not None
        np.testing.assert_array_equal(answers[0], answers[1])


def test_forgetting_ends() -> None:
    """Every row would weigh more for ever after the first drift."""
    made = learner("mlp", Task.BINARY, "forget")
    assert isinstance(made, TorchLearner)
    examples = drifting("abrupt", Task.BINARY, FORGETFUL + 500)
    assert noticed(made, examples.slice(0, FORGETFUL + 1000))
    assert made.counters.heavier > 0
    for given in cut(examples.slice(FORGETFUL + 1000, len(examples))):
        made.learn(given)
    assert made.counters.heavier == 0
