"""The one measure: a block is answered, its answers are scored, its labels are learned. The same code for all.

With blocks of N every label is learned N events late at most, as it is with microbatches of N. Answers to the first
block are given before any label was learned; they are no predictions, and are not scored, whoever gives them.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.learning.streams import Stream
from benchmarks.peers.competitor import Competitor
from models.examples import Label, Task
from models.learner import Predictions

FLOOR = 1e-6
"""Log loss counts a smaller probability as this one: one surprise costs 13.8 at most."""

BINS = 15
"""Of confidence, for the expected calibration error (Guo et al., On Calibration of Modern Neural Networks, 2017)."""

WORST = 1e290
"""The largest error that counts, small enough that millions of them have a mean."""

BEFORE, AFTER, WITHIN = 2_000, 500, 0.02
"""Events over which the score before a drift and the running score after it are taken, and how near is back."""


class TimeIsUp(Exception):
    """A stream was not learned within the time allowed; the message says how far it came."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one learner did with one stream.

    Attributes
    ----------
    scores
        Name → value: ``accuracy``, ``log_loss``, ``calibration_error`` (binary streams), ``recovery`` (streams with
        abrupt drifts), ``first_visit`` and ``return_visit`` (where concepts return), or ``mae`` for regression; and
        ``scored``, how many events they are over.
    seconds
        Of processor time, for answering and learning alone.
    """

    scores: dict[str, float]
    seconds: float


class Scores:
    """Takes in answers block by block.

    Parameters
    ----------
    stream
        Whose task decides what is scored.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._passed = 0
        self._hits: list[NDArray[np.float64]] = []
        self._true: list[NDArray[np.float64]] = []
        self._confidence: list[NDArray[np.float64]] = []

    def leave_out(self, rows: int) -> None:
        """Pass rows at the beginning that were answered before any label was learned."""
        self._passed += rows

    def add(self, answers: Predictions, labels: Sequence[Label]) -> None:
        """Score a block whose labels nobody has learned yet."""
        if answers.values is not None:
            # What is no number is as wrong as can be: it must not look better by being left out.
            errors = np.abs(answers.values - np.asarray(labels, np.float64))
            self._hits.append(np.nan_to_num(errors, nan=WORST, posinf=WORST).clip(max=WORST))
            return
        assert answers.probabilities is not None, "answers are values or probabilities"
        places = {(type(label), label): place for place, label in enumerate(answers.classes)}
        truth = np.array([places.get((type(label), label), -1) for label in labels])
        # A column for "no class": what a class has that nobody knew, and what wins where there is no answer.
        padded = np.pad(np.nan_to_num(answers.probabilities.astype(np.float64)), ((0, 0), (0, 1)))
        best = padded[:, :-1].max(axis=1, initial=0.0)
        chosen = np.where(best > 0, padded.argmax(axis=1), -2)
        self._hits.append((chosen == truth).astype(np.float64))
        self._true.append(padded[np.arange(len(truth)), truth])
        self._confidence.append(best)

    def report(self) -> dict[str, float]:
        """Return the scores over everything that was added."""
        hits = np.concatenate([*self._hits, np.zeros(0)])
        scores = {"scored": float(len(hits))}
        if not len(hits):
            return scores
        if self._stream.task is Task.REGRESSION:
            return {**scores, "mae": float(hits.mean())}
        true, confidence = np.concatenate(self._true), np.concatenate(self._confidence)
        scores["accuracy"] = float(hits.mean())
        scores["log_loss"] = float(-np.log(np.clip(true, FLOOR, 1.0)).mean())
        if self._stream.task is Task.BINARY:
            scores["calibration_error"] = calibration_error(confidence, hits)
        drifts = [drift - self._passed for drift in self._stream.drifts]
        if drifts:
            scores["recovery"] = recovery(hits, drifts)
        met = visits(hits, drifts, self._stream.concepts)
        if met is not None:
            scores |= {"first_visit": met[0], "return_visit": met[1]}
        return scores


def calibration_error(confidence: NDArray[np.float64], hits: NDArray[np.float64]) -> float:
    """Return by how much confidence and accuracy differ on the mean over bins of confidence, weighted by their rows.

    Parameters
    ----------
    confidence
        Probability of the class that was answered; shape (rows,).
    hits
        1 where it was right; shape (rows,).
    """
    bins = np.clip((confidence * BINS).astype(np.int64), 0, BINS - 1)
    gaps = np.bincount(bins, confidence - hits, minlength=BINS)
    return float(np.abs(gaps).sum() / len(hits))


def recovery(hits: NDArray[np.float64], drifts: Sequence[int]) -> float:
    """Return how many events pass after a drift until the score is back, on the mean over the drifts.

    Back is the first event from which on the next 500 are answered within two points of the 2,000 before the drift.
    Where that never comes, the events up to the next drift count: the true number is larger.
    """
    ends = [*drifts[1:], len(hits)]
    goals = [hits[max(drift - BEFORE, 0) : drift].mean() for drift in drifts]
    return float(np.mean([_until(hits[drift:end], goal) for drift, end, goal in zip(drifts, ends, goals, strict=True)]))


def visits(hits: NDArray[np.float64], drifts: Sequence[int], concepts: Sequence[int]) -> tuple[float, float] | None:
    """Return how soon a concept is known that is met first, and that returns: what was forgotten meanwhile.

    Known is one from the first event on from which the next 500 are answered within two points of the last 2,000 of its
    first visit. A learner that remembers is sooner when it returns; one that what came between is in the way of, later.

    Parameters
    ----------
    hits, drifts
        As for :func:`recovery`.
    concepts
        A number for each stretch between drifts; one that is there twice is a concept that returns.

    Returns
    -------
    tuple or None
        Events, on the mean over the concepts that return: at their first visits, and at all later ones. None where
        there is none.
    """
    first: dict[int, tuple[float, int]] = {}
    met, again = [], []
    for concept, start, end in zip(concepts, [0, *drifts], [*drifts, len(hits)], strict=False):
        stretch = hits[start:end]
        if concept in first:
            goal, taken = first[concept]
            met.append(taken)
            again.append(_until(stretch, goal))
        else:
            goal = stretch[-BEFORE:].mean()
            first[concept] = goal, _until(stretch, goal)
    return (float(np.mean(met)), float(np.mean(again))) if again else None


def _until(hits: NDArray[np.float64], goal: float) -> int:
    """Return after how many events the score of the next 500 is near a goal; all events where that never comes."""
    sums = np.concatenate([[0.0], np.cumsum(hits)])
    ahead = (sums[AFTER:] - sums[:-AFTER]) / AFTER
    back = np.flatnonzero(ahead >= goal - WITHIN)
    return int(back[0]) if len(back) else len(hits)


def prequential(competitor: Competitor, stream: Stream, delay: int, limit: float = math.inf) -> Measured:
    """Learn a stream in blocks of `delay` rows, each answered before any of its labels is learned.

    Parameters
    ----------
    limit
        Seconds of processor time that it may take.

    Raises
    ------
    TimeIsUp
    """
    scores = Scores(stream)
    seconds = 0.0
    rows = len(stream.examples)
    for start in range(0, rows, delay):
        block = stream.examples.slice(start, start + delay)
        at = time.process_time()
        answers = competitor.predict(block.features)
        answered = time.process_time()
        if start:
            scores.add(answers, block.labels)
        else:
            scores.leave_out(len(block))
        learning = time.process_time()
        competitor.learn(block)
        seconds += time.process_time() - learning
        if not competitor.answers_while_learning:
            seconds += answered - at
        if seconds > limit and start + delay < rows:
            raise TimeIsUp(f"{start + delay:,} of {rows:,} rows in {limit:,.0f} s")
    return Measured(scores.report(), seconds)
