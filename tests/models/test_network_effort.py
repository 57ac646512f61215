"""What a network makes of an effort: larger steps, no replay, and one copy that learns while the others rest."""

import numpy as np
import pytest
import torch

from models.checks_data import examples
from models.effort import LEVELS
from models.examples import Task
from models.learner import LearnerOptions
from models.network_expert import NetworkExpert
from models.torch_learner import TorchLearner

LOW, FULL = LEVELS[3], LEVELS[0]


def expert_of(learner: TorchLearner) -> NetworkExpert:
    """Return the network that a learner has."""
    assert isinstance(learner.expert, NetworkExpert)
    return learner.expert


def learner_of(kind: str) -> TorchLearner:
    """Return a learner with copies at several rates that has learned at full effort."""
    learner = TorchLearner(LearnerOptions(kind=kind, device="cpu", step_size=16), Task.BINARY)
    for seed in range(3):
        learner.learn(examples(Task.BINARY, 64, seed))
    return learner


@pytest.mark.parametrize("kind", ["mlp", "linear"])
def test_one_copy_learns_at_a_low_effort(kind: str) -> None:
    """A backlog would be learned at the cost of three networks, or a copy that rests would drift by its momentum."""
    learner = learner_of(kind)
    expert = expert_of(learner)
    before = expert.parameters.block.clone()
    learner.learn(examples(Task.BINARY, 64, 3), LOW)
    alone = expert.parameters.alone
    assert alone is not None
    changed = (expert.parameters.block != before).any(2).any(0)
    assert [copy for copy, has in enumerate(changed.tolist()) if has] == [alone]


@pytest.mark.parametrize("kind", ["mlp", "linear"])
def test_what_is_published_answers_as_the_copy_that_learns(kind: str) -> None:
    """Servers would mix in copies that have rested for the length of a backlog."""
    learner = learner_of(kind)
    learner.learn(examples(Task.BINARY, 64, 3), LOW)
    asked = examples(Task.BINARY, 16, 4).features
    served, own = learner.predictor().predict(asked), learner.model.predict(asked)
    assert served.probabilities is not None
    assert own.probabilities is not None
    np.testing.assert_allclose(served.probabilities, own.probabilities, atol=1e-6)


@pytest.mark.parametrize("kind", ["mlp", "linear"])
def test_all_copies_go_on_from_what_was_learned_meanwhile(kind: str) -> None:
    """After a backlog, copies would answer with what they knew before it."""
    learner = learner_of(kind)
    expert = expert_of(learner)
    learner.learn(examples(Task.BINARY, 64, 3), LOW)
    alone = expert.parameters.alone
    assert alone is not None
    known = expert.parameters.block[:, alone].clone()
    expert.parameters.wake()
    for copy in expert.parameters.block.unbind(1):
        torch.testing.assert_close(copy, known, rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["mlp", "linear"])
def test_a_restored_learner_knows_who_rests(kind: str) -> None:
    """After a restart in a backlog, the journal's microbatches would be learned by other copies, to other bits."""
    left, right = learner_of(kind), learner_of(kind)
    left.learn(examples(Task.BINARY, 64, 3), LOW)
    right.restore(left.state())
    for seed, effort in ((4, LOW), (5, FULL), (6, LOW)):
        left.learn(examples(Task.BINARY, 64, seed), effort)
        right.learn(examples(Task.BINARY, 64, seed), effort)
    found, expected = right.state().arrays, left.state().arrays
    assert all(np.array_equal(found[name], expected[name], equal_nan=True) for name in expected)
