"""The memory of a network whose learning rate was changed: another number of copies goes on from what one knows.

``learning_rate: auto`` has copies learn at rates beside each other, a number has one. Between the two a saved state is
not thrown away: the copy that is heeded most becomes all of them. Called by ``network_expert.py`` at a restore.
"""

from models.expert import Tensors
from models.network_rates import RateShares

_DIMENSIONS = {"network": 1, "table": 2, "buffers": 0, "guard/table": 1, "guard": 0, "rates": 0}
"""Segments, or tensors, of a saved state → which dimension is that of the copies."""

_WITHOUT = frozenset({"network/generator", "guard/skipped", "guard/restorations"})
"""Tensors that all copies share."""


def with_copies(tensors: Tensors, copies: int) -> Tensors:
    """Return a saved state for so many copies of the network: the same one where it has as many."""
    shares = tensors["rates/shares"]
    if len(shares) == copies:
        return tensors
    chosen = shares.argmax().expand(copies)
    found = dict(tensors)
    for name, tensor in tensors.items():
        dimension = _DIMENSIONS.get(name, _DIMENSIONS.get(name.partition("/")[0]))
        if dimension is not None and name not in _WITHOUT:
            found[name] = tensor.index_select(dimension, chosen)
    return found | {"rates/shares": RateShares.equal(copies, shares.device).shares}
