"""The built-in networks' gradients are those that autograd finds, and growth gives a network what it had."""

import numpy as np
import pytest
import torch
from torch import Tensor

from models.encoder_layout import Role
from models.features import Sparse
from models.losses import LOSSES
from models.network import Entries, Inputs, Network
from models.network_bins import KNOTS, Bins
from models.networks import NETWORKS, create_network
from models.parameters import Parameters, named_views, table_rows

ROWS, INPUTS, TABLE = 12, 5, 64
CPU = torch.device("cpu")


def entries(seed: int = 0, *, empty: bool = False) -> Entries:
    """Return hashed strings of some rows: several a row, none in some, the same place again and again."""
    random = np.random.default_rng(seed)
    counts = np.zeros(ROWS, np.int64) if empty else random.integers(0, 4, ROWS)
    starts = np.concatenate([[0], counts.cumsum()])
    places = random.integers(0, 9, starts[-1]) * 7
    return Entries.of(Sparse(places, random.normal(size=starts[-1]).astype(np.float32), starts), TABLE, CPU)


def parameters_of(network: Network, outputs: int, copies: int = 2) -> Parameters:
    """Return random parameters of copies of a network."""
    parameters = Parameters(network, 1, CPU, copies)
    parameters.grow(network.shapes(INPUTS, outputs), torch.Generator().manual_seed(0))
    parameters.grow_table(TABLE, network.table_width(outputs), torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    parameters.block[0].copy_(torch.randn(parameters.block[0].shape, generator=generator))
    assert parameters.table is not None
    parameters.table[0].copy_(torch.randn(parameters.table[0].shape, generator=generator))
    return parameters


def autograd(network: Network, parameters: Parameters, given: Inputs, slopes: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the gradients that autograd finds by way of the network's outputs, and the sum of outputs times slopes."""
    flat = parameters.block[0].clone().requires_grad_()
    block = None if given.block is None else given.block.clone().requires_grad_()
    network.bind(named_views(flat, parameters.shapes), None)
    (network.outputs(Inputs(given.dense, given.entries, block)) * slopes).sum().backward()  # type: ignore[no-untyped-call] # PyTorch's
    network.bind(parameters.views, named_views(parameters.gradient, parameters.shapes))
    assert flat.grad is not None
    return flat.grad, None if block is None else block.grad


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("strings", ["some", "none", "no table"])
def test_gradients_are_those_of_autograd(kind: str, outputs: int, strings: str) -> None:
    """A network would learn something, but not what it is told."""
    network = create_network(kind, {})
    network.see([0, 2, 3], CPU)
    parameters = parameters_of(network, outputs)
    dense = torch.randn((ROWS, INPUTS), generator=torch.Generator().manual_seed(2))
    found = None if strings == "no table" else entries(empty=strings == "none")
    assert parameters.table is not None
    given = Inputs(dense, found, None if found is None else parameters.table[0].index_select(0, found.places))
    slopes = torch.randn((2, ROWS, outputs), generator=torch.Generator().manual_seed(3))
    expected, of_block = autograd(network, parameters, given, slopes)
    seen: list[Tensor] = []

    def loss_gradient(found: Tensor) -> Tensor:
        seen.append(found.clone())
        return slopes.clone()

    with torch.no_grad():
        block_gradient = network.learn(given, loss_gradient)
    torch.testing.assert_close(seen[0], network.outputs(given))
    torch.testing.assert_close(parameters.gradient, expected, rtol=1e-4, atol=1e-4)
    if of_block is not None:
        torch.testing.assert_close(block_gradient, of_block, rtol=1e-4, atol=1e-4)


def test_sums_by_row_and_by_place_are_those_of_a_matrix() -> None:
    """A string's parameters would be added to another row."""
    found, copies = entries(4), 2
    matrix = torch.zeros((ROWS, len(found.places)))
    ends = torch.cat([found.starts[1:], torch.tensor([len(found.inside)])])
    for row, (start, end) in enumerate(zip(found.starts.tolist(), ends.tolist(), strict=True)):
        for value in range(start, end):
            matrix[row, found.inside[value]] += found.amounts[value]
    block, rows = torch.randn(len(found.places), copies, 3), torch.randn(copies, ROWS, 4)
    torch.testing.assert_close(found.sum_by_row(block), matrix @ block.transpose(0, 1))
    torch.testing.assert_close(found.sum_by_place(rows), (matrix.t() @ rows).transpose(0, 1))


@pytest.mark.parametrize("kind", NETWORKS)
def test_new_inputs_change_no_output_of_rows_without_them(kind: str) -> None:
    """A feature that appears would change every answer, before anything was learned of it."""
    network = create_network(kind, {})
    network.see([0, 2], CPU)
    parameters = parameters_of(network, 3)
    dense = torch.randn((ROWS, INPUTS))
    before = network.outputs(Inputs(dense))
    generator = torch.Generator().manual_seed(0)
    parameters.grow(network.shapes(2 * INPUTS, 4), generator)
    network.add_inputs(parameters.views, INPUTS, [Role.NUMBER, Role.MARK, Role.VALUE, Role.MARK], generator)
    network.see([0, 2, INPUTS], CPU)
    late = torch.zeros((ROWS, INPUTS))
    late[:, [1, 3]] = 1.0  # the new features are missing, and marked so
    after = network.outputs(Inputs(torch.cat([dense, late], 1)))
    torch.testing.assert_close(after[..., :3], before, rtol=1e-5, atol=1e-5)
    assert not after[..., 3].any()


@pytest.mark.parametrize("name", LOSSES)
def test_a_losss_gradient_is_that_of_its_value(name: str) -> None:
    """What is minimised would not be what is reported."""
    made = LOSSES[name]()
    generator = torch.Generator().manual_seed(0)
    classes = name in ("bce", "ce")
    outputs = torch.randn((20, 4 if name == "ce" else 1), generator=generator).mul_(3).requires_grad_()
    targets = torch.arange(20) % (4 if name == "ce" else 2) if classes else torch.randn(20, generator=generator)
    made.rows(outputs, targets).sum().backward()  # type: ignore[no-untyped-call] # PyTorch's
    torch.testing.assert_close(made.gradient(outputs.detach(), targets), outputs.grad)


def test_a_table_of_many_classes_has_fewer_rows() -> None:
    """A stream of a thousand classes would take gigabytes."""
    assert table_rows(1 << 16, 64) == 1 << 16
    assert table_rows(1 << 16, 65) == 1 << 15
    assert table_rows(1 << 16, 1024) * 1024 <= 1 << 22


def test_rows_that_fall_together_share_their_sum() -> None:
    """What was learned for a string would be lost when classes are added."""
    network = create_network("linear", {})
    parameters = Parameters(network, 1, CPU)
    generator = torch.Generator()
    parameters.grow_table(8, 2, generator)
    assert parameters.table is not None
    parameters.table[:, 6, 0] = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    parameters.grow_table(4, 3, generator)
    assert parameters.table.shape == (2, 4, 1, 3)
    torch.testing.assert_close(parameters.table[:, 6 % 4, 0], torch.tensor([[1.0, 2.0, 0.0], [3.0, 4.0, 0.0]]))
    assert float(parameters.table.sum()) == 10


def test_bins_bend_what_is_linear() -> None:
    """A linear network could not learn that the middle is best, or would take other columns for numbers."""
    bins = Bins([1, 2, 70], CPU)
    found = bins.of_rows(torch.tensor([[0.0, 0.0, 4.0, 1.0], [0.0, 0.25, -3.5, 1.0]])).view(2, bins.columns, KNOTS)
    assert bins.columns == 3
    assert not found[:, 0].any()
    near = [[(4, 1.0), (8, 1.0)], [(4, 0.75), (5, 0.25), (0, 0.5), (1, 0.5)]]
    assert [
        [
            (place, found[row, column, place].item())
            for column in (1, 2)
            for place in range(KNOTS)
            if found[row, column, place]
        ]
        for row in (0, 1)
    ] == near
    assert Bins().of_rows(torch.zeros(2, 3)).shape == (2, 0)
