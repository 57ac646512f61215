"""What the fuzzers throw bytes at: every decoder of bytes, each with seeds from which coverage-guided fuzzing begins.

A target takes bytes and returns; an exception is a failure, and so is one that the decoder documents but that says
nothing, or says what cannot be sent to a client.
"""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from safetensors.numpy import save

from consumers.source import Position
from consumers.track import Run
from models.examples import Examples, Features
from models.taught import Taught
from service.durability.journal_format import Decision, Update, encode_entry
from service.durability.manifest import Manifest, encode_manifest
from service.durability.segments import Segment
from service.learning.lessons import encode_lesson
from service.monitoring.status import Status
from service.publishing.publication_layout import describe
from tests.fuzz.event_targets import GOOD, arrow, avro, bodies, events, predictions, tensors
from tests.fuzz.file_targets import HEADER, journal, lessons, manifests, publications, segments, statuses
from tests.support.schema_registry import framed, record_of


class Target(NamedTuple):
    """A decoder under attack."""

    attack: Callable[[bytes], None]
    seeds: Sequence[bytes]


def _stream(**columns: Any) -> bytes:
    table = pa.table(columns)
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _avro(value: Any, **fields: Any) -> bytes:
    schema = json.dumps(record_of(**fields))
    plain = schema.replace("logicalType", "was")
    return schema.encode() + b"\xff" + framed(1, plain, value)[5:]


def _list(items: str) -> dict[str, str]:
    return {"type": "array", "items": items}


def _map(values: str) -> dict[str, str]:
    return {"type": "map", "values": values}


def _taught(taught: Taught) -> Examples:
    return replace(Examples(Features.empty(2), ["a", "b"], np.ones(2, np.float32), np.zeros(2)), taught=taught)


_CHOSEN, _SHARES = np.array([[0, 1], [2, 0]], np.uint16), np.array([[0.5, 0.5], [0.25, 0.75]], np.float16)
_SEGMENT = Segment(f"000001/{'0' * 64}-0.safetensors", "0" * 64, 8)
_MANIFEST = Manifest(3, 1, 1.5, {0: Position(4, 1)}, {"task": "binary"}, {"": {"learner": "x"}}, {"": {"a": _SEGMENT}})

_EVENTS = [
    _json(GOOD),
    _json([GOOD, {"features": {"a": None, "tokens": ["b"]}, "label": "late", "timestamp": "2025-11-21T00:00:00Z"}]),
    _json({"features": {"a.b": 1, "a": {"b": 2}}, "label": 1.5, "weight": 2, "timestamp": 1763683200123}),
    b'{"features":{"a":1e400,"b":-0,"c":' + b"9" * 400 + b'},"label":"\\u0000\\ud83d\\ude00"}',
    _json({**GOOD, "prediction": {"model_version": 3, "probabilities": {"late": 0.25, "1": 1.0005}}}),
    b'{"features":{},"id":2,"prediction":{"model_version":9,"value":1e308,"probabilities":null}}',
    b'{"features":{},"id":2,"prediction":{"model_version":-1,"value":1' + b"0" * 400 + b"}}",
    b'\xef\xbb\xbf{"label":1}',
    b'{"a":1,"a":2,"\\ud800":3,"label":true}',
    b'{"features":{"a":' + b"[" * 40 + b"]" * 40 + b"}}",
    b'{"features":{"a":NaN}}\r\n{"features":{},"label":1}\n\n{',
]

TARGETS: dict[str, Target] = {
    "events": Target(events, [bytes([n]) + event for n in range(8) for event in _EVENTS]),
    "arrow": Target(
        arrow,
        [
            _stream(label=[1, 0], a=[1.5, None], b=["x", "y"]),
            _stream(label=["x"], a=pa.array([[1, 2]]), s=pa.array([{"t": True}])),
            _stream(label=pa.array(["x", "y"]).dictionary_encode(), t=pa.array([1, 2], pa.timestamp("s", "UTC"))),
            _stream(label=[1], n=pa.nulls(1), m=pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int8()))),
        ],
    ),
    "avro": Target(
        avro,
        [
            _avro({"label": 1, "a": 1.5}, label="int", a=["null", "double"]),
            _avro({"label": "x", "t": ["a", "b"], "m": {"k": 1}}, label="string", t=_list("string"), m=_map("long")),
            _avro({"label": True, "r": {"b": b"x"}}, label="boolean", r=record_of("R", b="bytes")),
            _avro(
                {"label": "A", "timestamp": 1_763_683_200_000, "d": b"\x05"},
                label={"type": "enum", "name": "E", "symbols": ["A", "B"]},
                timestamp={"type": "long", "logicalType": "timestamp-millis"},
                d={"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 2},
            ),
            b'{"type":"record","name":"N","fields":[{"name":"n","type":["null","N"]}]}\xff\x02\x02\x02\x00',
        ],
    ),
    "bodies": Target(bodies, [bytes([n]) + event for n in range(16) for event in (*_EVENTS, _stream(label=[1]))]),
    "predictions": Target(
        predictions,
        [
            _json({"features": {"a": 1, "b": "x"}, "id": "i"}),
            _json({"instances": [{"features": {"a": [1, 2], "n": {"m": ["t"]}}}, {"features": {}, "id": 3}]}),
            b'{"instances":[{"features":{"a":1e999,"\\ud800":"x"}}]}',
            b'{"features":{"a":\n 123456789012345678901234567890,"c.d":{"e":[1]}},"id":2,"timestamp":1763683200.5}',
            _json({"features": {"label": "x", "id": 9, "prediction": {"b": 1}, "timestamp": "soon"}, "id": "i"}),
            _json({"instances": [{"features": {}, "id": 1, "timestamp": "2025-11-21"}], "remember": True}),
            b'{"features":{"a":1e400,"b":NaN,"c":[1e999]}}',
        ],
    ),
    "tensors": Target(
        tensors,
        [
            _json({"inputs": [{"name": "a", "shape": [2, 1], "datatype": "FP64", "data": [1, None]}], "id": "i"}),
            _json({"inputs": [{"name": "a", "shape": [1, 2], "datatype": "BYTES", "data": [["x", "y"]]}]}),
            _json(
                {
                    "inputs": [{"name": "a", "shape": [2], "datatype": "INT64", "data": [10**30, 2]}],
                    "parameters": {"ids": ["i", 4], "remember": True},
                }
            ),
            b'{"inputs":[{"name":"a","shape":[0,9999999999],"datatype":"BOOL","data":[]}],"outputs":[{"name":"x"}]}',
        ],
    ),
    "journal": Target(
        journal,
        [
            encode_entry(Update(1, "microbatch", [Run(0, 3)], {0: Position(1)}))[8:]
            + b"\xff\xff\xff"
            + encode_entry(Decision("task", 1, {"task": "binary"}))[8:],
            HEADER,
            b"\x91\x03",
        ],
    ),
    "lessons": Target(
        lessons,
        [
            b"\x02" + encode_lesson(_taught(Taught(0.5, ("a", True, 2), _CHOSEN, _SHARES, np.zeros(0)))),
            b"\x02" + encode_lesson(_taught(Taught(0.5, (), _CHOSEN[:, :0], _SHARES[:, :0], np.array([1.5, -2.0])))),
            b"\x02" + msgspec.msgpack.encode((0.5, -1, "5", b"", b"", b"")),
        ],
    ),
    "manifests": Target(manifests, [encode_manifest(_MANIFEST), b"[]", b'{"schema":1,"sha256":""}']),
    "segments": Target(segments, [save({"a": np.arange(3.0)}), b"\x08" + bytes(7) + b"{}      "]),
    "statuses": Target(
        statuses,
        [msgspec.json.encode(Status(model="m", epoch=1, pid=1, state="idle", written_at=1.0)), b'{"features":[[[[{"a"'],
    ),
    "publications": Target(
        publications,
        [msgspec.msgpack.encode(describe(1, 1, {"learner": "x"}, {}, slots=3, header_size=64))],
    ),
}
"""Every decoder of bytes by name."""
