"""River's bundled streams: all there, whole, and of the kind they are said to be."""

import pytest

from models.datasets import DEFAULT, STREAMS, Stream, StreamUnknown, open_stream
from models.examples import Task


@pytest.mark.parametrize("stream", STREAMS.values(), ids=list(STREAMS))
def test_a_stream_is_whole_and_has_its_task(stream: Stream) -> None:
    """The demo would stop before the end that its progress bar shows, or learn another task."""
    rows = list(stream)
    assert len(rows) == len(stream)
    assert all(row.features for row in rows)
    kinds = {type(row.label) for row in rows}
    assert kinds == {{Task.BINARY: bool, Task.MULTICLASS: str, Task.REGRESSION: float}[stream.task]}
    if stream.task is not Task.REGRESSION:
        assert (len({row.label for row in rows}) == 2) == (stream.task is Task.BINARY)


def test_a_stream_can_be_read_again() -> None:
    """A second look would find the stream used up."""
    stream = open_stream("bananas")
    assert list(stream) == list(stream)


def test_the_demo_s_stream_is_the_largest() -> None:
    """The demo would be over before anything was to be seen."""
    assert max(STREAMS, key=lambda name: len(STREAMS[name])) == DEFAULT


@pytest.mark.parametrize("name", ["image-segments", "ImageSegments", "image_segments"])
def test_a_name_may_be_spelt_as_river_spells_it(name: str) -> None:
    """Whoever knows River's name would be told that it does not exist."""
    assert open_stream(name).name == "image-segments"


def test_an_unknown_name_gets_the_known_ones() -> None:
    """A typing error would be answered without saying what there is."""
    with pytest.raises(StreamUnknown, match="shuttle"):
        open_stream("shuttles")


def test_event_time_has_a_zone() -> None:
    """An event's time would depend on where the demo runs."""
    assert {row.timestamp and row.timestamp.tzname() for row in open_stream("trump-approval")} == {"UTC"}
