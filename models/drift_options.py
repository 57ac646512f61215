"""Whether a learner watches for drift, and what it does about it; the section ``models.NAME.drift``.

Apart from ``drift.py``, so that the configuration can be checked without importing PyTorch.
"""

from dataclasses import dataclass
from typing import Literal

FORGETFUL = 2000  # rows after a drift that weigh more than others, where `forget` is what follows from one,
HEAVIER = 4.0  # and how much more

Detector = Literal["adwin", "page-hinkley", "none"]
Reaction = Literal["auto", "none", "reset", "forget", "background"]


@dataclass(frozen=True, slots=True)
class DriftOptions:
    """How drift is noticed in a learner's own errors, and what follows.

    Attributes
    ----------
    detector
        ``adwin`` (adaptive windows), ``page-hinkley``, or ``none``: nobody looks.
    react
        ``none``: the drift is counted and reported, and whatever learns adapts as it always does (``auto`` by giving
        weight to the experts that have become better). ``reset``: what was learned is given up, all but the encoder's
        statistics and the classes known. ``forget``: for a while new rows weigh more than usual. ``background``:
        another one begins to learn beside, both answer by how right each is, and the better one stays. ``auto``:
        ``background`` for a learner of the kind ``auto``, and otherwise ``none``.
    """

    detector: Detector = "adwin"
    react: Reaction = "auto"

    def reaction(self, kind: str) -> Reaction:
        """Return what follows where a learner is of a kind; never ``auto``."""
        if self.react != "auto":
            return self.react
        return "background" if kind == "auto" and self.detector != "none" else "none"


UNWATCHED = DriftOptions("none", "none")
"""Nobody looks, and nothing follows."""
