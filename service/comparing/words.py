"""A comparison in words: what it comes to in a sentence or two."""

from service.comparing.comparison import Comparison, Result
from service.measuring.measures import Measure, in_words, number

_WAYS = {
    "microbatch": "the best learner in microbatches",
    "batch": "batch training",
    "online": "the best learner one event at a time",
    "baseline": "the best baseline",
}


def notes(comparison: Comparison) -> list[str]:
    """Return what has to be known of the results: who did not finish or failed, and which rows were left out."""
    told = [f"{result.entrant.name} could not be tested: {result.outcome.error}" for result in _failed(comparison)]
    told += [_stopped(comparison, result) for result in comparison.ranked if not comparison.whole(result)]
    if comparison.left_out:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in comparison.left_out.items())
        told.append(f"rows that were left out: {reasons}")
    return told


def conclusion(comparison: Comparison) -> str:
    """Return what the comparison comes to."""
    done = [result for result in comparison.ranked if comparison.whole(result)]
    if comparison.rows <= comparison.delay:
        return (
            "Nothing can be compared: all rows were predicted before the first label was known; give a smaller --delay."
        )
    if not done:
        return "No learner got through the stream."
    best, measure = done[0], comparison.measures[0]
    told = f"{best.entrant.name} predicted best: {_score(best, measure)}"
    firsts: dict[str, Result] = {}
    for result in done:
        firsts.setdefault(result.entrant.way, result)
    others = [
        f"{_WAYS[way]}{f' ({result.entrant.name})' if way != result.entrant.kind else ''} came to "
        f"{plain(result, measure)}"
        for way, result in firsts.items()
        if way != best.entrant.way
    ]
    return f"{told}{'; ' if others else ''}{', '.join(others)}."


def method(comparison: Comparison) -> str:
    """Return how it was measured."""
    return (
        f"{comparison.rows:,} rows, {comparison.delay:,} at a time: each block was predicted before the first of its "
        "labels was learned. The first block, predicted before any label, is not scored."
    )


def _stopped(comparison: Comparison, result: Result) -> str:
    """Return how far a learner came, and how the best one did as far as that."""
    rows, measure = result.outcome.rows, comparison.measures[0]
    told = (
        f"{result.entrant.name} was stopped after {rows:,} of {comparison.rows:,} rows: its scores are over those; "
        "give --seconds 0 to see it to the end"
    )
    best = comparison.results[0]
    curve = best.outcome.curve
    until = [score for at, score in zip(curve["rows"], curve.get(measure.key, ()), strict=False) if at and at <= rows]
    if not comparison.whole(best) or not until:
        return told
    return f"{told} (as far as that, {best.entrant.name} came to {number(until[-1], measure)})"


def _failed(comparison: Comparison) -> list[Result]:
    return [result for result in comparison.results if result.outcome.error]


def _score(result: Result, measure: Measure) -> str:
    score = plain(result, measure)
    return f"{score} of all rows right" if measure.key == "accuracy" else f"a {measure.name} of {score}"


def plain(result: Result, measure: Measure) -> str:
    """Return a score as a sentence has it: shares in per cent."""
    return in_words(result.score(measure), measure)
