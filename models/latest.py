"""What was worked out for an answer and is wanted again when the same rows are learned, which mostly comes next."""

from typing import Generic, TypeVar

Value = TypeVar("Value")


class Latest(Generic[Value]):
    """One value, of the latest answer only. Keeping it changes no answer: without it, it is worked out again."""

    def __init__(self) -> None:
        self._kept: tuple[object, Value] | None = None

    def keep(self, of: object, value: Value) -> None:
        """Keep a value in place of the one before.

        Parameters
        ----------
        of
            What it belongs to; known again by identity.
        value
            What is wanted again.
        """
        self._kept = of, value

    def take(self, of: object) -> Value | None:
        """Return the value that was kept of this very thing, None where there is none; it is kept no longer."""
        kept, self._kept = self._kept, None
        return kept[1] if kept is not None and kept[0] is of else None

    def forget(self) -> None:
        """Keep nothing: what the value was worked out from has changed."""
        self._kept = None
