"""What the text in a cell of a table means: a number, true or false, nothing, or a text."""

import re

Cell = str | int | float | bool | None

_NUMBER = re.compile(r"\s*[+-]?(?:(?P<integer>\d+)|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*", re.ASCII)

_LARGEST = 2**63
"""JSON's readers agree on integers only up to 64 bits; a larger one becomes a float."""

_REMEMBERED = 50_000
"""Cells that are remembered: few columns have more different values, and each costs about a hundred bytes."""


def infer(text: str) -> Cell:
    """Return what `text` says: nothing is missing, 3 an integer, 3.0 a float, true and false (in any case) booleans."""
    if not text:
        return None
    number = _NUMBER.fullmatch(text)
    if number is None:
        word = text.lower()
        return word == "true" if word in ("true", "false") else text
    if number["integer"]:
        integer = int(text)
        return integer if -_LARGEST <= integer < _LARGEST else float(integer)
    value = float(text)
    return value if abs(value) < float("inf") else text


class Inference(dict[str, Cell]):
    """Text → what it means, remembered: looking up a cell that was seen before runs no Python code."""

    def __missing__(self, text: str) -> Cell:
        """Infer a text that was not seen before."""
        value = infer(text)
        if len(self) < _REMEMBERED:
            self[text] = value
        return value
