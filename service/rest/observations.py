"""Predictions as they are remembered: the features that were answered from, the id, and what was answered, as an event.

On the path it stands behind the answer, and makes of it what the log is to keep (``remembering.py``). An event that
names its label by the same id later makes a labelled example of both; see :mod:`service.decoding.answer_columns` for
how what was answered is read back.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from consumers.source import NewRecord
from service.config import ModelSettings
from service.decoding.event_bodies import one_line
from service.decoding.flattening import Selection, flatten
from service.decoding.single_decoding import part_paths
from service.predictor import Served
from service.rest.prediction_answers import ClassPrediction, InstanceId, NumberPrediction
from service.rest.prediction_requests import Asked
from service.settings.event_options import RECORD_KEY, EventOptions


class _RawInstance(msgspec.Struct):
    features: msgspec.Raw


class _RawBody(msgspec.Struct):
    features: msgspec.Raw = msgspec.Raw()
    instances: list[_RawInstance] | None = None


class _Given(msgspec.Struct, omit_defaults=True):
    """What was answered, by which model, and by which arm of a contest if there is one."""

    model_version: int
    of_model: str | None = None
    probabilities: dict[str, float] | None = None
    value: float | None = None
    arm: str | None = None


class _Observation(msgspec.Struct, omit_defaults=True):
    """An event in Headrace's own format."""

    features: msgspec.Raw | Mapping[str, Any]
    id: InstanceId = None
    timestamp: Any = None
    prediction: _Given | None = None


_raw = msgspec.json.Decoder(_RawBody)
_encode = msgspec.json.Encoder().encode


def raw_features(body: bytes) -> Sequence[msgspec.Raw]:
    """Return the features of each row of a request as the bytes that came, which are what was answered from."""
    asked = _raw.decode(body)
    if asked.instances is not None:
        return [each.features for each in asked.instances]
    return [asked.features]


def observations(
    settings: ModelSettings,
    asked: Asked,
    features: Sequence[msgspec.Raw | Mapping[str, Any]],
    served: Served,
    answers: Sequence[ClassPrediction | NumberPrediction],
    *,
    keyed: bool,
    of_model: str,
) -> list[NewRecord]:
    """Return one record for each row that has an id.

    Parameters
    ----------
    settings
        The model's.
    asked
        The request.
    features
        Of each row, as they are to be kept.
    served, answers
        What was answered, and by which parameters.
    keyed
        Whether a record's key says where it goes: then an observation and its label must have the same.
    of_model
        The model's identity.
    """
    make = _flat_maker(settings.events) if settings.events.format == "flat" else _encode
    key_wanted = keyed or settings.events.id == RECORD_KEY
    records = []
    for row, name in enumerate(asked.ids):
        if name is not None:
            given = _given(served, answers[row], of_model)
            event = make(_Observation(features[row], name, asked.timestamps[row], given))
            records.append(NewRecord(one_line(event), str(name).encode() if key_wanted else None))
    return records


def _given(served: Served, answer: ClassPrediction | NumberPrediction, of_model: str) -> _Given | None:
    """Return what was answered; nothing where nothing had been learned, for then nobody had anything to go by."""
    if served.version == 0:
        return None
    if isinstance(answer, NumberPrediction):
        return _Given(served.version, of_model or None, value=answer.value, arm=answer.arm)
    if answer.probabilities is None:
        return None
    return _Given(served.version, of_model or None, answer.probabilities, arm=answer.arm)


def _flat_maker(options: EventOptions) -> Any:
    """Return what writes an observation as a flat event."""
    paths = part_paths(options)
    selection, parts = Selection(options.include, options.exclude), frozenset(paths)
    path_of = {part: path for path, part in paths.items()}

    def make(observation: _Observation) -> bytes:
        features = observation.features
        nested = msgspec.json.decode(features) if isinstance(features, msgspec.Raw) else features
        flat = dict(flatten(nested, selection, parts))
        # What a request says in the place of the label is no label: nobody has it yet.
        flat.pop(path_of["label"], None)
        flat |= {path_of["prediction"]: observation.prediction}
        for part, value in (("id", observation.id), ("timestamp", observation.timestamp)):
            if part in path_of and value is not None:
                flat[path_of[part]] = value
        return _encode(flat)

    return make
