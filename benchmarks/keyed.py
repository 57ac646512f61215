"""``python -m benchmarks.keyed``: one small model for each key beside a shared one, in error and in processor time.

Two streams. One is made: ten thousand keys, each with weights of its own, drawn for each row at random. The other is
bikes_toulouse with the station as the key, where it lies beside the project; there the shared model is also given the
station as a token, which has no statistics of the target as a category has. Learners take turns block by block, so
that whatever else the machine does, it does to all; each block is predicted before any of its labels is known, and what
is timed is learning alone, in processor time of one thread.
"""

import argparse
import sys
import time
from dataclasses import dataclass, replace

import numpy as np
import torch

from benchmarks.learning.streams import FOLDER, sources
from benchmarks.report import Result, add_results_option, finish, ratio
from models.delayed import DelayedTest
from models.examples import Examples, FeatureKey, Features, Kind, Label, Task
from models.learner import LearnerOptions
from models.registry import create_learner

NUMBERS = 10
NOISE = 0.1  # standard deviation of what no feature says
DRAWN = 8192  # rows that are drawn at once
SLOWER = 3.0  # times a shared model's time that keys may cost
FAR = 0.6  # of its error that keys may leave where each has weights of its own
BIKES = "bikes_toulouse"
SCOPES = {"stream": "all rows", "window": "last 5,000 rows: until then most keys are new"}


@dataclass
class Contender:
    """A learner, what it is fed, and how it does.

    Attributes
    ----------
    name
        For people.
    test
        Asks it for answers, then has it learn.
    as_token
        Name of a category that it is given as a token; empty for none.
    """

    name: str
    test: DelayedTest
    as_token: str = ""

    @classmethod
    def of(cls, name: str, task: Task, size: int, key: str = "", as_token: str = "") -> "Contender":
        """Return one that learns with a linear learner."""
        made = create_learner(LearnerOptions(kind="linear", device="cpu", key=key), task)
        return cls(name, DelayedTest(made, task, size, clock=time.process_time), as_token)

    def take(self, block: Examples) -> None:
        """Predict a block, then learn it."""
        self.test.take(with_token(block, self.as_token) if self.as_token else block)


def main() -> int:
    """Measure and keep the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.keyed", description="Small models for keys.")
    parser.add_argument("--keys", type=int, default=10_000, help="of the made stream (%(default)s)")
    parser.add_argument("--rows", type=int, default=400_000, help="of the made stream (%(default)s)")
    parser.add_argument("--size", type=int, default=1024, help="rows of a microbatch there (%(default)s)")
    parser.add_argument("--bikes", type=int, default=None, help=f"rows of {BIKES} (all)")
    add_results_option(parser)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    results: list[Result] = []
    for task in (Task.REGRESSION, Task.BINARY):
        results += made_stream(task, asked.keys, asked.rows, asked.size)
    if (FOLDER / f"{BIKES}.csv.gz").exists():
        results += bikes(asked.bikes)
    else:
        print(f"{BIKES} is not beside the project", file=sys.stderr)
    return finish(results, asked.results, "keyed")


def made_stream(task: Task, keys: int, rows: int, size: int) -> list[Result]:
    """Return the figures of a stream each of whose keys has weights of its own."""
    where = f"{keys:,} keys, {task.value}"
    contenders = [Contender.of("shared", task, size), Contender.of("keyed", task, size, key="device")]
    random = np.random.default_rng(0)
    weights = random.normal(size=(keys, NUMBERS + 1))
    for _ in range(0, rows, DRAWN):
        drawn = draw(task, weights, random)
        for start in range(0, DRAWN, size):
            for each in contenders:
                each.take(drawn.slice(start, start + size))
    return _results(where, task, contenders, FAR, "window")


def draw(task: Task, weights: np.ndarray, random: np.random.Generator) -> Examples:
    """Return rows whose label follows from ten numbers by weights, shape (keys, 11), of the row's own key."""
    keys = random.integers(len(weights), size=DRAWN)
    numbers = random.normal(size=(DRAWN, NUMBERS))
    own = weights[keys]
    score = own[:, 0] + (own[:, 1:] * numbers).sum(1) / np.sqrt(NUMBERS) + NOISE * random.normal(size=DRAWN)
    labels: list[Label] = score.tolist() if task is Task.REGRESSION else (score > 0).tolist()
    columns = tuple(FeatureKey(f"x{place}", Kind.NUMBER) for place in range(NUMBERS))
    features = Features(DRAWN, columns, numbers, {"device": [f"device-{key}" for key in keys.tolist()]})
    return Examples(features, labels, np.ones(DRAWN, np.float32), np.full(DRAWN, np.nan))


def bikes(rows: int | None, size: int = 64) -> list[Result]:
    """Return the figures of the stream of bicycles."""
    task = Task.REGRESSION
    contenders = [
        Contender.of("shared, no statistics of the station", task, size, as_token="station"),
        Contender.of("shared", task, size),
        Contender.of("keyed", task, size, key="station"),
    ]
    stream = sources()[BIKES].open(BIKES, rows, 0).examples
    for start in range(0, len(stream), size):
        for each in contenders:
            each.take(stream.slice(start, start + size))
    return _results(BIKES, task, contenders, 1.0, "stream")


def with_token(examples: Examples, name: str) -> Examples:
    """Return examples that have a category as a bag of one token."""
    features = examples.features
    categories = {other: column for other, column in features.categories.items() if other != name}
    tokens = {name: [None if value is None else [value] for value in features.categories[name]]}
    return replace(examples, features=replace(features, categories=categories, tokens=tokens))


def _results(where: str, task: Task, contenders: list[Contender], bar: float, scope: str) -> list[Result]:
    """Return errors, of the whole `stream` or the recent `window`, and costs; the last is held against the first."""
    measure, note = "mae" if task is Task.REGRESSION else "log_loss", SCOPES[scope]
    errors = [
        Result(f"{where}: {each.name}, {measure}", "", [each.test.scores()[scope][measure]], note)
        for each in contenders
    ]
    costs = [
        Result(f"{where}: {each.name}", "µs", [each.test.seconds / each.test.rows * 1e6], "processor time an event")
        for each in contenders
    ]
    held = f"{where}: keyed over {contenders[0].name}"
    return [
        *errors,
        ratio(f"{held}, {measure}", errors[-1], errors[0], bar, at_most=True),
        *costs,
        ratio(f"{held}, processor time", costs[-1], costs[0], SLOWER, at_most=True),
    ]


if __name__ == "__main__":
    sys.exit(main())
