"""Inputs of at most a few megabytes that would become gigabytes if nobody looked; each must cost little, and no error.

Run as a program, it tries all of them under a limit on memory and prints what became of each.
"""

import io
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from service.decoding.columns import features_from_rows
from service.decoding.flattening import FeatureInvalid
from service.errors import RequestInvalid
from service.events import EventDecoder
from service.rest.open_inference import InferenceRequest, rows_of
from service.rest.request_body import decode_json
from service.settings.event_options import EventOptions
from tests.support.events import NDJSON, record

ROOM = 768 * 1024 * 1024
"""Bytes of memory that one input may take."""

ARROW = (("content-type", b"application/vnd.apache.arrow.stream"),)


def _array(events: list[bytes]) -> bytes:
    return b"[" + b",".join(events) + b"]"


def _decode(value: bytes, headers: Any = (), known: dict[str, Any] | None = None) -> str:
    """Decode one message, after another has shown the decoder its shape."""
    decoder = EventDecoder(EventOptions(), {})
    for _ in range(0 if known is None else 2):
        decoder.decode([record(known)])
    (decoded,) = decoder.pieces([record(value, 1, headers=headers)])
    return decoded.rejected[0].reason if decoded.rejected else "accepted"


def _predict(rows: list[dict[str, Any]]) -> str:
    try:
        features_from_rows(rows)
    except FeatureInvalid:
        return "refused"
    return "accepted"


def _infer(body: bytes) -> str:
    try:
        rows_of(decode_json(body, msgspec.json.Decoder(InferenceRequest)).inputs)
    except RequestInvalid:
        return "refused"
    return "accepted"


def _arrow(features: dict[str, Any]) -> str:
    struct = pa.StructArray.from_arrays(list(features.values()), list(features))
    batch = pa.record_batch({"features": struct})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return _decode(sink.getvalue(), ARROW)


def _repeated(text: str, times: int) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array([0] * times, pa.int8()), pa.array([text]))


def _polled(events: int) -> str:
    """Decode as many records in one call, each of names of its own."""
    values = [{"features": {f"{event}-{n}": n for n in range(50)}, "label": 1} for event in range(events)]
    pieces = list(EventDecoder(EventOptions(), {}).pieces([record(value, n) for n, value in enumerate(values)]))
    learned = sum(len(piece.examples) for piece in pieces)
    return "accepted" if learned == events else f"only {learned} of {events} were accepted"


_ONE = b'{"features":{"a":1},"label":1}'
_ONE_NAME = b'{"features":{"%s":{%s}}}'
_LONG_VECTOR = b'{"features":{"v":[%s]},"label":1}'

BOMBS: dict[str, tuple[Callable[[], str], str]] = {
    "a name of its own in each event": (
        lambda: _decode(_array([b'{"features":{"a%d":1},"label":1}' % n for n in range(30_000)])),
        "malformed",
    ),
    "records with names of their own": (lambda: _polled(2000), "accepted"),
    "a name of its own in each instance": (lambda: _predict([{f"a{n}": 1} for n in range(30_000)]), "refused"),
    "small events after wide ones": (
        lambda: _decode(
            _array([b'{"features":{},"label":1}'] * 90_000), known={"features": {f"{n}": 1 for n in range(999)}}
        ),
        "accepted",
    ),
    "small events on one line after wide ones": (
        lambda: _decode(b"{}" * 90_000 + b"\n{}", NDJSON, known={"features": {f"{n}": 1 for n in range(999)}}),
        "malformed",
    ),
    "a long name around many": (
        lambda: _decode(_ONE_NAME % (b"a" * 1_000_000, b",".join(b'"%d":1' % n for n in range(9999)))),
        "feature",
    ),
    "long names around many, in many events": (
        lambda: _decode(_array([_ONE_NAME % (b"a" * 990, b",".join(b'"%x":1' % n for n in range(999)))] * 500)),
        "malformed",
    ),
    "a vector without end": (
        lambda: _decode(_array([_LONG_VECTOR % b",".join([b"1"] * 500_000), *[_ONE] * 20_000])),
        "feature",
    ),
    "one long vector among many events": (
        lambda: _decode(_array([_LONG_VECTOR % b",".join([b"1"] * 9_999), *[_ONE] * 20_000])),
        "malformed",
    ),
    "brackets": (lambda: _decode(b'{"features":{"a":' + b"[" * 1_000_000), "malformed"),
    "braces": (lambda: _decode(b'{"a":' * 1_000_000), "malformed"),
    "digits": (lambda: _decode(b'{"features":{"a":%s}}' % (b"9" * 1_000_000)), "malformed"),
    "elements that are no events": (lambda: _decode(_array([b"0"] * 1_000_000)), "malformed"),
    "empty lines": (lambda: _decode(b"\n" * 2_000_000, NDJSON), "malformed"),
    "rows that hold nothing": (
        lambda: _infer(b'{"inputs":[{"name":"a","shape":[1000000000,0],"datatype":"FP64","data":[]}]}'),
        "refused",
    ),
    "Arrow: a list of a hundred million nulls": (
        lambda: _arrow({"a": pa.FixedSizeListArray.from_arrays(pa.nulls(10**8), 10**8)}),
        "malformed",
    ),
    "Arrow: a long text in a list, again and again": (
        lambda: _arrow({"a": pa.FixedSizeListArray.from_arrays(_repeated("x" * 50_000, 50_000), 50_000)}),
        "malformed",
    ),
    "Arrow: long texts in many rows": (
        lambda: _arrow({f"{n}": _repeated("x" * 100_000, 64) for n in range(100)}),
        "malformed",
    ),
    "Arrow: one run in a list": (
        lambda: _arrow(
            {
                "a": pa.FixedSizeListArray.from_arrays(
                    pa.RunEndEncodedArray.from_arrays(pa.array([10**8], pa.int32()), pa.array(["x"])), 10**8
                )
            }
        ),
        "malformed",
    ),
    "Arrow: a time that is none": (lambda: _arrow({"a": pa.array([2**62], pa.timestamp("s"))}), "malformed"),
    "Arrow: a duration that is none": (lambda: _arrow({"a": pa.array([2**62], pa.duration("s"))}), "malformed"),
}
"""Name → what to do, and what must become of it."""


def main() -> None:
    """Try all of them; end with status 1 where one was not what it must be."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM,) * 2)
    wrong = 0
    for name, (explode, expected) in BOMBS.items():
        started = time.monotonic()
        try:
            outcome = explode()
        except Exception as error:  # noqa: BLE001 - what it is called is what is wanted
            outcome = repr(error)
        wrong += outcome != expected
        said = "as it must be" if outcome == expected else f"it must be {expected}"
        print(f"{name}: {outcome[:200]}, {said} ({time.monotonic() - started:.1f} s)", flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
