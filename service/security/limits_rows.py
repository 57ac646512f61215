"""How large one request's rows may be: how many, how many values in each, how deep, and how long a text.

On the path it stands right after decoding, before anything is made of the rows. The length of a body alone says of most
of them that they hold nothing out of bounds, so that a usual request is not looked through.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from service.config import LimitsSettings
from service.decoding.event_problems import Problem
from service.decoding.flattening import FeatureInvalid
from service.decoding.payloads import decode_anything
from service.errors import RequestInvalid

_CONTAINERS = frozenset({list, dict})


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
        short = len(body) <= self._text
        for index, row in enumerate(rows):
            if short and len(row) <= self._values and _CONTAINERS.isdisjoint(map(type, row.values())):
                continue
            problem = self._problem_of(row, self._nesting, self._values)
            if problem is not None:
                raise FeatureInvalid(index, "", problem)

    def problem_in(self, event: bytes) -> Problem | None:
        """Return why an event is out of bounds; None where it is not, or cannot be decoded, which others will say."""
        if self._harmless(event, 0):
            return None
        decoded = decode_anything(event)
        if isinstance(decoded, Problem):
            return None
        # What stands around the features of an event in the envelope format is no feature.
        around = len(decoded) if type(decoded.get("features")) is dict else 0
        problem = self._problem_of(decoded, self._nesting + bool(around), self._values + around)
        return None if problem is None else Problem("feature", problem)

    def _harmless(self, body: bytes, elsewhere: int) -> bool:
        """Whether nothing in `body` can be out of bounds, `elsewhere` of its brackets not being around one another."""
        brackets = body.count(b"{") + body.count(b"[")
        return (
            len(body) <= self._text
            and brackets - elsewhere <= self._nesting
            # Each value but the first of an object or a list follows a comma.
            and brackets + body.count(b",") <= self._values
        )

    def _problem_of(self, row: Mapping[str, Any], levels: int, values: int) -> str | None:
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
            if count > values:
                return f"holds more than {self._values} values (limits.max_features)"
            if type(value) is not list:
                waiting.extend((name, depth) for name in value if len(name) > self._text)
            waiting.extend((part, depth + 1) for part in parts if type(part) in (str, list, dict))
        return None
