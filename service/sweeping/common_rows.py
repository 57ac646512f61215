"""Scores over the same rows: what lies between two points of cells that came differently far.

A learner keeps means over all rows so far, so what lies between two points is the difference of their sums. That is
exact for measures that are means over rows, as those are that sweeps show (accuracy, mean absolute error).
"""

from collections.abc import Sequence

from service.sweeping.cells import CellOutcome, ScoredUntil

FEWEST = 2048
"""Rows that have to be common to several cells before their scores are compared: over fewer, chance decides."""


def rows_between(early: ScoredUntil, late: ScoredUntil) -> int:
    """Return how many rows were scored between two points."""
    return int(late.scores.get("scored", 0) - early.scores.get("scored", 0))


def mean_between(early: ScoredUntil, late: ScoredUntil, key: str) -> float | None:
    """Return the mean of a measure over the rows between two points; None where there is none."""
    rows = rows_between(early, late)
    if key not in late.scores or rows <= 0:
        return None
    until = [scores.get(key, 0.0) * scores.get("scored", 0.0) for scores in (early.scores, late.scores)]
    return (until[1] - until[0]) / rows


def common_rows(outcomes: Sequence[CellOutcome], rows: int, scored_from: int) -> tuple[int, int] | None:
    """Return the first and the last of the rows over which cells can be compared; None where these are too few.

    Where all got through the file, they are those after `scored_from`. Where some did not, they are those from the
    largest size on until the first that stopped; who did not come far does not count.

    Parameters
    ----------
    outcomes
        Of the cells that are to be compared.
    rows
        Of the file.
    scored_from
        Rows before those that are scored where all got through.
    """
    outcomes = [each for each in outcomes if each.rows >= rows or _reach(each) >= FEWEST]
    if outcomes and all(each.rows >= rows for each in outcomes):
        return scored_from, rows
    # What was answered before anything was learned is over with the first microbatch, and the first point after it.
    first = max((each.curve[0].rows for each in outcomes if each.curve), default=0)
    reached = [_reach(each) for each in outcomes if _reach(each) >= first + FEWEST]
    return (first, min(reached)) if reached else None


def points_at(outcome: CellOutcome, first: int, last: int) -> tuple[ScoredUntil, ScoredUntil] | None:
    """Return a cell's scores until two rows, or soon after; None where it did not come so far."""
    points = sorted((*outcome.curve, outcome.early, outcome.late), key=lambda point: point.rows)
    early = next((point for point in points if point.rows >= first), None)
    late = next((point for point in points if point.rows >= last), None)
    return None if early is None or late is None else (early, late)


def _reach(outcome: CellOutcome) -> int:
    """Return the last power of two of rows that a cell got to: there all that got as far have a point."""
    return 1 << (outcome.rows.bit_length() - 1) if outcome.rows else 0
