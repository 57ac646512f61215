"""The feature encoder: columns of features → the input of experts. Stands between examples and parameters.

Numbers are standardised by their running mean and variance and clipped to ±4; a missing one is the mean, and marked.
Strings are hashed: into 64 dense columns with signs, for dense networks, and into 2^16 rows for tables of parameters. A
category's columns of target statistics say what the target was where it had this value. Raw columns are there for
thresholds, which must not move with means and variances: numbers less the first one met, categories as codes. Features
that appear later get their places after those that are there (see ``encoder_layout.py``).

:meth:`FeatureEncoder.encode` changes nothing and is the same code in the trainer and in a serving process;
:meth:`FeatureEncoder.observe` and :meth:`FeatureEncoder.learn_targets` are what the trainer learns from a microbatch.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.encoder_admission import Admission
from models.encoder_layout import HASHED, NONE, WATCHED, Layout, power_of_two, rounded_up
from models.encoder_levels import Levels
from models.encoder_numbers import clipped, heavy_tailed, standardised, tails
from models.encoder_plan import Places, Plans
from models.encoder_sides import Scale
from models.encoder_strings import Bag, StringReader, origin
from models.encoder_targets import TargetColumns
from models.examples import FeatureKey, Features, Kind, Task
from models.learner import Array
from models.moments import COUNT, add_values, new_moments

TABLE_ROWS = 1 << 16
"""Rows of a network's table of parameters for hashed strings."""

SMALL = ("moments", "origins", "lags", "worth")
"""The encoder's arrays that change with every microbatch and are small."""

LEAST_CAPACITY = 8
FEW = 64  # columns of numbers, up to which each lies in memory by itself: what is done row by row is done in long runs
RAW_LIMIT = 1e30  # raw values beyond it count as it: float32 holds no more than 3e38


@dataclass(frozen=True, slots=True)
class Sparse:
    """Hashed strings of some rows, for tables of parameters.

    Attributes
    ----------
    places
        int64, shape (values,); rows of the table, from 0 to ``TABLE_ROWS``, in the order of the examples.
    amounts
        float32, shape (values,).
    starts
        int64, shape (rows + 1,); the first value of each example, and the end.
    """

    places: NDArray[np.int64]
    amounts: NDArray[np.float32]
    starts: NDArray[np.int64]

    def slice(self, start: int, stop: int) -> Self:
        """Return the hashed strings of rows `start` to `stop`."""
        starts = self.starts[start : stop + 1]
        values = slice(starts[0], starts[-1])
        return type(self)(self.places[values], self.amounts[values], starts - starts[0])

    def take(self, rows: NDArray[np.int64]) -> Self:
        """Return the hashed strings of the rows that an array of indices names, in its order."""
        lengths = np.diff(self.starts)[rows]
        starts = np.append(0, np.cumsum(lengths))
        values = np.arange(starts[-1]) + np.repeat(self.starts[rows] - starts[:-1], lengths)
        return type(self)(self.places[values], self.amounts[values], starts)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What of some features does not depend on anything learned: read once, encoded before and after learning.

    Attributes
    ----------
    rows
        How many.
    keys, numbers
        Numbers, those drawn from dates included: float64, shape (rows, len(keys)), NaN where missing.
    gaps
        Whether there is a NaN among them.
    bags
        Hashed strings, in the order of their keys.
    """

    rows: int
    keys: tuple[FeatureKey, ...]
    numbers: NDArray[np.float64]
    gaps: bool
    bags: Mapping[FeatureKey, Bag]

    def only(self, columns: NDArray[np.intp]) -> Self:
        """Return these rows with some of the columns of numbers."""
        keys = tuple(self.keys[column] for column in columns.tolist())
        # Taken, not indexed: the order in memory, and with it that of later sums, stays the same.
        return type(self)(self.rows, keys, column_by_column(self.numbers.take(columns, axis=1)), self.gaps, self.bags)


def column_by_column(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return numbers, shape (rows, columns), in one order in memory, whatever theirs is: column by column if few."""
    return np.asfortranarray(numbers) if numbers.shape[1] <= FEW else np.ascontiguousarray(numbers)


@dataclass(frozen=True, slots=True)
class Renewed:
    """Columns that now carry another feature: what was learned for them is not for it.

    Attributes
    ----------
    inputs, raws
        Of the dense input, and raw ones.
    """

    inputs: Sequence[int]
    raws: Sequence[int]


class FeatureEncoder:
    """Encodes features, by a layout and by arrays that a trainer may be changing.

    Parameters
    ----------
    task
        Says what statistics of the target are kept.
    layout
        Places of the features known.
    arrays
        float64: ``moments``, ``origins``, ``lags``, ``worth``, and, once there is a value to tell apart,
        ``statistics``; taken as they are, not copied. An empty mapping for a new encoder.
    spare
        Whether the input may have spare columns, which are 0, so that its width seldom changes.
    """

    def __init__(self, task: Task, layout: Layout, arrays: Mapping[str, Array], *, spare: bool = True) -> None:
        self._spare = spare
        self.layout = layout
        self.arrays: dict[str, Array] = dict(arrays)
        self.arrays.setdefault("moments", new_moments(LEAST_CAPACITY))
        self.arrays.setdefault("origins", np.full(LEAST_CAPACITY, np.nan))
        self._targets = TargetColumns(task, layout, self.arrays)
        self._statistics = self._targets.width
        self.levels = Levels()
        self._reader = StringReader()
        self._plans = Plans()
        self.admission = Admission()

    def prepare(self, features: Features) -> Prepared:
        """Read `features`: hash strings, draw numbers from dates."""
        bags, dates = self._reader.read(features.categories, features.tokens)
        keys, numbers = features.keys, features.numbers
        if dates:
            keys = (*keys, *dates)
            numbers = np.column_stack([numbers, *dates.values()])
        numbers = column_by_column(numbers)
        # A sum is the quickest way to learn that there is no NaN; when it overflows, a closer look costs little.
        with np.errstate(over="ignore", invalid="ignore"):
            gaps = bool(np.isnan(numbers.sum()))
        return Prepared(features.rows, keys, numbers, gaps, bags)

    def encode(self, prepared: Prepared, scale: Scale) -> NDArray[np.float32]:
        """Return the dense input, float32, shape (rows, capacity): 0 in columns that are not in use.

        Parameters
        ----------
        prepared
            The features.
        scale
            Of the target, for its statistics.
        """
        dense = np.zeros((prepared.rows, self.capacity), np.float32)
        if prepared.rows:
            self._encode_numbers(prepared, dense)
            self._encode_strings(prepared, dense)
            plan = self._plans.of(self.layout, prepared.keys)
            self._targets.write(plan, prepared.numbers, prepared.bags, scale, dense)
        return dense

    @property
    def capacity(self) -> int:
        """Columns of the dense input."""
        return rounded_up(self.layout.width) if self._spare else max(self.layout.width, 1)

    @property
    def raw_capacity(self) -> int:
        """Raw columns, spare ones included."""
        return rounded_up(self.layout.raws)

    def encode_raw(self, prepared: Prepared) -> NDArray[np.float32]:
        """Return the raw columns, float32, shape (rows, raw_capacity): NaN where missing, and where not in use."""
        layout = self.layout
        raw = np.full((prepared.rows, self.raw_capacity), np.nan, np.float32)
        plan = self._plans.of(layout, prepared.keys)
        if len(prepared.keys):
            numbers = prepared.numbers if plan.complete else prepared.numbers.take(plan.known, axis=1)
            with np.errstate(over="ignore"):
                deviations = numbers - self.arrays["origins"][plan.slots]
            raw[:, plan.raws] = np.clip(deviations[:, plan.with_raw], -RAW_LIMIT, RAW_LIMIT)
        for key, column in layout.raw_strings.items():
            bag = prepared.bags.get(key)
            if bag is not None:
                raw[bag.rows, column] = (bag.hashes >> 32 & 0xFFFF) / 0x10000
        return raw

    def _encode_numbers(self, prepared: Prepared, dense: NDArray[np.float32]) -> None:
        """Write standardised numbers and marks of missing ones."""
        plan = self._plans.of(self.layout, prepared.keys)
        if len(prepared.keys):
            numbers = prepared.numbers if plan.complete else prepared.numbers.take(plan.known, axis=1)
            values = standardised(self.arrays["moments"][:, plan.slots], numbers)
            for place, column in plan.tails:
                dense[:, column] = tails(values[:, place])
            clipped(values)
            if prepared.gaps:
                missing = np.isnan(values)
                values[missing] = 0.0
                for place, column in plan.marks:
                    dense[:, column] = missing[:, place]
            dense[:, plan.values] = values
        if plan.absent:
            dense[:, plan.absent] = 1.0

    def _encode_strings(self, prepared: Prepared, dense: NDArray[np.float32]) -> None:
        """Write strings into their dense columns, by signed hashing."""
        for key, bag in prepared.bags.items():
            if key in self.layout.strings:
                columns = self.layout.hashed + (bag.hashes >> 16) % HASHED
                signs = 1 - 2 * ((bag.hashes >> 24) & 1)
                amounts = (bag.amounts * signs).astype(np.float32)
                if key.kind is Kind.CATEGORY:  # one a row: no place is named twice
                    dense.reshape(-1)[bag.rows * dense.shape[1] + columns] += amounts
                else:
                    np.add.at(dense, (bag.rows, columns), amounts)

    def sparse(self, prepared: Prepared, kinds: Set[Kind]) -> Sparse:
        """Return the hashed strings of known features of some kinds, for tables of parameters."""
        bags = [bag for key, bag in prepared.bags.items() if key.kind in kinds and key in self.layout.strings]
        rows = np.concatenate([bag.rows for bag in bags]) if bags else np.empty(0, np.int64)
        hashes = np.concatenate([bag.hashes for bag in bags]) if bags else np.empty(0, np.int64)
        amounts = np.concatenate([bag.amounts for bag in bags]) if bags else np.empty(0, np.float32)
        if len(bags) > 1:
            order = rows.argsort(kind="stable")
            rows, hashes, amounts = rows[order], hashes[order], amounts[order]
        starts = np.searchsorted(rows, np.arange(prepared.rows + 1))
        return Sparse(hashes & (TABLE_ROWS - 1), amounts, starts)

    def observe(self, prepared: Prepared) -> Renewed:
        """Take in features: give places to new ones, and update means and variances; return what was taken over."""
        self.admission.begin(prepared.rows)
        if prepared.gaps:
            prepared = prepared.only(np.flatnonzero(~np.isnan(prepared.numbers).all(0)))
        of_numbers, of_strings = self._add_numbers(prepared), self._add_strings(prepared)
        self._grow_arrays()
        plan = self._plans.of(self.layout, prepared.keys)
        if not plan.complete:  # there was no room for more
            prepared = prepared.only(plan.known)
        self.admission.met_numbers(plan.slots, len(self.layout.values))
        if prepared.keys:
            self._set_origins(plan.slots, prepared.numbers)
            moments = self.arrays["moments"][:, plan.slots]
            add_values(moments, prepared.numbers, gaps=prepared.gaps)
            self.arrays["moments"][:, plan.slots] = moments
        self._add_marks(prepared)
        self._add_tails()
        self._add_levels(prepared)
        renewed = Renewed([*of_numbers.inputs, *of_strings.inputs], [*of_numbers.raws, *of_strings.raws])
        self._targets.grow()
        self._targets.renew(list(renewed.inputs))
        return renewed

    def _set_origins(self, slots: Places, numbers: NDArray[np.float64]) -> None:
        """Note the first value of each column that has none yet."""
        origins = self.arrays["origins"][slots]
        if np.isnan(origins).any():
            present = ~np.isnan(numbers)
            first = numbers[present.argmax(0), np.arange(numbers.shape[1])]
            self.arrays["origins"][slots] = np.where(np.isnan(origins), first, origins)

    def _add_numbers(self, prepared: Prepared) -> Renewed:
        """Give places to new numbers, all of which have a value; return the columns of those taken over."""
        layout, columns, raws = self.layout, list[int](), list[int]()
        if self._plans.of(layout, prepared.keys).complete:
            return Renewed(columns, raws)
        # In an order of their own: the columns of a microbatch may come in any.
        new = sorted(set(prepared.keys).difference(layout.numbers))
        before, chosen = len(layout.values), self.admission.choose(new, len(layout.numbers))
        left = layout.add_numbers(chosen)
        here = set(prepared.keys) if left else set()  # one that is back is idle no longer
        idle = [key for key in self.admission.idle_numbers(layout.numbers) if key not in here] if left else []
        for old, key in zip(idle, left, strict=False):
            slot, taken = layout.take_over_number(old, key, self._statistics)
            self.arrays["moments"][:, slot] = 0.0
            self.arrays["origins"][slot] = np.nan
            self.admission.taken_over(slot)
            self.levels.taken_over(slot)
            columns += taken
            raws += [layout.raw_numbers[slot]] if layout.raw_numbers[slot] != NONE else []
        if columns or len(layout.values) > before:
            self._plans.forget()
        return Renewed(columns, raws)

    def _add_strings(self, prepared: Prepared) -> Renewed:
        """Give places to new strings; return the columns of those taken over."""
        layout, columns, raws = self.layout, list[int](), list[int]()
        for kind in (Kind.CATEGORY, Kind.TOKENS):
            new = [key for key in prepared.bags if key.kind is kind and key not in layout.strings]
            if not new:
                continue
            left = layout.add_strings(self.admission.choose(new, layout.held(kind)), self._statistics)
            others = [key for key in layout.strings if key.kind is kind and key not in prepared.bags] if left else []
            idle = self.admission.idle_strings(others)
            for old, key in zip(idle, left, strict=False):
                columns += layout.take_over_string(old, key, self._statistics)
                raws += [layout.raw_strings[key]] if key in layout.raw_strings else []
            self.admission.forget_strings(idle[: len(left)])
        self.admission.met_strings([key for key in prepared.bags if key in layout.strings])
        return Renewed(columns, raws)

    def _add_marks(self, prepared: Prepared) -> None:
        """Give columns to the marks of numbers that are missing for the first time, though they are there as a rule."""
        if len(self.layout.values) > WATCHED:
            return
        layout, plan = self.layout, self._plans.of(self.layout, prepared.keys)
        gaps = np.flatnonzero(np.isnan(prepared.numbers).any(0)).tolist() if prepared.gaps else ()
        missing = {layout.numbers[prepared.keys[column]] for column in gaps} | plan.others
        unmarked = sorted(slot for slot in missing if layout.marks[slot] == NONE)
        unmarked = self.admission.usual(unmarked, self.arrays["moments"][COUNT])
        if unmarked:
            layout.add_marks(unmarked)
            self._plans.forget()

    def _add_tails(self) -> None:
        """Give columns to the tails that were found to be heavy."""
        heavy = np.flatnonzero(heavy_tailed(self.arrays["moments"])).tolist()
        found = [slot for slot in heavy if self.layout.tails[slot] == NONE]
        if found:
            self.layout.add_tails(found)
            self._plans.forget()

    def _add_levels(self, prepared: Prepared) -> None:
        """Give columns of target statistics to numbers that were found to have few values."""
        layout, plan = self.layout, self._plans.of(self.layout, prepared.keys)
        found = self.levels.note(plan.slots, prepared.numbers, self.arrays["moments"][COUNT], plan.plain)
        if found:
            layout.add_levels(found, self._statistics)
            self._plans.forget()

    def _grow_arrays(self) -> None:
        """Make room in the arrays for all that has a place."""
        slots, held = len(self.layout.values), self.arrays["moments"].shape[1]
        if slots > held:
            grown = new_moments(power_of_two(slots, LEAST_CAPACITY))
            grown[:, :held] = self.arrays["moments"]
            self.arrays["moments"] = grown
            missing = (0, grown.shape[1] - held)
            self.arrays["origins"] = np.pad(self.arrays["origins"], missing, constant_values=np.nan)

    def learn_targets(self, prepared: Prepared, targets: NDArray[np.float64], scale: Scale) -> NDArray[np.int64]:
        """Take in the targets, shape (rows,), and their scale; return the rows of statistics that changed."""
        plan = self._plans.of(self.layout, prepared.keys)
        return self._targets.learn(plan, prepared.numbers, prepared.bags, targets, scale)

    def features(self) -> list[dict[str, str]]:
        """Return name and kind of the features known, numbers first, in order of appearance."""
        numbers = sorted(self.layout.numbers, key=self.layout.numbers.__getitem__)
        keys = dict.fromkeys(origin(key) for key in (*numbers, *self.layout.strings))
        return [{"name": key.name, "kind": key.kind.value} for key in keys]
