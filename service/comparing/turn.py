"""One learner's turn, in a process of its own: made, tested over the whole stream, and told about all the way."""

import time
from collections.abc import Callable, Iterator

from models.baselines import BASELINES
from models.delayed import Answering, DelayedTest
from models.learner import LearnerOptions
from models.registry import create_learner, prepare
from service.comparing.outcome import CURVES, POINTS, Outcome, Step, Turn
from service.measuring.process_memory import growth, memory_held
from service.measuring.stream import blocks

_LOOK_EVERY = 0.2  # seconds between two reports of progress


def run_turn(turn: Turn, notice: Callable[[Step], None]) -> Outcome:
    """Test a learner, tell steps, and return the outcome; the main function of its process.

    Raises
    ------
    ModelError, ServiceError
        See :func:`take_turn`.
    """
    outcome = Outcome()
    prepare(turn.threads)
    for step in take_turn(turn, outcome):
        notice(step)
    return outcome


def take_turn(turn: Turn, outcome: Outcome) -> Iterator[Step]:
    """Test a learner, fill in the outcome, and yield a few times a second how far it has come.

    Raises
    ------
    ModelError, ServiceError
        There can be no such learner, or it cannot learn this stream.
    """
    began, before = time.perf_counter(), memory_held()
    apart = max(1, -(-turn.rows // POINTS))
    tested = DelayedTest(_create(turn), turn.task, turn.delay, turn.entrant.size, window=apart)
    looked, noted = began, 0
    for block in blocks(turn.stream, turn.delay):
        tested.take(block)
        now = time.perf_counter()
        over = turn.seconds is not None and now - began > turn.seconds
        if tested.rows // apart > noted // apart or tested.rows == turn.rows or over:
            noted = tested.rows
            _note(tested, outcome)
        if now - looked > _LOOK_EVERY:
            looked = now
            yield Step(tested.rows, tested.rows / max(tested.seconds, 1e-9), outcome.scores)
        if over:
            break
    outcome.seconds = time.perf_counter() - began
    outcome.learning_seconds = tested.seconds
    outcome.memory_bytes = growth(before, memory_held())


def _create(turn: Turn) -> Answering:
    """Return the learner that a turn is for."""
    if turn.entrant.way == "baseline":
        return BASELINES[turn.entrant.kind][turn.task]()
    return create_learner(LearnerOptions(turn.entrant.kind, seed=turn.seed, key=turn.entrant.key), turn.task)


def _note(tested: DelayedTest, outcome: Outcome) -> None:
    """Keep the scores of this point of the stream."""
    scores = tested.scores()
    outcome.rows, outcome.scores = tested.rows, scores["stream"]
    before = len(outcome.curve["rows"])
    outcome.curve["rows"].append(tested.rows)
    for name in CURVES:
        for scope, column in (("stream", name), ("window", f"recent_{name}")):
            if name in scores[scope]:
                # Nothing is scored before the first label is known.
                outcome.curve.setdefault(column, [None] * before).append(scores[scope][name])
