"""River's drift detectors behind one small interface: errors in, the places where they rose out.

Both watch a mean. ADWIN (Bifet and Gavaldà, SDM 2007) keeps a window of what came since the last change, as long as it
may be, and cuts it where its two parts differ by more than chance would have it. Page-Hinkley (Page, Biometrika 1954)
adds up by how much values exceed their mean. Errors that fall are no drift but learning.

River is imported by whoever makes a detector, not before: it takes a second.
"""

from collections.abc import Mapping, Sequence
from operator import length_hint
from typing import Any, NamedTuple, Protocol

import numpy as np

from models.drift_options import Detector as Name
from models.learner import Array

CERTAIN = 0.002  # ADWIN's bound on how likely a cut is where nothing has changed: River's default

MAGNITUDE = 0.02  # of an excess over the mean that Page-Hinkley lets pass, for errors from 0 to 1
EXCESS = 50.0  # a sum beyond which it speaks: River's default


class Found(NamedTuple):
    """What a detector found in some values.

    Attributes
    ----------
    rises
        Places of values with which the mean was found to have risen.
    changed
        Whether the mean has changed at all, be it that it fell.
    """

    rises: list[int]
    changed: bool


class Detector(Protocol):
    """Watches one stream of errors between 0 and 1."""

    def update(self, values: Sequence[float]) -> Found:
        """Take in the next values."""

    def state(self) -> dict[str, Array]:
        """Return what :meth:`restore` needs."""

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Go on exactly where :meth:`state` was called, of a detector made alike by the same version of River."""


class Adwin:
    """ADWIN, which looks at its window every 32 values.

    Parameters
    ----------
    lasting
        Whether its window outlasts values that fall. Not where they are in another unit from then on.
    """

    def __init__(self, *, lasting: bool) -> None:
        from river.drift import ADWIN  # noqa: PLC0415 - see the module

        # Any: River's methods carry no types.
        self._adwin: Any = ADWIN(delta=CERTAIN)  # type: ignore[no-untyped-call]  # nor does its constructor
        self._lasting = lasting
        self._sum, self._count = 0.0, 0

    def update(self, values: Sequence[float]) -> Found:
        """See :class:`Detector`."""
        rises, changed, done = list[int](), False, 0
        while done < len(values):
            taken, drifted = self._until_drift(values[done:])
            self._sum += sum(values[done : done + taken])
            self._count += taken
            done += taken
            if drifted:
                changed = True
                if self._judge():
                    rises.append(done - 1)
        return Found(rises, changed)

    def _until_drift(self, values: Sequence[float]) -> tuple[int, bool]:
        """Take in values up to the first one with which the mean has changed; return how many, and whether it has."""
        if self._adwin.drift_detected:
            self._adwin.update(values[0])  # which begins anew
            return 1, bool(self._adwin.drift_detected)
        # Straight to what River's own method does for each value: there are as many as rows.
        left = iter(values)
        drifted = any(map(self._adwin._helper.update, left))
        self._adwin._drift_detected = drifted
        return len(values) - length_hint(left), drifted

    def _judge(self) -> bool:
        """Return whether a mean that has changed has risen, and begin to add up what comes next."""
        adwin = self._adwin
        rose = bool(adwin.estimation * self._count > self._sum)
        self._sum, self._count = 0.0, 0
        if not rose and self._lasting:
            # It goes on with what came after the change: anew, it would be blind to a rise for a while.
            adwin._drift_detected = False
            self._sum, self._count = float(adwin.total), int(adwin.width)
        return rose  # with the next value it begins anew

    def state(self) -> dict[str, Array]:
        """See :class:`Detector`."""
        # The window is an object of River's that hands itself out as bytes, and only so.
        window = np.frombuffer(self._adwin._helper.__getstate__(), np.uint8).copy()
        numbers = np.array([self._sum, self._count, self._adwin.drift_detected], np.float64)
        return {"window": window, "numbers": numbers}

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """See :class:`Detector`."""
        self._adwin._helper.__setstate__(arrays["window"].tobytes())
        self._sum, count, drifted = arrays["numbers"].tolist()
        self._count, self._adwin._drift_detected = int(count), bool(drifted)


class PageHinkley:
    """The Page-Hinkley test for a mean that rises."""

    _SUMS = ("_sum_increase", "_sum_decrease", "_min_increase", "_max_decrease")

    def __init__(self) -> None:
        from river.drift import PageHinkley as Test  # noqa: PLC0415 - see the module

        self._test: Any = Test(delta=MAGNITUDE, threshold=EXCESS, mode="up")

    def update(self, values: Sequence[float]) -> Found:
        """See :class:`Detector`."""
        test, rises = self._test, []
        for place, value in enumerate(values):
            test.update(value)
            if test.drift_detected:
                rises.append(place)
        return Found(rises, bool(rises))

    def state(self) -> dict[str, Array]:
        """See :class:`Detector`."""
        test = self._test
        mean = (test._x_mean.n, test._x_mean._mean)
        return {"numbers": np.array([test.drift_detected, *mean, *(getattr(test, name) for name in self._SUMS)])}

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """See :class:`Detector`."""
        test = self._test
        drifted, test._x_mean.n, test._x_mean._mean, *sums = arrays["numbers"].tolist()
        test._drift_detected = bool(drifted)
        for name, value in zip(self._SUMS, sums, strict=True):
            setattr(test, name, value)


def create_detector(name: Name, *, lasting: bool) -> Detector:
    """Return a detector; `lasting` as for :class:`Adwin`."""
    return PageHinkley() if name == "page-hinkley" else Adwin(lasting=lasting)


def version() -> str:
    """Return River's version: a window's bytes are read only by the one that wrote them."""
    from river.__version__ import __version__  # noqa: PLC0415 - see the module

    return str(__version__)
