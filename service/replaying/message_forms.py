"""Events into messages: how several of them are written down as one, and what the message's header says of it.

Before the path: this is what a producer of somebody's own would do. A message that holds many events costs a broker,
its client and the decoder little more than one that holds one.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from service.errors import DeliveryFailed

Format = Literal["json", "ndjson", "arrow", "avro"]

CONTENT_TYPES: dict[Format, str] = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "arrow": "application/vnd.apache.arrow.stream",
    "avro": "application/avro",
}

_PARTS = ("label", "id", "timestamp", "weight", "prediction")

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def body_of(events: Sequence[bytes], form: Format) -> bytes:
    """Return several events as one message or body.

    Parameters
    ----------
    events
        JSON objects without line breaks; at least one.
    form
        Any but ``avro``, of which a message holds one.

    Raises
    ------
    DeliveryFailed
        They cannot be written so; the message says how else.
    """
    if form == "arrow":
        return _arrow(events)
    return b"[" + b",".join(events) + b"]" if form == "json" else b"\n".join(events)


def check_arrow() -> None:
    """Raise DeliveryFailed where Arrow streams cannot be written here."""
    _pyarrow()


def _pyarrow() -> Any:
    try:
        import pyarrow as pa  # noqa: PLC0415  # an extra
    except ImportError:
        raise DeliveryFailed(
            "--format arrow needs pyarrow: install headrace[parquet], or take --format ndjson"
        ) from None
    return pa


def _arrow(events: Sequence[bytes]) -> bytes:
    pa = _pyarrow()
    rows = [_decode(event) for event in events]
    columns = {}
    for name in ("features", *_PARTS):
        values = [row.get(name) for row in rows]
        if any(value is not None for value in values):
            columns[name] = _column(pa, name, values)
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def _column(pa: Any, name: str, values: list[Any]) -> Any:
    try:
        column = pa.array(values)
        # One type for a feature's numbers in all messages: to a learner they are floats.
        return column.cast(_as_floats(pa, column.type)) if name == "features" else column
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        what = " ".join(str(error).split())[:200]
        raise DeliveryFailed(
            f"these events cannot be an Arrow stream, which has one type for each column: {what} (in {name}); "
            "send them as --format ndjson"
        ) from None


def _as_floats(pa: Any, kind: Any) -> Any:
    if pa.types.is_integer(kind):
        return pa.float64()
    if pa.types.is_struct(kind):
        fields = [kind.field(place) for place in range(kind.num_fields)]
        return pa.struct([(field.name, _as_floats(pa, field.type)) for field in fields])
    return kind
