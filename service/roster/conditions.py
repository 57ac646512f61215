"""The conditions of a request (RFC 9110): so that two who change the same settings do not undo each other's."""

import re
from dataclasses import dataclass

from service.errors import RequestInvalid

_FAILED = 412

_TAG = re.compile(r'\*|(?:W/)?"[^"]*"')


@dataclass(frozen=True, slots=True)
class Conditions:
    """Under which a change is made (RFC 9110, ``If-Match`` and ``If-None-Match``); None where none was sent."""

    match: str | None = None
    none_match: str | None = None

    def check(self, revision: str | None) -> None:
        """Raise RequestInvalid (412) where they do not hold for a model of this revision; None: there is none."""
        if self.match is not None and not _names(self.match, revision):
            now = "there is no such model" if revision is None else f'it is "{revision}" now'
            raise RequestInvalid(f"the settings are not those of If-Match: {now}; look at them again", _FAILED)
        if self.none_match is not None and _names(self.none_match, revision):
            raise RequestInvalid("there is a model of that name already (If-None-Match)", _FAILED)


def _names(header: str, revision: str | None) -> bool:
    """Whether a list of entity tags names a revision; ``*`` names any that there is."""
    tags = _TAG.findall(header)
    return revision is not None and ("*" in tags or f'"{revision}"' in tags)
