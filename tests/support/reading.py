"""The reading loop in this thread, over a source in memory: what it handed over, and what it said."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from consumers.dead_letters import DeadLetters
from consumers.microbatch import Decoded
from consumers.source import Position, Positions, Source
from models.examples import Examples, Label, Task
from service.decoding.avro_events import Schemas
from service.decoding.tasks import TaskGate
from service.events import EventDecoder
from service.reading.ingest import IngestLoop, Start
from service.reading.refusals import Refusals
from service.settings.dead_letters import DeadLetterSettings
from service.settings.event_options import EventOptions

_IDLE = 3


class Outlet:
    """An outlet that keeps what it is given, and ends the loop.

    Parameters
    ----------
    goes_on
        Called with the seconds to wait, at each chance to end; returns whether to go on. Without it, the loop ends with
        the last record, or when nothing came a few times.
    """

    def __init__(self, goes_on: Callable[[float], bool] | None = None) -> None:
        self.chunks: list[Decoded[Examples]] = []
        self.notices: list[str] = []
        self.ends: Mapping[int, int] = {}
        self.waiting = True
        self._goes_on = goes_on
        self._idle = 0

    @property
    def labels(self) -> list[Label]:
        """The labels of all that was handed over, in order."""
        return [label for chunk in self.chunks for label in chunk.chunk.labels]

    @property
    def positions(self) -> dict[int, Position]:
        """How far it came."""
        return {partition: at for chunk in self.chunks for partition, at in chunk.positions.items()}

    def opened(self, identity: str) -> None:
        pass

    def put(self, decoded: Decoded[Examples], gate: TaskGate) -> None:
        assert gate.task is not None or not len(decoded.chunk)
        self.chunks.append(decoded)
        self._idle = 0

    def report(self, ends: Mapping[int, int], *, waiting: bool) -> None:
        self.ends = ends or self.ends
        self.waiting = waiting

    def notice(self, message: str) -> None:
        self.notices.append(message)

    def to_commit(self) -> Positions | None:
        return None

    def pause(self, seconds: float) -> bool:
        if self._goes_on is not None:
            return self._goes_on(seconds)
        self._idle += 1
        return self._idle <= _IDLE and not self._has_all()

    def _has_all(self) -> bool:
        positions = self.positions
        return bool(self.chunks) and all(
            partition in positions and positions[partition].offset >= end for partition, end in self.ends.items()
        )


def read(
    source: Source,
    table: DeadLetters,
    outlet: Outlet,
    *,
    start: Positions | None = None,
    events: EventOptions | None = None,
    task: Task | None = Task.MULTICLASS,
    schemas: Schemas | None = None,
    **chosen: Any,
) -> Outlet:
    """Run the loop until its outlet ends it; `chosen` are settings of the section ``dead_letters``."""
    begin = Start(start or {}, task)
    decoder = EventDecoder(events or EventOptions(), begin.positions, schemas=schemas)
    refusals = Refusals(table, source.topic, "default", DeadLetterSettings(**chosen))
    IngestLoop(source, begin, decoder, TaskGate(task), refusals=refusals, outlet=outlet, max_delay=0.0).run()
    return outlet


def dead_letters(folder: Path) -> DeadLetters:
    """Open the dead letters that a test keeps in `folder`."""
    return DeadLetters(folder / "dead_letters.sqlite")
