"""A setting as lines of ``headrace.yaml``."""

import math

from service.settings.yaml_text import as_yaml
from service.sweeping.cells import Cell


def configuration(cell: Cell, freshness: float, update: float) -> str:
    """Return lines that have a model learn as a cell did.

    Parameters
    ----------
    cell
        What is to be configured.
    freshness
        Seconds that an event may be delayed.
    update
        Seconds that an update takes: what is left of `freshness` is how long the oldest event of a microbatch may wait
        for the others, also while fewer events come than were thought of.
    """
    asked = round(1000 * freshness, 6)
    objective = {"freshness_ms": int(asked) if asked.is_integer() else asked}
    wait = max(0, math.floor(1000 * (freshness - update)))
    learner = {"kind": cell.learner, "device": cell.device}
    microbatch = {"max_size": cell.size, "max_delay_ms": wait, "objective": objective}
    return as_yaml({"models": {"default": {"learner": learner, "microbatch": microbatch}}})
