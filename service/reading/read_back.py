"""Reads the log backwards a little: the last examples before some positions, for a learner that must start at once."""

import time

from consumers.source import Position, Positions, Source
from models.examples import Examples
from service.decoding.tasks import TaskGate
from service.events import EventDecoder

_PATIENCE = 5.0
"""Seconds that reading back may take; what has come by then must do: this is a warm-up, not the truth."""


def read_back(source: Source, positions: Positions, decoder: EventDecoder, gate: TaskGate, rows: int) -> list[Examples]:
    """Return about the last `rows` examples before `positions`, partition by partition, in order within each.

    Raises
    ------
    ConsumerError
        The log cannot be read.
    RegistryUnavailable
        The schema registry does not answer.
    """
    if not positions or not rows:
        return []
    share = -(-rows // len(positions))
    start = {partition: Position(max(0, position.offset - share)) for partition, position in positions.items()}
    ahead = {partition for partition, position in positions.items() if position.offset > start[partition].offset}
    reader = source.open(start)
    pieces: list[Examples] = []
    give_up = time.monotonic() + _PATIENCE
    try:
        while ahead and time.monotonic() < give_up:
            records = [each for each in reader.poll(1000, 0.2) if each.partition in positions]
            wanted = [each for each in records if each.offset < positions[each.partition].offset]
            ahead -= {each.partition for each in records if each.offset + 1 >= positions[each.partition].offset}
            decoder.prepare(wanted)
            for decoded in decoder.pieces(wanted):
                pieces += [events.examples for events in gate.offer(decoded)]
    finally:
        reader.close()
    return [piece for piece in pieces if len(piece)]
