"""Checks of what a learner hands out and takes back: states, published parameters, answers."""

import numpy as np

from models.checks_data import examples, with_features
from models.checks_expect import Factory, answers, expect, expect_same_predictions, expect_same_state
from models.errors import StateMismatch
from models.examples import Task
from models.learner import LearnerState
from models.registry import load_predictor

SCORED = ("evaluation", "drift", "scores", "contest")
"""Segments of a state that scores begin anew in."""


def check_predicting_is_pure(factory: Factory) -> None:
    """Check that predicting, unknown features included, changes neither the state nor the next answer."""
    learner = factory()
    learner.learn(examples(learner.task, 64))
    before, predictor = learner.state(), learner.predictor()
    features = examples(learner.task, 16, 1).features
    first = answers(predictor.predict(features)).copy()
    predictor.predict(with_features(examples(learner.task, 16, 2), "unheard_of").features)
    np.testing.assert_array_equal(answers(predictor.predict(features)), first)
    expect_same_state(before, learner.state())


def check_same_seed_same_parameters(factory: Factory) -> None:
    """Check that two learners of the same options that learn the same microbatches end up the same, bit for bit."""
    left, right = factory(), factory()
    for seed in range(4):
        left.learn(examples(left.task, 50, seed))
        right.learn(examples(right.task, 50, seed))
    expect_same_state(left.state(), right.state())


def check_restored_goes_on_exactly(factory: Factory) -> None:
    """Check that what is restored from a state continues bit for bit, evaluation and optimizer included."""
    learner = factory()
    for seed in range(4):
        learner.learn(examples(learner.task, 50, seed))
    other = factory()
    other.restore(learner.state())
    expect_same_state(learner.state(), other.state())
    for seed in range(4, 8):
        learner.learn(with_features(examples(learner.task, 50, seed), "late"))
        other.learn(with_features(examples(learner.task, 50, seed), "late"))
    expect_same_state(learner.state(), other.state())
    expect(learner.status().scores == other.status().scores, "scores differ after a restoration")


def check_forgotten_scores_leave_what_was_learned(factory: Factory) -> None:
    """Check that scores can begin anew: nothing else changes, and the very next row counts, for all is learned."""
    learner, other = factory(), factory()
    for seed in range(3):
        for each in (learner, other):
            each.learn(examples(learner.task, 50, seed))
    other.forget_scores()
    expect_same_predictions(learner.predictor(), other.predictor(), examples(learner.task, 16, 9).features)
    expect(not other.status().scores["stream"]["count"], "scores were not forgotten")
    for each in (learner, other):
        each.learn(examples(learner.task, 50, 4))
    expect(other.status().scores["stream"]["scored"] == 50, "the first rows were not scored, as if nothing were known")
    kept, state = learner.state().arrays, other.state().arrays
    # A challenger's segments are called as its learner calls them, with its name behind.
    scored = {name for name in kept if name.partition("/")[0].partition("@")[0] in SCORED}
    for name in kept.keys() - scored:
        np.testing.assert_array_equal(state[name], kept[name], err_msg=name)


def check_state_is_a_copy(factory: Factory) -> None:
    """Check that later updates do not change a state that was handed out, and neither does who restores it."""
    learner, other = factory(), factory()
    learner.learn(examples(learner.task, 64))
    state = learner.state()
    kept = {name: array.copy() for name, array in state.arrays.items()}
    other.restore(state)
    for seed in range(1, 4):
        learner.learn(examples(learner.task, 64, seed))
        other.learn(examples(learner.task, 64, seed))
    for name, array in kept.items():
        np.testing.assert_array_equal(state.arrays[name], array, err_msg=name)
        expect(state.arrays[name].flags.c_contiguous, f"{name} is not contiguous")


def check_foreign_state_is_refused(factory: Factory) -> None:
    """Check that the state of another learner or task raises StateMismatch and leaves the learner as it was."""
    learner = factory()
    learner.learn(examples(learner.task, 20))
    before = learner.state()
    other_task = Task.BINARY if learner.task is Task.REGRESSION else Task.REGRESSION
    for wrong in ({"learner": "another"}, {"task": other_task.value}, {"schema": 999}):
        try:
            learner.restore(LearnerState({**before.meta, **wrong}, before.arrays))
        except StateMismatch:
            expect_same_state(before, learner.state())
        else:
            raise AssertionError(f"a state with {wrong} was restored")


def check_published_is_predictor(factory: Factory) -> None:
    """Check that what a serving process makes of the published arrays answers as the learner's own predictor does."""
    learner = factory()
    for seed in range(3):
        learner.learn(examples(learner.task, 64, seed))
    published = learner.published(flush=True)
    arrays = {name: array.copy() for name, array in published.arrays.items()}
    predictor = load_predictor(published.spec, arrays)
    expect_same_predictions(predictor, learner.predictor(), examples(learner.task, 20, 9).features)


def check_published_follows_in_place(factory: Factory) -> None:
    """Check that a predictor over arrays that are overwritten with what changed answers as one made anew."""
    learner = factory()
    learner.learn(examples(learner.task, 64))
    first = learner.published(flush=True)
    mapped = {name: array.copy() for name, array in first.arrays.items()}
    predictor = load_predictor(first.spec, mapped)
    features = examples(learner.task, 20, 9).features
    for seed in range(1, 4):
        learner.learn(examples(learner.task, 64, seed))
        published = learner.published(flush=True)
        if published.spec is not first.spec:
            return
        for name, array in published.arrays.items():
            ranges = [(0, array.size)] if published.changed is None else published.changed.get(name, ())
            for start, stop in ranges:
                mapped[name].reshape(-1)[start:stop] = array.reshape(-1)[start:stop]
        expect_same_predictions(predictor, learner.predictor(), features)


def check_published_spec_is_stable(factory: Factory) -> None:
    """Check that the spec is the very same object while names, shapes and dtypes are: publishing need not compare."""
    learner = factory()
    for seed in range(3):
        learner.learn(examples(learner.task, 64, seed))
    first = learner.published(flush=True)
    expect(learner.published().spec is first.spec, "a new spec though nothing was learned")
    learner.learn(examples(learner.task, 64, 1))
    second = learner.published(flush=True)
    layouts = [{name: (a.shape, a.dtype) for name, a in each.arrays.items()} for each in (first, second)]
    expect(second.spec is first.spec or second.spec != first.spec, "an equal spec, but another object")
    expect(second.spec is not first.spec or layouts[0] == layouts[1], "the same spec for another layout")
    expect(all(array.flags.c_contiguous for array in second.arrays.values()), "an array is not contiguous")
