"""``python -m benchmarks.challengers``: how often a challenger that is no better is promoted, and how soon one that is.

Each run is looked at after each microbatch, and what counts is whether a challenger was *ever* found significantly
better: of two equal ones that must happen in no more runs than the stated level. Equal are streams of losses of equal
means, drawn without learners so that long ones can be had, and networks that differ by their seed. Better by
construction are a learner beside one whose learning rate is next to nothing, and a network that can learn what
decides the labels beside one that cannot. Then what comparing costs, in processor time.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.report import Result, add_results_option, finish
from models.confidence_sequence import ConfidenceSequence
from models.contest import Contest
from models.contest_rules import FIRST, ContestRules
from models.examples import Examples, FeatureKey, Features, Kind, Task
from models.learner import LearnerOptions
from models.registry import create_learner

LEVEL = 0.05
ROWS = 64  # of a microbatch
OTHER = "challenger"

Random = np.random.Generator
Draw = Callable[[Random, int], NDArray[np.float64]]


def _drifting(random: Random, rows: int) -> NDArray[np.float64]:
    """Return differences whose spread changes from microbatch to microbatch, and with the one before."""
    spread: float = random.choice([0.05, 0.5, 2.0])
    return np.clip(random.normal(0, spread, rows), -4.6, 4.6)


DIFFERENCES: Mapping[str, Draw] = {
    "small": lambda random, rows: np.clip(random.normal(0, 0.2, rows), -4.6, 4.6),
    "rare and large": lambda random, rows: random.choice([-4.6, 0.0, 4.6], rows, p=[0.01, 0.98, 0.01]),
    "lopsided": lambda random, rows: np.where(random.random(rows) < 0.02, -4.6, 0.092 / 0.98),
    "drifting": _drifting,
}
"""Differences of two losses of at most 4.6 whose mean is 0 → how to draw them."""


def main() -> int:
    """Measure and keep the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.challengers", description="False and true promotions.")
    parser.add_argument("--runs", type=int, default=200, help="of each kind (%(default)s)")
    parser.add_argument("--events", type=int, default=4_000, help="of each run with learners (%(default)s)")
    parser.add_argument("--losses", type=int, default=100_000, help="of each run without (%(default)s)")
    add_results_option(parser)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    results = [*losses(asked.runs, asked.losses), *equals(asked.runs, asked.events), *betters(asked.events), *costs()]
    return finish(results, asked.results, "challengers")


def losses(runs: int, rows: int) -> Iterator[Result]:
    """Yield the share of runs in which equal losses are ever called different."""
    for name, draw in DIFFERENCES.items():
        found = [ever_above(draw, seed, rows) for seed in range(runs)]
        note = f"{sum(found)} of {runs} runs of {rows:,} events, looked at every {ROWS}"
        yield Result(f"equal losses, {name}: called better", "share", [sum(found) / runs], note, LEVEL, at_most=True)


def ever_above(draw: Draw, seed: int, rows: int, level: float = LEVEL) -> bool:
    """Return whether the mean of so many differences was ever, after any microbatch, called above 0."""
    random, sequence = np.random.default_rng(seed), ConfidenceSequence(4.6)
    for _ in range(rows // ROWS):
        drawn = draw(random, ROWS)
        sequence.take_in(ROWS, float(drawn.sum()), float((drawn * drawn).sum()))
        if sequence.is_above_zero(level):
            return True
    return False


def equals(runs: int, events: int) -> Iterator[Result]:
    """Yield the share of runs in which one of two networks that differ by their seed is promoted."""
    for task in (Task.BINARY, Task.REGRESSION):
        found = [promoted_after(equal(seed), task, seed, events) is not None for seed in range(runs)]
        note = f"{sum(found)} of {runs} runs of {events:,} events; no time held"
        yield Result(f"equal networks, {task}: promoted", "share", [sum(found) / runs], note, LEVEL, at_most=True)


def betters(events: int, runs: int = 20) -> Iterator[Result]:
    """Yield after how many events a better challenger is promoted."""
    network = {"hidden": [16]}
    pairs = {
        "one that learns beside one that hardly does": (
            LearnerOptions(kind="linear", learning_rate=1e-9, device="cpu"),
            LearnerOptions(kind="linear", learning_rate=0.01, device="cpu"),
        ),
        "a network beside a linear model": (
            LearnerOptions(kind="linear", learning_rate=0.01, device="cpu"),
            LearnerOptions(kind="mlp", network=network, learning_rate=0.01, device="cpu"),
        ),
    }
    for name, (champion, challenger) in pairs.items():
        options = {FIRST: champion, OTHER: challenger}
        after = [promoted_after(options, Task.BINARY, seed, events) for seed in range(runs)]
        yield Result(f"{name}: promoted", "share", [sum(each is not None for each in after) / runs], "", 1.0)
        known = [float(each) for each in after if each is not None]
        yield Result(f"{name}: after", "events", known, f"compared from {_RULES.begin_after} on")


_RULES = ContestRules(promote="when-significant", level=LEVEL, hold_events=0, begin_after=256)


def equal(seed: int) -> dict[str, LearnerOptions]:
    """Return two networks that differ by their seed alone."""
    return {
        name: LearnerOptions(
            kind="mlp", network={"hidden": [8]}, learning_rate=0.003, replay=0, device="cpu", seed=2 * seed + place
        )
        for place, name in enumerate((FIRST, OTHER))
    }


def promoted_after(options: Mapping[str, LearnerOptions], task: Task, seed: int, events: int) -> int | None:
    """Return after how many events the challenger was promoted; None where it was not."""
    contest = Contest(options, task, lambda each: create_learner(each, task), _RULES)
    for learned in range(ROWS, events + 1, ROWS):
        contest.learn(stream(task, seed, learned))
        if contest.promotions:
            return learned
    return None


def stream(task: Task, seed: int, place: int, rows: int = ROWS) -> Examples:
    """Return one microbatch of a stream whose labels depend on a sum, and more on a product, with noise."""
    random = np.random.default_rng([seed, place])
    numbers = random.normal(size=(rows, 4))
    score = numbers[:, 0] + 2 * numbers[:, 1] * numbers[:, 2] + random.logistic(size=rows)
    labels = score.tolist() if task is Task.REGRESSION else (score > 0).tolist()
    keys = tuple(FeatureKey(name, Kind.NUMBER) for name in "abcd")
    return Examples(Features(rows, keys, numbers), labels, np.ones(rows, np.float32), np.full(rows, np.nan))


def costs(microbatches: int = 150) -> Iterator[Result]:
    """Yield what a microbatch costs a model alone, with a challenger like it, and what of that is comparing."""
    options = LearnerOptions(kind="linear", device="cpu")
    rules = ContestRules(begin_after=0)
    alone = create_learner(options, Task.BINARY)
    contest = Contest(
        {FIRST: options, OTHER: options}, Task.BINARY, lambda each: create_learner(each, Task.BINARY), rules
    )
    times: dict[str, list[float]] = {"alone": [], "with a challenger like it": []}
    for place in range(microbatches):
        given = stream(Task.BINARY, 0, place, 1024)
        for name, learner in (("alone", alone), ("with a challenger like it", contest)):
            began = time.process_time()
            learner.learn(given)
            times[name].append((time.process_time() - began) * 1e3)
    medians = {name: statistics.median(each[20:]) for name, each in times.items()}
    for name, median in medians.items():
        yield Result(f"linear, microbatches of 1,024, {name}", "ms", [median])
    first, second = medians.values()
    yield Result("of that, comparing and judging", "ms", [second - 2 * first], "what is beyond twice the first")


if __name__ == "__main__":
    sys.exit(main())
