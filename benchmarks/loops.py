"""What a user would otherwise run, as a program of its own.

``python -m benchmarks.loops poll|river ADDRESS TOPIC COUNT`` prints the events, and the seconds from the first
record to the last, as JSON.
"""

import json
import sys
import time
from collections.abc import Iterable
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from river import compose, linear_model, preprocessing


def records(address: str, topic: str, count: int) -> Iterable[list[Any]]:
    """Yield polls of raw records until `count` of them were seen."""
    consumer = KafkaConsumer(bootstrap_servers=address, enable_auto_commit=False, max_poll_records=2000)
    partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
    consumer.assign(partitions)
    consumer.seek_to_beginning(*partitions)
    seen = 0
    while seen < count:
        for found in consumer.poll(timeout_ms=1000).values():
            seen += len(found)
            yield found
    consumer.close()


def poll(address: str, topic: str, count: int) -> tuple[int, float]:
    """Read only: the client's own rate."""
    started = 0.0
    seen = 0
    for found in records(address, topic, count):
        started = started or time.perf_counter()
        seen += len(found)
    return seen, time.perf_counter() - started


def river(address: str, topic: str, count: int) -> tuple[int, float]:
    """Learn as one does in an afternoon: poll, json.loads, predict_one, learn_one."""
    numbers = compose.SelectType(float) | preprocessing.StandardScaler()
    names = compose.SelectType(str) | preprocessing.OneHotEncoder()
    model = (numbers + names) | linear_model.LogisticRegression()
    started = 0.0
    seen = 0
    for found in records(address, topic, count):
        started = started or time.perf_counter()
        for record in found:
            event = json.loads(record.value)
            model.predict_proba_one(event["features"])
            model.learn_one(event["features"], event["label"] == "yes")
            seen += 1
            if seen == count:
                break
    return seen, time.perf_counter() - started


def main() -> None:
    """Run one of the loops."""
    kind, address, topic, count = sys.argv[1:]
    seen, seconds = {"poll": poll, "river": river}[kind](address, topic, int(count))
    print(json.dumps({"events": seen, "seconds": seconds}))


if __name__ == "__main__":
    main()
