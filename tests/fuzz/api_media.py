"""Bodies that schemathesis cannot make by itself: lines of JSON, and Arrow streams. ``schemathesis.toml`` names it."""

import io
import json
from collections.abc import Sequence

import pyarrow as pa
import schemathesis
from hypothesis import strategies as st

_EVENTS = st.fixed_dictionaries(
    {"features": st.dictionaries(st.text(max_size=5), st.one_of(st.integers(-9, 9), st.text(max_size=5)), max_size=3)},
    optional={"label": st.sampled_from(["late", "on-time"]), "id": st.text(max_size=5)},
)


def _lines(events: Sequence[object]) -> bytes:
    return b"\n".join(json.dumps(event).encode() for event in events)


def _stream(prices: list[float]) -> bytes:
    table = pa.table({"features": pa.array([{"price": price} for price in prices]), "label": ["late"] * len(prices)})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


schemathesis.openapi.media_type("application/x-ndjson", st.lists(_EVENTS, min_size=1, max_size=3).map(_lines))
schemathesis.openapi.media_type(
    "application/vnd.apache.arrow.stream",
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=3).map(_stream),
)
