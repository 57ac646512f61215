"""Fixed share (Herbster and Warmuth, 1998): what keeps an expert whose time has come from having been given up.

Shares that only fall with losses need as long to come back as they took to go. So a little of every share is dealt out
anew, row by row.
"""

from torch import Tensor

SHARE = 1e-3  # of all shares, dealt out anew each row,
MOST = 1_024  # of so many rows at once, at most: of 16,384 nothing would be left of who was right in them


def dealt(shares: Tensor, rows: int) -> Tensor:
    """Return logarithms of shares that sum to 1 along the last dimension, with a little of each dealt out anew.

    Parameters
    ----------
    shares
        Their logarithms, up to a constant.
    rows
        For how many.
    """
    anew = 1 - (1 - SHARE) ** min(rows, MOST)
    return shares.softmax(-1).mul_(1 - anew).add_(anew / shares.shape[-1]).log_()
