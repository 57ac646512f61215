"""Checks of what a learner makes of effort: see :mod:`models.effort`."""

from models.checks_data import examples
from models.checks_expect import Factory, expect, expect_same_state
from models.effort import FULL, LEVELS


def check_efforts_are_followed_exactly(factory: Factory) -> None:
    """Check that the same microbatches with the same efforts end up the same, bit for bit, after a restoration too."""
    learner, other = factory(), factory()
    efforts = [FULL, *LEVELS, *LEVELS[::-1]]
    for seed, effort in enumerate(efforts):
        learner.learn(examples(learner.task, 150, seed), effort)
        other.learn(examples(other.task, 150, seed), effort)
        if seed == len(LEVELS):  # at the lowest
            state = other.state()
            other = factory()
            other.restore(state)
    expect_same_state(learner.state(), other.state())


def check_each_effort_takes_each_row_once(factory: Factory) -> None:
    """Check that whatever the effort, each row is taken in, and scored, once."""
    learner, other = factory(), factory()
    for seed, effort in enumerate((FULL, *LEVELS)):
        report = learner.learn(examples(learner.task, 70, seed), effort)
        other.learn(examples(learner.task, 70, seed))
        expect(report.examples == 70, f"of 70 rows {report.examples} were taken in at effort {effort.level}")
    expected = other.status().scores["stream"]
    found = learner.status().scores["stream"]
    for count in ("count", "scored"):
        expect(
            found[count] == expected[count], f"{found[count]} rows are {count} at less effort, not {expected[count]}"
        )
