"""Input columns that come from targets learned before: statistics of categories and of numbers' levels, and lags.

All of them are estimates of the target in units of its scale, and 0 where nothing is known. Those of categories are
handed on as they are: that a string was told apart by whoever sends it says that it matters. Lags and levels are
offered to every stream, so they are shrunk by what they were worth (``encoder_worth.py``).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.encoder_lags import COUNT, RATES, add_to_lags, new_lags, read_lags, scales_of, side_of, tells
from models.encoder_layout import NONE, Layout, power_of_two
from models.encoder_levels import hash_numbers
from models.encoder_numbers import clipped
from models.encoder_plan import Plan
from models.encoder_sides import Matrix, Scale, Scales, as_sides, sides_of
from models.encoder_statistics import add_targets, new_table, read_statistics, statistics_width
from models.encoder_strings import Bag
from models.encoder_worth import add_worth, new_worth, slopes
from models.examples import FeatureKey, Task
from models.learner import Array
from models.moments import OUTLIER

LEAST_WORTH = 64  # columns
JUDGED = 256  # rows after which a stream of classes that may be many is judged to be of two


class Met(NamedTuple):
    """Values that have statistics: of categories, and then of levels; int64, shape (values,) each.

    Attributes
    ----------
    rows, hashes, columns
        The row of each, its hash, and the first of its input columns.
    levels
        From which on they are of levels.
    places
        Of those of levels, which of the plan's leveled columns each is of; shape (values − levels,).
    """

    rows: NDArray[np.int64]
    hashes: NDArray[np.int64]
    columns: NDArray[np.int64]
    levels: int
    places: NDArray[np.intp]


class TargetColumns:
    """Reads and learns the columns that come from targets.

    Parameters
    ----------
    task
        What is predicted.
    layout
        Places of the features known.
    arrays
        The encoder's; ``lags``, ``worth`` and, once there is a value to tell apart, ``statistics`` are its own here.
    """

    def __init__(self, task: Task, layout: Layout, arrays: dict[str, Array]) -> None:
        self._task, self._layout, self._arrays = task, layout, arrays
        self._sides = sides_of(task)
        self.width = statistics_width(task)
        self._latest: tuple[Plan, Matrix, Mapping[FeatureKey, Bag], tuple[int, int], Met | None] | None = None
        arrays.setdefault("lags", new_lags(self._sides))
        arrays.setdefault("worth", new_worth(LEAST_WORTH))

    def grow(self) -> None:
        """Make room for all that has a place."""
        layout, arrays = self._layout, self._arrays
        lags = arrays["lags"]
        if layout.lags == NONE and (self._sides == 1 or (lags[COUNT, 0] >= JUDGED and tells(lags))):
            layout.add_lags(len(RATES))
        if "statistics" not in arrays and (layout.levels or any(c != NONE for c in layout.strings.values())):
            arrays["statistics"] = new_table(self._task)
        missing = power_of_two(layout.width, LEAST_WORTH) - arrays["worth"].shape[1]
        if missing > 0:
            arrays["worth"] = np.pad(arrays["worth"], ((0, 0), (0, missing)))

    def renew(self, columns: list[int]) -> None:
        """Forget what input columns were worth: they carry other features from now on."""
        if columns:
            self._arrays["worth"][:, columns] = 0.0

    def write(
        self, plan: Plan, numbers: Matrix, bags: Mapping[FeatureKey, Bag], scale: Scale, dense: NDArray[np.float32]
    ) -> None:
        """Write the columns into the input, shape (rows, columns).

        Parameters
        ----------
        plan, numbers
            Of the numbers: all columns, in the order of their keys.
        bags
            Hashed strings.
        scale
            Of the target.
        dense
            Changed.
        """
        layout, arrays, scales = self._layout, self._arrays, self._scales(scale)
        met = self._met(plan, numbers, bags)
        shrunk = slopes(arrays["worth"])
        if met is not None:
            found = read_statistics(arrays["statistics"], met.hashes, scales)
            places = met.columns[:, None] + np.arange(self.width)
            found[met.levels :] *= shrunk[places[met.levels :]]
            dense.reshape(-1)[(met.rows * dense.shape[1])[:, None] + places] = found
        if layout.lags != NONE:
            columns = slice(layout.lags, layout.lags + len(RATES))
            dense[:, columns] = read_lags(arrays["lags"], scales) * shrunk[columns]

    def learn(
        self, plan: Plan, numbers: Matrix, bags: Mapping[FeatureKey, Bag], targets: Matrix, scale: Scale
    ) -> NDArray[np.int64]:
        """Take in targets, shape (rows,), at least one; return the rows of the statistics that changed."""
        scales, sides = self._scales(scale), as_sides(self._bounded(targets, scale), self._sides)
        met = self._met(plan, numbers, bags)
        self._compare(plan, met, clipped(scales.standard(sides)), scales)
        add_to_lags(self._arrays["lags"], sides)
        if met is None:
            return np.empty(0, np.int64)
        return add_targets(self._arrays["statistics"], met.hashes, sides[met.rows])

    def _bounded(self, targets: Matrix, scale: Scale) -> Matrix:
        """Return targets, those of numbers as if none lay farther out than :data:`models.moments.OUTLIER`.

        A single one of 1e30 would be all that the mean of its category tells ever after.
        """
        if self._task is not Task.REGRESSION or not scale.deviation:
            return targets
        reach = OUTLIER * scale.deviation
        return np.clip(targets, scale.mean - reach, scale.mean + reach)

    def _compare(self, plan: Plan, met: Met | None, targets: Matrix, scales: Scales) -> None:
        """Compare lags and levels, as they are before they know the targets, with these, in units of the scale."""
        layout, arrays = self._layout, self._arrays
        if layout.lags != NONE:
            lags = read_lags(arrays["lags"], scales)
            columns = slice(layout.lags, layout.lags + len(lags))
            told = targets[:, side_of(self._sides)].sum()
            add_worth(arrays["worth"], columns, len(targets), lags * told, lags * lags * len(targets))
        if met is not None and len(met.places):
            levels = np.zeros((len(targets), len(plan.leveled), self.width))
            levels[met.rows[met.levels :], met.places] = read_statistics(
                arrays["statistics"], met.hashes[met.levels :], scales
            )
            places = (plan.level_columns[:, None] + np.arange(self.width)).ravel()
            products = np.einsum("rlks,rs->lks", levels.reshape(*levels.shape[:2], -1, self._sides), targets)
            squares = np.einsum("rlc,rlc->lc", levels, levels)
            add_worth(arrays["worth"], places, len(targets), products.ravel(), squares.ravel())

    def _scales(self, scale: Scale) -> Scales:
        """Return the scales of the sides: the target's own where there is one side."""
        if self._sides > 1:
            return scales_of(self._arrays["lags"])
        return Scales.of(scale)

    def _met(self, plan: Plan, numbers: Matrix, bags: Mapping[FeatureKey, Bag]) -> Met | None:
        """Return the values that have statistics; None if there are none."""
        known, latest = (len(self._layout.strings), self._layout.taken_over), self._latest
        if (
            latest is None
            or latest[0] is not plan
            or latest[1] is not numbers
            or latest[2] is not bags
            or latest[3] != known
        ):
            # Kept, because the same rows are encoded and then learned.
            latest = self._latest = plan, numbers, bags, known, self._found(plan, numbers, bags)
        return latest[4]

    def _found(self, plan: Plan, numbers: Matrix, bags: Mapping[FeatureKey, Bag]) -> Met | None:
        """Look for the values that have statistics."""
        strings = self._layout.strings
        found = [(bag, column) for key, bag in bags.items() if (column := strings.get(key, NONE)) != NONE]
        rows, hashes = [bag.rows for bag, _ in found], [bag.hashes for bag, _ in found]
        columns = [np.full(len(bag.rows), column) for bag, column in found]
        count, place = sum(map(len, rows)), np.empty(0, np.intp)
        if len(plan.leveled):
            values = numbers[:, plan.leveled]
            there = ~np.isnan(values)
            row, place = np.nonzero(there)
            rows.append(row)
            hashes.append(hash_numbers(values, plan.level_seeds)[there])
            columns.append(plan.level_columns[place])
        if not sum(map(len, rows)):
            return None
        return Met(np.concatenate(rows), np.concatenate(hashes), np.concatenate(columns), count, place)
