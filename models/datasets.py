"""Real streams that ship inside River, for trying the service without downloading anything.

Where they stand on the path: before it. ``headrace demo`` sends one of them through the service like any other stream.
Shuttle is the largest. River's streams with several labels a row, those with nothing but a date to predict from, and
those that it downloads are left out.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from river import datasets

from models.errors import ModelError
from models.examples import Label, Task


class StreamUnknown(ModelError):
    """No stream of this name ships with the service; the message names those that do."""


class Row(NamedTuple):
    """One labelled row.

    Attributes
    ----------
    features
        Name → number, boolean or string.
    label
        A class (boolean for binary streams, otherwise a string), or for regression a float.
    timestamp
        Event time, with its zone, where the stream has one.
    """

    features: Mapping[str, float | bool | str]
    label: Label
    timestamp: datetime | None


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream, read from its file while it is iterated over, as often as wanted.

    Attributes
    ----------
    name
        What :func:`open_stream` calls it.
    description
        One sentence.
    task
        What is to be predicted.
    source
        River's own class.
    day
        Name of the feature that is the day of the event, as Python's ordinal.
    """

    name: str
    description: str
    task: Task
    source: Callable[[], datasets.base.Dataset]
    day: str | None = None

    def __len__(self) -> int:
        return int(self.source().n_samples)

    def __iter__(self) -> Iterator[Row]:
        for features, label in self.source():
            timestamp = datetime.fromordinal(features[self.day]).replace(tzinfo=UTC) if self.day else None
            yield Row(dict(features), _LABELS[self.task](label), timestamp)


_LABELS = {Task.BINARY: bool, Task.MULTICLASS: str, Task.REGRESSION: float}

STREAMS = {
    stream.name: stream
    for stream in (
        Stream("shuttle", "sensors of a space shuttle: is something wrong?", Task.BINARY, datasets.Shuttle),
        Stream("phishing", "properties of web pages: is it phishing?", Task.BINARY, datasets.Phishing),
        Stream("bananas", "points in the plane: which banana are they on?", Task.BINARY, datasets.Bananas),
        Stream("image-segments", "colours and edges: what is seen there?", Task.MULTICLASS, datasets.ImageSegments),
        Stream(
            "trump-approval",
            "five polls: what do they add up to?",
            Task.REGRESSION,
            datasets.TrumpApproval,
            "ordinal_date",
        ),
        Stream("sp500", "ten stocks today: their mean return tomorrow", Task.REGRESSION, datasets.SP500Stocks),
        Stream("chick-weights", "a chick's age and diet: its weight", Task.REGRESSION, datasets.ChickWeights),
    )
}
DEFAULT = "shuttle"


def open_stream(name: str) -> Stream:
    """Return a stream by its name, however it is spelt (``ImageSegments``, ``image_segments``).

    Raises
    ------
    StreamUnknown
    """
    wanted = _plain(name)
    for known, stream in STREAMS.items():
        if wanted == _plain(known):
            return stream
    raise StreamUnknown(f"no stream {name!r} ships with River: choose one of {', '.join(STREAMS)}, or give a file")


def _plain(name: str) -> str:
    """Return a name without what spellings differ in."""
    return name.lower().replace("-", "").replace("_", "").replace(" ", "")
