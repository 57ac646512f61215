"""Names of features: nested objects become dotted names, and the configuration says which names are wanted.

On the path it stands right after JSON decoding, for events and for prediction requests alike, so that both mean the
same feature by the same name.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from service.errors import ServiceError

MAXIMUM_DEPTH = 32
"""Levels of objects within objects; deeper ones are no feature of anything."""

MAXIMUM_LENGTH = 10_000_000
"""Characters of all dotted names of one event: as many and as long ones as an event may have."""

_REMEMBERED = 100_000
"""Verdicts on names that are remembered; beyond, a flood of names would eat the memory."""

_MEMORABLE = 1_000
"""Characters of a name whose verdict is remembered: longer ones are no features."""


class FeatureInvalid(ServiceError):
    """A feature that cannot be used.

    Parameters
    ----------
    index
        Row that it is in.
    field
        Name of the feature, dotted.
    message
        What is wrong with it, for a person.
    """

    def __init__(self, index: int, field: str, message: str) -> None:
        super().__init__(f"feature {field[:100]!r}: {message}" if field else message)
        self.index = index
        self.field = field
        self.message = message


class Selection:
    """Decides by name which features are wanted.

    Parameters
    ----------
    include, exclude
        Glob patterns. A pattern that matches an object, by its dotted name, covers all within it. Without `include`
        everything is wanted; `exclude` wins.
    """

    def __init__(self, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> None:
        self._include = tuple(include)
        self._exclude = tuple(exclude)
        self.is_everything = not include and not exclude
        """Whether every name is wanted."""
        self._known: dict[str, bool] = {}

    def wants(self, name: str) -> bool:
        """Whether the feature of this dotted name is wanted."""
        if self.is_everything:
            return True
        wanted = self._known.get(name)
        if wanted is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            wanted = self._decide(name)
            if len(name) <= _MEMORABLE:
                self._known[name] = wanted
        return wanted

    def leaves_out(self, name: str) -> bool:
        """Whether everything within the object of this dotted name is left out."""
        return bool(self._exclude) and _any_match(_itself_and_parents(name), self._exclude)

    def _decide(self, name: str) -> bool:
        names = _itself_and_parents(name)
        if _any_match(names, self._exclude):
            return False
        return not self._include or _any_match(names, self._include)


def _itself_and_parents(name: str) -> list[str]:
    """Return ``["a.b.c", "a.b", "a"]`` for ``a.b.c``; at most as many as objects may be nested."""
    names = [name]
    while "." in names[-1] and len(names) <= MAXIMUM_DEPTH:
        names.append(names[-1].rpartition(".")[0])
    return names


def _any_match(names: Sequence[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


EVERYTHING = Selection()


def flatten(
    nested: Mapping[str, Any], selection: Selection = EVERYTHING, parts: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Return what `nested` holds by dotted names.

    Parameters
    ----------
    nested
        A decoded JSON object.
    selection
        Which names are wanted.
    parts
        Names that are no features (label, id, …): taken as they are, whatever `selection` says.

    Raises
    ------
    FeatureInvalid
        Two values have one name, objects are nested too deeply, or the names are too long; its index is 0.
    """
    if selection.is_everything and not parts and dict not in set(map(type, nested.values())):
        return nested if type(nested) is dict else dict(nested)
    flattener = _Flattener(selection, parts)
    flattener.descend(nested, "", 1)
    return flattener.flat


class _Flattener:
    """Collects values by dotted names."""

    def __init__(self, selection: Selection, parts: frozenset[str]) -> None:
        self.flat: dict[str, Any] = {}
        self._selection = selection
        self._parts = parts
        self._length = 0

    def descend(self, nested: Mapping[str, Any], prefix: str, depth: int) -> None:
        """Take what is wanted of an object whose names begin with `prefix`."""
        for key, value in nested.items():
            name = prefix + key
            # Each of the many values of an object repeats the name of the object.
            self._length += len(name)
            if self._length > MAXIMUM_LENGTH:
                raise FeatureInvalid(0, name, f"the event's names have more than {MAXIMUM_LENGTH} characters")
            if type(value) is not dict or name in self._parts:
                self._take(name, value)
            elif not self._selection.leaves_out(name):
                if depth >= MAXIMUM_DEPTH:
                    raise FeatureInvalid(0, name, f"objects are nested more than {MAXIMUM_DEPTH} deep")
                self.descend(value, name + ".", depth + 1)

    def _take(self, name: str, value: Any) -> None:
        if name not in self._parts and not self._selection.wants(name):
            return
        if name in self.flat:
            raise FeatureInvalid(0, name, "two fields of the event have this dotted name")
        self.flat[name] = value
