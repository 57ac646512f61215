"""Real data streams, where they lie beside the project; tests that need one are skipped where they do not."""

import csv
import gzip
from pathlib import Path

import msgspec
import pytest

FOLDER = Path(__file__).parents[3] / "shared" / "streams"


def stream_path(name: str) -> Path:
    """Return the file of a stream, or skip the test."""
    path = FOLDER / f"{name}.csv.gz"
    if not path.exists():
        pytest.skip(f"the stream {name} is not here")
    return path


def rows(name: str) -> list[tuple[dict[str, float | str | None], str]]:
    """Return each row's features and its last column, as text."""
    with gzip.open(stream_path(name), "rt", newline="") as text:
        reader = csv.reader(text)
        names = next(reader)[:-1]
        return [({key: _value(cell) for key, cell in zip(names, row[:-1], strict=True)}, row[-1]) for row in reader]


def event_values(name: str) -> list[bytes]:
    """Return a stream as events in JSON, labels as classes."""
    encode = msgspec.json.Encoder().encode
    return [encode({"features": features, "label": label}) for features, label in rows(name)]


def _value(cell: str) -> float | str | None:
    if not cell:
        return None
    try:
        return float(cell)
    except ValueError:
        return cell
