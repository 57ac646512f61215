"""Names of arrays and tensors: what a part calls ``weights`` is ``leaves.weights`` to whoever holds the part."""

from collections.abc import Mapping
from typing import TypeVar

Value = TypeVar("Value")


def under(beginning: str, named: Mapping[str, Value]) -> dict[str, Value]:
    """Return what has a name that begins so, under the rest of its name."""
    return {name.removeprefix(beginning): value for name, value in named.items() if name.startswith(beginning)}


def beneath(beginning: str, named: Mapping[str, Value]) -> dict[str, Value]:
    """Return everything under its name with a beginning before it: what :func:`under` undoes."""
    return {f"{beginning}{name}": value for name, value in named.items()}
