"""What ``--learner`` and ``--learners`` take, checked in one way. Light, because ``--help`` lists the names."""

import difflib
from collections.abc import Collection
from importlib.metadata import entry_points

from service.errors import ConfigurationInvalid

LARGEST = 1_000_000
"""Rows of a microbatch, as in the configuration."""

_GROUP = "headrace.networks"


def check_learner(kind: str, known: Collection[str], said: str) -> None:
    """Refuse a learner that there is not.

    Parameters
    ----------
    kind
        Its name, or a network of the user's own.
    known
        Names that there are.
    said
        The option with what was given, for the message.

    Raises
    ------
    ConfigurationInvalid
    """
    if kind in known or ":" in kind or kind in entry_points(group=_GROUP).names:
        return
    near = difflib.get_close_matches(kind, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ConfigurationInvalid(
        f"{said}: there is no learner {kind!r}; {hint}There are {', '.join(known)}, and networks of your own as "
        "path/to/file.py:ClassName"
    )


def is_size(text: str) -> bool:
    """Return whether `text` is a number of rows that a microbatch can have."""
    return text.isdecimal() and 0 < int(text) <= LARGEST
