"""Decoders of events and of requests under attack: what must hold whatever bytes a producer or a client sends."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn
from unittest.mock import patch

import msgspec

from consumers.source import StoredRecord
from models.examples import Kind
from service.config import LimitsSettings, ModelSettings
from service.decoding.arrow_columns import ArrowColumns
from service.decoding.avro_events import Schemas
from service.decoding.columns import features_from_rows
from service.decoding.event_bodies import events_from_body
from service.decoding.flattening import FeatureInvalid
from service.errors import RequestInvalid
from service.events import EventDecoder
from service.predictor import Served
from service.rest.observations import observations, raw_features
from service.rest.open_inference import InferenceRequest, named_rows, rows_of
from service.rest.prediction_answers import ClassPrediction
from service.rest.prediction_requests import Asked, asked_in
from service.rest.prediction_requests import decoder as predict_decoder
from service.rest.request_body import decode_json
from service.security.limits_rows import RowLimits
from service.settings.event_options import EventOptions
from tests.support.events import ARROW, NDJSON, record, seen
from tests.support.schema_registry import KnownSchemas

GOOD = {"features": {"a": 1, "b": "x", "c": {"d": [1, 2]}}, "label": 1, "x": {"y": True}, "id": "i"}

OPTIONS = [
    EventOptions(),
    EventOptions(
        format="flat", label="label", id="id", timestamp="timestamp", weight="weight", prediction="prediction"
    ),
    EventOptions(id="$key", include=("a", "c*"), exclude=("c.d",)),
    EventOptions(format="flat", label="x.y", id="$key", features={"b": Kind.CATEGORY, "a": Kind.NUMBER}),
]
LIMITS = RowLimits(LimitsSettings())
HEADERS: list[tuple[tuple[str, bytes], ...]] = [(), NDJSON, ARROW]


def events(data: bytes) -> None:
    """Decode messages: the first byte chooses how, the others are messages, parted by ``0xff``, which is no UTF-8."""
    if not data:
        return
    options, headers = OPTIONS[data[0] % 4], HEADERS[data[0] // 4 % 2]
    good = record(GOOD, 0)
    messages = [record(value, n + 1, headers=headers) for n, value in enumerate(data[1:].split(b"\xff")[:6])]
    _decoded_alike(options, [good, *messages, record(GOOD, len(messages) + 1)])


def arrow(data: bytes) -> None:
    """Decode one Arrow stream: as columns, and as rows, which must agree."""
    records = [record(GOOD, 0), record(data, 1, headers=ARROW), record(GOOD, 2)]
    _decoded_alike(OPTIONS[1], records)
    in_columns = seen(EventDecoder(OPTIONS[1], {}).decode(records))
    with patch.object(ArrowColumns, "takes", return_value=False):
        assert seen(EventDecoder(OPTIONS[1], {}).decode(records)) == in_columns, "columns mean something else than rows"


def avro(data: bytes) -> None:
    """Decode one Avro message: its schema, ``0xff``, which is no UTF-8, and its body."""
    schema, _, body = data.partition(b"\xff")
    schemas = KnownSchemas({1: schema.decode(errors="replace")})
    message = record(b"\0\0\0\0\1" + body, 1)
    _decoded_alike(OPTIONS[1], [record(GOOD, 0), message, record(GOOD, 2)], schemas)


def _decoded_alike(options: EventOptions, records: list[StoredRecord], schemas: Schemas | None = None) -> None:
    """Decode `records`, whose first and last are good, in all ways that there are; they must agree."""
    experienced = EventDecoder(options, {}, schemas=schemas)
    for _ in range(2):
        experienced.decode(records)
    fresh = EventDecoder(options, {}, schemas=schemas).decode(records)
    assert seen(experienced.decode(records)) == seen(fresh), "experience changes what an event means"
    alone = [EventDecoder(options, {}, schemas=schemas).decode([each]) for each in records]
    assert fresh.rejected == [each for one in alone for each in one.rejected], "messages are mixed up"
    assert list(fresh.examples.labels) == [label for one in alone for label in one.examples.labels]
    assert not alone[0].rejected, "a good event was refused"
    assert not alone[-1].rejected, "a good event was refused"
    for letter in fresh.rejected:
        msgspec.json.encode((letter.reason, letter.detail))
        assert len(letter.detail) < 1000, "what a producer sent is repeated at length"


def bodies(data: bytes) -> None:
    """Take apart a body of ``POST /events``; what is accepted must be usable later, alone."""
    if not data:
        return
    options = OPTIONS[data[0] % 4]
    kind = ("", "application/x-ndjson", "application/vnd.apache.arrow.stream", "text/\xe9")[data[0] // 4 % 4]
    try:
        judged = events_from_body(data[1:], kind, EventDecoder(options, {}))
    except RequestInvalid as error:
        _tellable(error)
        return
    accepted = [event for _, event in judged if isinstance(event, bytes)]
    decoded = EventDecoder(options, {}).decode([record(event, n) for n, event in enumerate(accepted)])
    assert not decoded.rejected, "what was accepted cannot be used"
    assert not any(b"\n" in event for event in accepted), "an event is more than one line"


def predictions(data: bytes) -> None:
    """Decode the body of a prediction request; what is remembered of it must be usable when it comes back."""
    if _asked(data, predict_decoder) is None:
        return
    try:
        asked = asked_in(data, LIMITS)
        remembered = asked.to_remember("log")
    except RequestInvalid as error:
        _tellable(error)
        return
    if _featured(asked.rows) and remembered:
        _remembered(asked, raw_features(data))


def tensors(data: bytes) -> None:
    """Decode the body of a request of the Open Inference Protocol; as above."""
    asked = _asked(data, _inference)
    if asked is not None:
        try:
            rows = rows_of(asked.inputs)
            named = named_rows(asked, rows)
            remembered = named.to_remember("log")
        except RequestInvalid as error:
            _tellable(error)
            return
        if _featured(rows) and remembered:
            _remembered(named, rows)


def _remembered(asked: Asked, features: Sequence[msgspec.Raw | Mapping[str, Any]]) -> None:
    """Make observations of a request, and read them again."""
    served = Served(3, "microbatch", 0.0, None, "publication")
    answers = [ClassPrediction("late", {"late": 0.75, "true": 0.25}, each) for each in asked.ids]
    for options in OPTIONS[:3]:
        settings = ModelSettings(remember="log", events=options)
        try:
            made = observations(settings, asked, features, served, answers, keyed=False, of_model="m")
        except FeatureInvalid:  # names that mean the parts of a flat event
            assert options.format == "flat", "what was answered cannot be remembered"
            continue
        records = [StoredRecord(0, offset, 0, *each[1::-1], ()) for offset, each in enumerate(made)]
        decoded = EventDecoder(options, {}, joined=True, of_model="m").decode(records)
        assert len(made) == sum(each is not None for each in asked.ids), "an answer is not remembered"
        if options.format == "envelope":
            assert not decoded.rejected, f"what is remembered cannot be used: {decoded.rejected}"
            assert decoded.examples.answered is not None
            assert (decoded.examples.answered.versions == served.version).all()


_inference = msgspec.json.Decoder(InferenceRequest)


def _asked(data: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    try:
        asked = decode_json(data, decoder)
    except RequestInvalid as error:
        _tellable(error)
        return None
    # Strings that cannot be written as UTF-8 would make the answer impossible.
    msgspec.json.encode(msgspec.to_builtins(asked))
    # What no field takes is not looked at, so that it need not even be UTF-8.
    json.loads(data.decode(errors="replace"), parse_constant=_no_json)
    return asked


def _no_json(name: str) -> NoReturn:
    raise AssertionError(f"{name} was taken for JSON")


def _featured(rows: Sequence[dict[str, Any]]) -> bool:
    """Make features of rows; return whether that can be done."""
    try:
        features = features_from_rows(rows)
    except FeatureInvalid as error:
        msgspec.json.encode((error.field, error.message))
        return False
    assert len(features) == len(rows)
    return True


def _tellable(error: RequestInvalid) -> None:
    assert 400 <= error.status < 500
    assert str(error)
    msgspec.json.encode((str(error), error.field))
