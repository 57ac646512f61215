"""What came out of a comparison: the learners, the best first, as people and programs are told."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.examples import Task
from service.comparing.learner_names import Entrant
from service.comparing.outcome import Outcome
from service.measuring.measures import MEASURES, Measure


@dataclass(frozen=True, slots=True)
class Result:
    """One learner, and how it did."""

    entrant: Entrant
    outcome: Outcome

    @property
    def events_per_second(self) -> float:
        """Rows learned in a second, each of them predicted as well."""
        return self.outcome.rows / self.outcome.learning_seconds if self.outcome.learning_seconds > 0 else 0.0

    def score(self, measure: Measure) -> float | None:
        """Return a score; None where there is none. Who answers one class as certain has no probabilities to judge."""
        if self.entrant.kind == "no-change" and measure.key in ("log_loss", "roc_auc"):
            return None
        return self.outcome.scores.get(measure.key)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A finished comparison.

    Attributes
    ----------
    stream
        Name of the file.
    label
        Of its columns, the one that was predicted; None where the rows were events already.
    task, rows, delay, seed
        What was done.
    left_out
        Reason → rows that were not used, ``unlabelled`` among them.
    results
        The best first; after them those that did not get through the stream, for their scores are over other rows, by
        how far they came; those that could not be tested last.
    """

    stream: str
    label: str | None
    task: Task
    rows: int
    delay: int
    seed: int
    left_out: Mapping[str, int]
    results: Sequence[Result]

    @property
    def measures(self) -> Sequence[Measure]:
        """The scores of the task, the most important first."""
        return MEASURES[self.task]

    @property
    def ranked(self) -> list[Result]:
        """Results that have a score."""
        return [result for result in self.results if result.score(self.measures[0]) is not None]

    def whole(self, result: Result) -> bool:
        """Return whether a learner got through the stream."""
        return result.outcome.rows == self.rows

    def as_json(self) -> dict[str, Any]:
        """Return what the contract promises, and more."""
        return {
            "stream": self.stream,
            "label": self.label,
            "task": self.task.value,
            "rows": self.rows,
            "delay": self.delay,
            "seed": self.seed,
            "left_out": dict(self.left_out),
            "results": [self._result(result) for result in self.results],
        }

    def _result(self, result: Result) -> dict[str, Any]:
        outcome = result.outcome
        if outcome.error:
            return {"learner": result.entrant.name, "way": result.entrant.way, "error": outcome.error}
        return {
            "learner": result.entrant.name,
            "way": result.entrant.way,
            "microbatch": result.entrant.size or self.delay,
            "rows": outcome.rows,
            "partial": not self.whole(result),
            "scored": int(outcome.scores.get("scored", 0)),
            **{measure.key: result.score(measure) for measure in self.measures},
            "events_per_second": round(result.events_per_second, 1),
            "seconds": round(outcome.seconds, 3),
            "memory_bytes": outcome.memory_bytes,
            "curve": outcome.curve,
        }


def rank(results: Sequence[Result], task: Task) -> list[Result]:
    """Return results in the order of :attr:`Comparison.results`."""
    measure = MEASURES[task][0]

    def key(result: Result) -> tuple[bool, int, float]:
        score = result.score(measure)
        worse = math.inf if score is None or math.isnan(score) else (-score if measure.higher else score)
        return score is None, -result.outcome.rows, worse

    return sorted(results, key=key)
