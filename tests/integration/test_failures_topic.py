"""A topic that is not what it was: made again, or cut short by retention. With a real broker."""

import contextlib
import time
from pathlib import Path

import pytest

from consumers.errors import ConsumerError, LogReplaced, PositionLost
from consumers.source import NewRecord
from tests.support.broker import create_topic, delete_topic
from tests.support.topics import KafkaTopic
from tests.support.training import events, learned, open_model, running, settings


@pytest.fixture
def topic(kafka_broker: str) -> KafkaTopic:
    """Return a topic of two partitions with a hundred events in each."""
    found = KafkaTopic(kafka_broker, partitions=2)
    fill(found)
    return found


def fill(topic: KafkaTopic, first: int = 0) -> None:
    """Append a hundred events to each of the two first partitions."""
    for partition in (0, 1):
        values = events(100, seed=partition, first=first)
        topic.append(partition, [NewRecord(value) for value in values])


def make_again(topic: KafkaTopic) -> None:
    """Delete a topic and create it under the same name."""
    delete_topic(topic.address, topic.name)
    until = time.monotonic() + 30
    while True:
        # Deleting takes its time, and says so in several ways.
        with contextlib.suppress(Exception):
            create_topic(topic.address, topic.name, topic.partitions)
            return
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_topic_made_again_while_the_trainer_was_down(tmp_path: Path, topic: KafkaTopic) -> None:
    """If this fails, offsets of the old topic are taken for places in the new one: some events are never learned."""
    with running(open_model(settings(tmp_path), topic.source)) as run:
        run.wait_for(learned(200))
    make_again(topic)
    # As many as before and more, so that each offset that is asked for exists.
    fill(topic)
    fill(topic)
    model = open_model(settings(tmp_path), topic.source)
    try:
        with pytest.raises(LogReplaced, match="made again") as caught, running(model) as run:
            run.wait_for(lambda _: False)
        assert "\n" not in str(caught.value)
    finally:
        model.close()
        model.lease.release()


def test_a_topic_made_again_while_the_trainer_runs(tmp_path: Path, topic: KafkaTopic) -> None:
    """If this fails, the trainer goes on in another topic as if it were the same, or stands still without a word."""
    with running(open_model(settings(tmp_path), topic.source)) as run:
        run.wait_for(learned(200))
        make_again(topic)
        # The topic is not there for a moment: seen or not, the trainer must not go on.
        with pytest.raises(ConsumerError, match=r"made again|does not exist"):
            run.wait_for(lambda _: False)
        assert sum(run.status().events_learned.values()) == 200


def test_retention_that_was_faster_than_learning(tmp_path: Path, topic: KafkaTopic) -> None:
    """If this fails, events are passed over in silence, and the model never knew them."""
    with running(open_model(settings(tmp_path), topic.source)) as run:
        run.wait_for(learned(200))
    fill(topic, first=100)
    topic.forget(1, before=150)
    model = open_model(settings(tmp_path), topic.source)
    try:
        with pytest.raises(PositionLost, match="holds offsets 150 to 200, but 100 is to be read next"):  # noqa: SIM117 - the error comes out of the second
            with running(model) as run:
                run.wait_for(lambda _: False)
    finally:
        model.close()
        model.lease.release()
