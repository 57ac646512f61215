"""How large one request's rows may be: how many, how many values in each, how deep, and how long a text.

On the path it stands right after decoding, before anything is made of the rows. The length of a body alone says of most
of them that they hold nothing out of bounds, so that a usual request is not looked through.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from service.config import LimitsSettings
from service.errors import RequestInvalid
from service.event_problems import Problem
from service.flattening import FeatureInvalid
from service.payloads import decode_anything

_ENVELOPE = 1
"""Levels of an event around its features."""


class RowLimits:
    """The bounds on what is in a request.

    Parameters
    ----------
    limits
        As configured.
    """

    def __init__(self, limits: LimitsSettings) -> None:
        self._rows = limits.max_rows
        self._values = limits.max_features
        self._nesting = limits.max_nesting
        self._text = limits.max_text

    def check_count(self, rows: int, field: str) -> None:
        """Look at the number of rows.

        Raises
        ------
        RequestInvalid
            413 where there are too many.
        """
        if rows > self._rows:
            raise RequestInvalid(f"holds {rows} rows; send at most {self._rows} (limits.max_rows) at once", 413, field)

    def check(self, rows: Sequence[Mapping[str, Any]], body: bytes) -> None:
        """Look at decoded features, one mapping a row.

        Parameters
        ----------
        rows
            The features.
        body
            What they were decoded from; in it each row's features are an object within an object.

        Raises
        ------
        FeatureInvalid
            For the first row that is out of bounds.
        """
        if self._harmless(body, 2 * (len(rows) - 1)):
            return
        for index, row in enumerate(rows):
            problem = self._problem_of(row, self._nesting)
            if problem is not None:
                raise FeatureInvalid(index, "", problem)

    def problem_in(self, event: bytes) -> Problem | None:
        """Return why an event is out of bounds; None where it is not, or cannot be decoded, which others will say."""
        if self._harmless(event, _ENVELOPE):
            return None
        decoded = decode_anything(event)
        if isinstance(decoded, Problem):
            return None
        problem = self._problem_of(decoded, self._nesting + _ENVELOPE)
        return None if problem is None else Problem("feature", problem)

    def _harmless(self, body: bytes, elsewhere: int) -> bool:
        """Whether nothing in `body` can be out of bounds, `elsewhere` of its brackets not being around one another."""
        size = len(body)
        # A value takes two characters at least, its comma included.
        return (
            size <= self._text
            and size <= 2 * self._values
            and body.count(b"{") + body.count(b"[") - elsewhere <= self._nesting
        )

    def _problem_of(self, row: Mapping[str, Any], levels: int) -> str | None:
        """Return what is out of bounds in a row."""
        count = 0
        waiting: list[tuple[Any, int]] = [(row, 1)]
        while waiting:
            value, depth = waiting.pop()
            if type(value) is str:
                if len(value) > self._text:
                    return f"a text has {len(value)} characters; at most {self._text} (limits.max_text) are taken"
                continue
            if depth > levels:
                return f"is nested more than {self._nesting} deep (limits.max_nesting)"
            parts = value if type(value) is list else value.values()
            count += len(parts)
            if count > self._values:
                return f"holds more than {self._values} values (limits.max_features)"
            if type(value) is not list:
                waiting.extend((name, depth) for name in value if len(name) > self._text)
            waiting.extend((part, depth + 1) for part in parts if type(part) in (str, list, dict))
        return None
