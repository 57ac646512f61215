"""Letters are forwarded at least once, with all that was known of them, and nothing that the topic does loses one."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from consumers.dead_letter_forwarding import Forwarder
from consumers.dead_letters import DeadLetters
from consumers.errors import AppendFailed, ConsumerError, RecordTooLarge, SourceUnavailable, TopicMissing
from consumers.source import NewRecord
from consumers.testing import ManualClock, MemorySink
from tests.consumers.test_dead_letters import LETTER
from tests.support.topics import read_rest


class Topic(MemorySink):
    """A topic that refuses what a test tells it to."""

    def __init__(self) -> None:
        super().__init__()
        self.error: ConsumerError | None = None
        self.largest = 1_000_000
        self.creations = 0
        self.closed = 0

    def append(self, records: Sequence[NewRecord], idempotency_key: str | None = None) -> bool:
        if self.error is not None:
            raise self.error
        if any(len(record.value) > self.largest for record in records):
            raise RecordTooLarge("too large")
        return super().append(records, idempotency_key)

    def create(self) -> None:
        self.creations += 1
        if isinstance(self.error, TopicMissing):
            self.error = None

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def topic() -> Topic:
    return Topic()


@pytest.fixture
def letters(tmp_path: Path) -> Iterator[DeadLetters]:
    opened = DeadLetters(tmp_path / "letters.sqlite", forward=True, clock=ManualClock(1_763_700_000.25))
    yield opened
    opened.close()


def forwarder(letters: DeadLetters, topic: Topic) -> Forwarder:
    return Forwarder(letters, "events.dead-letters", lambda: topic, topic.create, "default")


def test_a_copy_says_all_that_is_known(letters: DeadLetters, topic: Topic) -> None:
    """Else whoever reads the topic has to look the letter up on the machine that refused it."""
    letters.add([LETTER])
    assert forwarder(letters, topic).step() == 1
    (record,) = read_rest(topic.source)
    assert (record.value, record.key) == (LETTER.value, LETTER.key)
    assert list(record.headers[: len(LETTER.headers)]) == list(LETTER.headers)
    assert {name: value.decode() for name, value in record.headers[len(LETTER.headers) :]} == {
        "headrace-id": "events/3/41/2",
        "headrace-model": "default",
        "headrace-topic": "events",
        "headrace-partition": "3",
        "headrace-offset": "41",
        "headrace-index": "2",
        "headrace-reason": "label",
        "headrace-detail": "'maybe' is no class of a regression",
        "headrace-time": "2025-11-21T04:40:00.250+00:00",
        "headrace-timestamp": "1763",
    }


def test_each_letter_is_forwarded_once_in_order(letters: DeadLetters, topic: Topic) -> None:
    """Else the topic has letters twice although nothing went wrong, or misses those after the first few."""
    letters.add([replace(LETTER, offset=n, value=str(n).encode()) for n in range(500)])
    forwarding = forwarder(letters, topic)
    while forwarding.step():
        pass
    letters.add([replace(LETTER, offset=n, value=str(n).encode()) for n in range(490, 510)])
    assert forwarding.step() == 10
    assert [int(record.value or b"") for record in read_rest(topic.source)] == list(range(510))
    assert letters.outbox.unsent() == 0
    assert letters.find()[0].forwarding == "sent"


@pytest.mark.parametrize("error", [SourceUnavailable("down"), AppendFailed("slow"), TopicMissing("gone")])
def test_what_the_topic_does_not_take_waits(letters: DeadLetters, topic: Topic, error: ConsumerError) -> None:
    """Else a broker's outage costs letters."""
    letters.add([LETTER])
    topic.error = error
    forwarding = Forwarder(letters, "t", lambda: topic, lambda: _refuse(error), "default")
    with pytest.raises(type(error)):
        forwarding.step()
    assert letters.outbox.unsent() == 1
    topic.error = None
    assert forwarding.step() == 1


def _refuse(error: ConsumerError) -> None:
    raise SourceUnavailable("you may not")


def test_a_missing_topic_is_created(letters: DeadLetters, topic: Topic) -> None:
    """Else a new installation's letters wait for an operator who was never told to create a topic."""
    letters.add([LETTER])
    topic.error = TopicMissing("topic does not exist. Create it")
    assert forwarder(letters, topic).step() == 1
    assert topic.creations == 1


def test_a_letter_that_is_too_large_for_the_topic_holds_up_nobody(letters: DeadLetters, topic: Topic) -> None:
    """Else one event of a megabyte ends the forwarding of all that come after it."""
    topic.largest = 100
    sizes = [10, 200, 20]
    letters.add([replace(LETTER, offset=n, value=b"x" * size) for n, size in enumerate(sizes)])
    forwarding = forwarder(letters, topic)
    forwarding.step()
    assert [len(record.value or b"") for record in read_rest(topic.source)] == [10, 20]
    assert [each.forwarding for each in letters.find()] == ["sent", "too_large", "sent"]
    assert "events/3/1/2" in forwarding.notices()[0]
    assert forwarding.step() == 0


def test_the_thread_forwards_and_says_once_that_it_cannot(letters: DeadLetters, topic: Topic, tmp_path: Path) -> None:
    """Else letters lie where they are, or an outage floods the log with one line a second."""
    topic.error = SourceUnavailable("the broker is down")
    letters.add([LETTER])
    forwarding = forwarder(DeadLetters(tmp_path / "letters.sqlite"), topic)
    forwarding.start()
    wait_for(lambda: topic.closed >= 2)
    topic.error = None
    wait_for(lambda: letters.outbox.unsent() == 0)
    forwarding.close()
    notices = forwarding.notices()
    assert len(notices) == 1
    assert "the broker is down" in notices[0]
    assert len(read_rest(topic.source)) == 1
    assert not any(thread.name == "dead-letters" for thread in threading.enumerate())


def wait_for(condition: object) -> None:
    """Wait a while for `condition`."""
    assert callable(condition)
    waited = threading.Event()
    for _ in range(400):
        if condition():
            return
        waited.wait(0.025)
    raise AssertionError("it did not happen in time")
