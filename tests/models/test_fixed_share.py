"""Shares are dealt out anew, and still say who was right."""

import pytest
import torch

from models.fixed_share import MOST, dealt


@pytest.mark.parametrize("rows", [1, MOST, 16 * MOST])
def test_who_was_right_in_a_large_microbatch_is_heeded_after_it(rows: int) -> None:
    """Under a backlog all experts would be heeded alike, as if nothing had been learned of them."""
    shares = dealt(torch.tensor([0.0, -100.0, -100.0]), rows).exp()
    assert shares.sum().item() == pytest.approx(1.0)
    assert shares[0].item() > 0.5 > 2 * shares[1].item() > 0
