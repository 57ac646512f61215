"""Why an event, or a whole message, cannot be used: what the steps of decoding tell each other."""

from typing import NamedTuple

import msgspec

_DETAIL = 300
"""Characters of a detail; what a producer sent is never repeated at length."""

BAD_JSON = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding JSON raises: malformed, wrong type or number out of range; no UTF-8; nested too deeply."""


class Problem(NamedTuple):
    """Why an event cannot be used: a reason from the fixed set, and a detail for a person."""

    reason: str
    detail: str


class PayloadInvalid(Exception):
    """A whole message cannot be taken apart; `problem` says why. It never leaves the decoder."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.problem = Problem(reason, detail)


def explain(error: BaseException) -> str:
    """Return what a decoder complains about, in bounded length."""
    return str(error)[:_DETAIL]
