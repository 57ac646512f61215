"""What a prediction request asks: rows of features, what they are called, and whether the answer is to be remembered.

On the path it stands between a request's bytes and the coalescer, for the route and for the short way alike. Whatever
is wrong with a request is said here, before anything is computed for it.
"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from service.decoding.examination import id_usable
from service.decoding.flattening import FeatureInvalid
from service.decoding.times import event_times
from service.errors import RequestInvalid
from service.rest.prediction_answers import InstanceId
from service.rest.request_body import decode_json
from service.security.limits_rows import RowLimits
from service.settings.remember import Remember

IN_INSTANCES = "instances[{}].features"


class _Instance(msgspec.Struct):
    features: dict[str, Any]
    id: InstanceId = None
    timestamp: Any = None


class _Body(msgspec.Struct):
    """Either form of the body: one instance, or a list of them."""

    features: dict[str, Any] | None = None
    id: InstanceId = None
    timestamp: Any = None
    instances: list[_Instance] | None = None
    remember: bool | None = None
    explain: bool | None = None


decoder = msgspec.json.Decoder(_Body)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked, row by row.

    Attributes
    ----------
    rows, ids
        Features as they were decoded, and what each row is called, if anything.
    path
        Where in the request a row's features are, with ``{}`` for its number.
    timestamps
        When the rows say that they happened, as they say it.
    remember
        Whether the answers are to be remembered; None: as the model's settings say.
    explain
        Whether they are to be explained.
    """

    rows: Sequence[dict[str, Any]]
    ids: Sequence[InstanceId]
    path: str
    timestamps: Sequence[Any]
    remember: bool | None = None
    explain: bool = False

    def place(self, row: int, field: str) -> str:
        """Return where in the request a row's other fields are; there may be one of them alone."""
        where = self.path.format(row)
        return where.removesuffix("features") + field if where.endswith("features") else where

    def to_remember(self, remember: Remember) -> bool:
        """Return whether any answer is to be remembered: those of rows with an id are.

        Raises
        ------
        RequestInvalid
            422 where that is asked for and cannot be done.
        """
        if self.remember is False or (remember == "none" and not self.remember):
            return False
        if remember == "none":
            raise RequestInvalid(
                "this model remembers no predictions: set models.NAME.remember to log, or leave it out", 422, "remember"
            )
        for row, name in enumerate(self.ids):
            if name is None and self.remember:
                raise RequestInvalid("missing: what is remembered is found again by it", 422, self.place(row, "id"))
            if not id_usable(name):
                raise RequestInvalid(
                    "an id that is remembered has at most 1,000 characters, or 64 bits", 422, self.place(row, "id")
                )
        _, bad = event_times(self.timestamps)
        if bad:
            raise RequestInvalid(
                "a timestamp is ISO 8601, or seconds or milliseconds since the epoch",
                422,
                self.place(bad[0], "timestamp"),
            )
        return any(name is not None for name in self.ids)


def asked_in(body: bytes, limits: RowLimits) -> Asked:
    """Return what a body asks, none of it out of bounds.

    Raises
    ------
    RequestInvalid
    """
    asked = _asked_of(decode_json(body, decoder))
    limits.check_count(len(asked.rows), "instances")
    with blaming(asked.path):
        limits.check(asked.rows, body)
    return asked


def _asked_of(body: _Body) -> Asked:
    explain = body.explain or False
    if body.instances is not None:
        if body.features is not None:
            raise RequestInvalid("send either features or instances, not both", 422, "features")
        each = body.instances
        times = [one.timestamp for one in each]
        return Asked(
            [one.features for one in each], [one.id for one in each], IN_INSTANCES, times, body.remember, explain
        )
    if body.features is None:
        raise RequestInvalid(
            'missing; send {"features": {…}} or {"instances": [{"features": {…}}, …]}', 422, "features"
        )
    return Asked([body.features], [body.id], "features", [body.timestamp], body.remember, explain)


@contextlib.contextmanager
def blaming(path: str) -> Iterator[None]:
    """Turn a feature that cannot be used into a 422 that says where it is.

    Parameters
    ----------
    path
        Of a row's features in the request, with ``{}`` for the row's number.
    """
    try:
        yield
    except FeatureInvalid as error:
        field = path.format(error.index)
        raise RequestInvalid(error.message, 422, f"{field}.{error.field}" if error.field else field) from error
