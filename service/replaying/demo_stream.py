"""What a demo streams: a data set that ships with River, or a labelled file."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from service.replaying.replay import Progress
from service.replaying.replay_events import Event, Roles, as_json, events_of
from service.replaying.stream_files import open_stream_file


@dataclass(frozen=True, slots=True)
class DemoStream:
    """A stream to be sent once.

    Attributes
    ----------
    name, description
        For people.
    task
        As the configuration names it; ``auto`` where the labels must tell.
    events
        JSON, in order.
    fraction
        How much of it has been sent, 0 to 1.
    """

    name: str
    description: str
    task: str
    events: Iterable[bytes]
    fraction: Callable[[Progress], float]


def open_demo_stream(name: str, label: str | None) -> DemoStream:
    """Return the stream of that name: a file where there is one, else one of River's.

    Raises
    ------
    StreamFileInvalid, StreamUnknown
    """
    path = Path(name)
    # A name with a suffix or a folder is meant as a file; the message about a missing file is then the right one.
    return _from_file(path, label) if path.is_file() or path.suffix or len(path.parts) > 1 else _from_river(name)


def _from_file(path: Path, label: str | None) -> DemoStream:
    file = open_stream_file(path)
    events = events_of(file, Roles(label))
    return DemoStream(
        path.name, f"the file {path}", "auto", (as_json(event) for event in events), lambda _: file.fraction()
    )


def _from_river(name: str) -> DemoStream:
    from models.datasets import open_stream  # noqa: PLC0415  # River takes a moment, and a file does not need it

    stream = open_stream(name)
    rows = max(1, len(stream))

    def events() -> Iterator[bytes]:
        for row in stream:
            time = None if row.timestamp is None else row.timestamp.isoformat()
            yield as_json(Event(row.features, row.label, timestamp=time))

    return DemoStream(
        stream.name, f"{rows:,} × {stream.description}", stream.task.value, events(), lambda done: done.sent / rows
    )
