"""What columns have been worth so far, and how large they are made by it: as in shrinkage estimation.

Lags, and means of the target by values of a number, tell much on one stream and nothing on the next, or nothing at the
label delay at hand; and a column of noise costs every expert a little. Each such column is itself an estimate of the
target, in its units. So the slope of the regression of the target on it says how much of it is to be believed: it is
multiplied by this slope, from 0 to 1. The slope comes from columns as they were before the labels they are compared
with, at the delay at which they are used.
"""

import numpy as np

from models.encoder_plan import Places
from models.encoder_sides import Matrix

FORGOTTEN = 1e-4  # share that each row takes from what earlier ones said
PRODUCTS, SQUARES = range(2)


def new_worth(columns: int) -> Matrix:
    """Return what columns of which nothing is known were worth: shape (2, columns), sums of products and of squares."""
    return np.zeros((2, columns))


def slopes(worth: Matrix) -> Matrix:
    """Return what each column is multiplied by, shape (columns,): 0 before anything is known."""
    products, squares = worth
    found: Matrix = np.divide(products, squares, out=np.zeros_like(squares), where=squares > 0)
    return np.clip(found, 0.0, 1.0)


def add_worth(worth: Matrix, columns: Places, rows: int, products: Matrix, squares: Matrix) -> None:
    """Take in what columns were before the targets were known.

    Parameters
    ----------
    worth
        Changed.
    columns
        Places in it.
    rows
        How many there were.
    products, squares
        Sums over the rows of each column times the target's side in the same unit, and of the column's squares.
    """
    worth[:, columns] = worth[:, columns] * (1 - FORGOTTEN) ** rows + np.stack([products, squares])
