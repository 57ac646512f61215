"""Streams that never stop naming new things: memory stays bounded, and what matters is learned all the same."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from consumers.microbatch import Decoded, MicroBatcher
from consumers.source import Position
from consumers.testing import MemorySource
from models.encoder_layout import MOST_COLUMNS
from models.examples import MOST_CELLS, Examples, Joint, Task
from models.hashing import CACHED
from models.learner import Learner, LearnerOptions
from models.registry import create_learner, prepare
from service.config import ModelSettings
from service.decoding.decoded import DecodedEvents
from service.decoding.tasks import TaskGate
from service.events import EventDecoder
from service.monitoring.reporting import LISTED
from service.restart.rebatching import Chained
from service.settings.event_options import EventOptions
from tests.support.events import NDJSON, record
from tests.support.training import events, learned, open_model, running, settings

prepare(threads=1)  # these networks are too small for more to be of use

Features = dict[str, object]
Flood = Callable[[int], Features]

FLOODS: dict[str, Flood] = {
    "numbers": lambda event: {f"n{event}-{place}": 1.5 for place in range(100)},
    "categories": lambda event: {f"c{event}-{place}": "a" for place in range(25)},
    "values": lambda event: {f"c{place}": f"v{event}-{place}" for place in range(50)},
    "tokens": lambda event: {"t": [f"w{event}-{place}" for place in range(100)]},
    "objects": lambda event: {f"o{event}": {f"n{place}": 1.0 for place in range(30)}},
    "vectors": lambda event: {"v": [0.5] * (event % 997)},
}


def memory() -> int:
    """Return the bytes that this process has in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def messages(flood: Flood | None, first: int, count: int, *, late: bool) -> Iterator[bytes]:
    """Yield messages of 20 events each: one number decides, early on or late; and a flood beside it."""
    random = np.random.default_rng(first)
    for start in range(first, first + count, 20):
        lines = []
        for event in range(start, start + 20):
            x = float(random.normal())
            features = {"late" if late else "early": x} | (flood(event) if flood else {})
            lines.append(json.dumps({"features": features, "label": "up" if x > 0 else "down"}))
        yield "\n".join(lines).encode()


def teach(made: Learner, decoder: EventDecoder, given: Iterator[bytes]) -> None:
    """Decode and learn messages, one microbatch each."""
    for offset, message in enumerate(given):
        made.learn(decoder.decode([record(message, offset, headers=NDJSON)]).examples)


def accuracy(made: Learner, decoder: EventDecoder, given: Iterator[bytes]) -> float:
    """Return how often a learner's predictor is right."""
    right: list[bool] = []
    for offset, message in enumerate(given):
        examples = decoder.decode([record(message, offset, headers=NDJSON)]).examples
        answer = made.predictor().predict(examples.features)
        assert answer.probabilities is not None
        found = [answer.classes[place] for place in answer.probabilities.argmax(1)]
        right += [one == other for one, other in zip(found, examples.labels, strict=True)]
    return float(np.mean(right))


@pytest.mark.parametrize(
    ("kind", "flood"), [*(("linear", flood) for flood in FLOODS), ("online", "numbers"), ("online", "values")]
)
def test_a_feature_that_comes_after_a_flood_is_learned(kind: str, flood: str) -> None:
    """Places that a flood has filled would never be had again, or memory would grow until the process is killed."""
    made = create_learner(LearnerOptions(kind=kind, device="cpu"), Task.MULTICLASS)
    decoder = EventDecoder(EventOptions(), {})
    # 200,000 names where there is most to remember of them.
    count = 2000 if (kind, flood) == ("linear", "numbers") else 200
    teach(made, decoder, messages(FLOODS[flood], 0, count // 2, late=False))
    half = memory()
    teach(made, decoder, messages(FLOODS[flood], count // 2, count // 2, late=False))
    assert memory() - half < 48 << 20
    assert sum(array.nbytes for array in made.state().arrays.values()) < 64 << 20
    assert len(made.status().features) <= MOST_COLUMNS
    # Beside a thousand columns of vectors one number takes longer to stand out.
    teach(made, decoder, messages(FLOODS[flood], count, 1200 if flood == "vectors" else 600, late=True))
    assert accuracy(made, decoder, messages(FLOODS[flood], 10**6, 200, late=True)) > 0.75


def test_events_with_little_in_common_are_not_joined() -> None:
    """A microbatch of a thousand events that name a hundred features each, all of them new, would be a gigabyte."""
    decoder = EventDecoder(EventOptions(), {})
    stream = enumerate(messages(FLOODS["numbers"], 0, 1000, late=False))
    given = [record(message, offset, headers=NDJSON) for offset, message in stream]
    feed = Chained([_decoded(piece) for each in given for piece in decoder.pieces([each])], Nothing())
    batcher = MicroBatcher(feed, max_size=1024, max_delay=0.0, max_bytes=1 << 30, start={}, joint=Joint)
    found = []
    while (batch := batcher.next(0.0)) is not None:
        found.append(batch)
    assert sum(len(batch.track) for batch in found) == 1000
    assert found[-1].positions == {0: Position(50)}
    assert {batch.reason for batch in found[:-1]} == {"width"}
    assert max(batch.examples.features.numbers.size for batch in found if batch.examples) <= MOST_CELLS
    assert len(found) < 30


class Nothing:
    """A feed that has nothing."""

    def take(self, timeout: float) -> Decoded[Examples] | None:  # noqa: ARG002 - there is nothing to wait for
        """Return nothing."""
        return None


def _decoded(events: DecodedEvents) -> Decoded[Examples]:
    return Decoded(events.examples, events.track, events.positions, 0.0)


def test_events_of_one_shape_are_joined_however_many() -> None:
    """Ordinary streams would be cut into small microbatches, and learned slowly."""
    decoder = EventDecoder(EventOptions(), {})
    wide = json.dumps({"features": {f"x{place}": 1.0 for place in range(2000)}, "label": "up"}).encode()
    parts = [decoder.decode([record(wide, offset)]).examples for offset in range(40)]
    joint = Joint()
    assert all(joint.takes(part, 1000) for part in parts)


def test_labels_that_are_ids_end_at_a_bound() -> None:
    """A label that is an id by mistake would make a class of every event."""
    options = EventOptions(max_classes=50)
    gate = TaskGate(Task.MULTICLASS, most_classes=options.max_classes)
    given = [json.dumps({"features": {"x": 1}, "label": f"id-{event}"}).encode() for event in range(200)]
    (decoded,) = gate.offer(EventDecoder(options, {}).decode([record(b"\n".join(given), 0, headers=NDJSON)]))
    assert len(decoded.examples) == len(gate.classes) == 50
    assert [each.reason for each in decoded.rejected] == ["label"] * 150
    assert "events.max_classes" in decoded.rejected[0].detail
    with pytest.raises(ValueError, match="max_classes"):
        ModelSettings.model_validate({"events": {"max_classes": 1}})


def test_the_status_names_only_so_many(tmp_path: Path) -> None:
    """A status of megabytes would be written several times a second."""
    wide = json.dumps({"features": {f"x{place}": 1.0 for place in range(LISTED + 200)}, "label": "up"}).encode()
    with running(open_model(settings(tmp_path), MemorySource({0: [*events(32), *[wide] * 64]}))) as run:
        status = run.wait_for(learned(96))
        status = run.wait_for(lambda status: status.features_known > LISTED)
    assert len(status.features) == LISTED
    assert status.classes_known == len(status.classes) == 2


def test_hashes_are_remembered_within_a_bound() -> None:
    """Requests or events that name ever new categories would fill memory with what is only there for speed."""
    from models.encoder_strings import StringReader

    reader = StringReader()
    for name in range(400):
        reader.category(f"c{name}", [f"{name}-{value}" for value in range(2000)])
        reader.tokens(f"t{name}", [[f"{value}" * 200 for value in range(100)]])
    held = [len(cache) for caches in (reader._codes, reader._hashes) for cache in caches.values()]
    assert sum(held) < 16 * CACHED
    assert max(len(value or "") for cache in reader._hashes.values() for value in cache) <= 64
